"""Splits drawn by hash."""

import hashlib
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


def draw(names: Collection[str], test_share: float) -> NDArray[np.bool_]:
    """Whether each name is drawn for the test part by its hash; of two or more, at least one is on each side."""
    hashes = (hashlib.sha256(name.encode()).digest()[:8] for name in names)
    places = np.fromiter((int.from_bytes(of) / 2**64 for of in hashes), dtype=np.float64, count=len(names))
    test: NDArray[np.bool_] = places < test_share
    if len(names) > 1:
        test[places.argmin()], test[places.argmax()] = True, False
    return test
