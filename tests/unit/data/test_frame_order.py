"""Orders of a clip's frames, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.config.evaluation import FrameOrder
from xdcbench.data.frame_order import frame_order

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("order", "frames", "expected"),
    [
        ("reversed", 8, (7, 6, 5, 4, 3, 2, 1, 0)),
        ("frozen", 8, (4,) * 8),
        ("frozen", 5, (2,) * 5),
    ],
)
def test_orders_by_hand(order: FrameOrder, frames: int, expected: tuple[int, ...]) -> None:
    assert frame_order(order, frames, RNG) == expected


@given(frames=st.integers(1, 64), seed=st.integers(0, 2**32))
def test_shuffling_keeps_every_frame_once(frames: int, seed: int) -> None:
    one, same = (frame_order("shuffled", frames, np.random.default_rng(seed)) for _ in range(2))
    assert sorted(one) == list(range(frames)) and one == same
