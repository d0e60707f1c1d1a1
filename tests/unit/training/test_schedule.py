"""When the validation loss saturates, by hand and as a rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xdcbench.schema import Pretrain, Saturation
from xdcbench.training import saturated


@pytest.mark.parametrize(
    ("losses", "patience", "min_gain", "ends"),
    [
        ([], 1, 0.1, False),
        ([2.0], 1, 0.1, False),
        ([2.0, 1.9], 1, 0.1, True),  # 0.1 below is no drop of more than 10 %
        ([2.0, 1.7], 1, 0.1, False),
        ([2.0, 1.7, 1.6, 1.5], 2, 0.1, False),  # two small drops are one of more than 10 % from the last gain
        ([2.0, 1.7, 1.6, 1.6], 2, 0.1, True),
        ([2.0, 2.1, 1.0, 1.1, 1.2], 3, 0.0, False),
        ([2.0, 2.1, 1.0, 1.1, 1.2, 1.0], 3, 0.0, True),
    ],
)
def test_by_hand(losses: list[float], patience: int, min_gain: float, ends: bool) -> None:
    assert saturated(losses, Saturation(patience=patience, min_gain=min_gain)) is ends


@given(
    losses=st.lists(st.floats(0.1, 10), min_size=1, max_size=20),
    patience=st.integers(1, 5),
    min_gain=st.floats(0, 0.5),
)
def test_it_never_ends_before_its_patience_nor_in_a_gain(
    losses: list[float], patience: int, min_gain: float
) -> None:
    rule = Saturation(patience=patience, min_gain=min_gain)
    if saturated(losses, rule):
        assert len(losses) > patience
        assert min(losses[-patience:]) >= min(losses[:-patience]) * (1 - min_gain)


def test_no_held_out_items_no_rule() -> None:
    with pytest.raises(ValidationError, match="saturation needs held-out items: raise val_share"):
        Pretrain(saturation=Saturation(), val_share=0)
