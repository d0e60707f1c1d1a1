"""Values that a check compares: numbers, and digests of what must be equal to the bit."""

import hashlib
from collections.abc import Mapping

import numpy as np

from xdcbench.utils.runtime import numpy_generator

Values = Mapping[str, float | str]


def digest(values: np.ndarray) -> str:
    """The first 16 hex digits of the SHA-256 of an array's values, whatever the byte order of the machine."""
    array = np.ascontiguousarray(values)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(f"{array.dtype.name} {array.shape}".encode() + little.tobytes()).hexdigest()[:16]


def projected(values: np.ndarray) -> float:
    """The component of an array along a fixed random direction of unit length, in float64."""
    flat = values.astype(np.float64).ravel()
    direction = numpy_generator(0).standard_normal(len(flat))
    return float(flat @ direction / np.linalg.norm(direction))


def text_digest(text: str) -> str:
    """The first 16 hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
