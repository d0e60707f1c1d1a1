"""The rate over time and when the validation loss saturates, by hand and as rules."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from xdcbench.config.pretraining import EarlyStopping, Pretrain, Schedule
from xdcbench.training import rate_factor, should_stop


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "ends"),
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
def test_by_hand(losses: list[float], patience: int, min_delta: float, ends: bool) -> None:
    assert should_stop(losses, EarlyStopping(patience=patience, min_delta=min_delta)) is ends


@given(
    losses=st.lists(st.floats(0.1, 10), min_size=1, max_size=20),
    patience=st.integers(1, 5),
    min_delta=st.floats(0, 0.5),
)
def test_it_never_ends_before_its_patience_nor_in_a_gain(
    losses: list[float], patience: int, min_delta: float
) -> None:
    rule = EarlyStopping(patience=patience, min_delta=min_delta)
    if should_stop(losses, rule):
        assert len(losses) > patience
        assert min(losses[-patience:]) >= min(losses[:-patience]) * (1 - min_delta)


def test_no_held_out_items_no_rule() -> None:
    with pytest.raises(ValidationError, match="early_stopping needs held-out items: raise val_fraction"):
        Pretrain(early_stopping=EarlyStopping(), val_fraction=0)


def test_steps_by_hand() -> None:
    schedule = Schedule(epochs=10, warmup_epochs=2, lr_scheduler="step", milestones=(4, 8), gamma=0.1)
    for progress, factor in ((0, 0.0005), (1, 0.5005), (2, 1), (3.99, 1), (4, 0.1), (7.9, 0.1), (8, 0.01)):
        assert rate_factor(schedule, progress) == pytest.approx(factor)


def test_cosine_by_hand() -> None:
    schedule = Schedule(epochs=10, warmup_epochs=2, lr_scheduler="cosine")
    for progress, factor in ((1, 0.5005), (2, 1), (4, 0.8535534), (6, 0.5), (8, 0.1464466), (10, 0)):
        assert rate_factor(schedule, progress) == pytest.approx(factor, abs=1e-7)


def test_no_warm_up_begins_at_the_peak() -> None:
    for decay in ("step", "cosine", "constant"):
        assert rate_factor(Schedule(warmup_epochs=0, lr_scheduler=decay), 0.0) == 1.0
    assert rate_factor(Schedule(epochs=3, warmup_epochs=0, lr_scheduler="constant"), 2.9) == 1.0


@given(
    progress=st.floats(0, 50),
    warmup=st.floats(0, 10),
    lr_scheduler=st.sampled_from(["step", "cosine", "constant"]),
)
@example(progress=0.9995, warmup=1.0, lr_scheduler="constant")
@settings(max_examples=200, deadline=None)
def test_the_rate_never_exceeds_its_peak(progress: float, warmup: float, lr_scheduler: str) -> None:
    schedule = Schedule(epochs=50, warmup_epochs=warmup, lr_scheduler=lr_scheduler)  # type: ignore[arg-type]
    assert 0.0 <= rate_factor(schedule, progress) <= 1.0
