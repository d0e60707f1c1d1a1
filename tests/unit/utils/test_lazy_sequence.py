"""A sequence whose values are made as they are asked for is one like any other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.utils.lazy_sequence import LazySequence

ends = st.none() | st.integers(-12, 12)


@given(length=st.integers(0, 9), begin=ends, end=ends, step=st.sampled_from([None, 1, 2, -1, -3]))
def test_slices_and_positions_are_those_of_a_list(
    length: int, begin: int | None, end: int | None, step: int | None
) -> None:
    lazy, held = LazySequence(length, lambda at: at * at), [at * at for at in range(length)]
    assert list(lazy) == held and len(lazy) == length
    assert lazy[begin:end:step] == held[begin:end:step]
    for at in range(-length, length):
        assert lazy[at] == held[at]
    with pytest.raises(IndexError):
        lazy[length]


def test_nothing_is_made_before_it_is_asked_for() -> None:
    made: list[int] = []
    lazy = LazySequence(10**12, lambda at: made.append(at) or at)  # type: ignore[func-returns-value]
    assert made == [] and lazy[10**11] == 10**11 and made == [10**11]
