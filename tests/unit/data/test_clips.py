"""Clips: which are drawn, in which order, and what is random about them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdcbench.config.pretraining import Augment
from xdcbench.data.clips import even_clips, random_clip, training_clips


def test_even_specs_keep_an_items_clips_together() -> None:
    specs = even_clips([4, 2], 3)
    assert [(d.row, d.place) for d in specs] == [(4, 0), (4, 0.5), (4, 1), (2, 0), (2, 0.5), (2, 1)]
    assert all(d.crop == (0.5, 0.5) and d.scale is None and not d.flip for d in specs)


@given(seed=st.integers(0, 2**32), flip=st.booleans(), crop=st.booleans(), time=st.booleans())
@settings(max_examples=100, deadline=None)
def test_random_specs_stay_in_bounds_and_obey_the_settings(
    seed: int, flip: bool, crop: bool, time: bool
) -> None:
    augment = Augment(
        flip=flip, crop="random" if crop else "center", temporal_crop="random" if time else "center"
    )
    rng = np.random.default_rng(seed)
    specs = [random_clip(row, augment, rng) for row in range(20)]
    assert [d.row for d in specs] == list(range(20))
    assert all(0 <= value <= 1 for d in specs for value in (d.place, *d.crop, d.scale or 0.0))
    assert (len({d.place for d in specs}) > 1) == time
    assert (len({d.crop for d in specs}) > 1) == crop
    assert all((d.scale is not None) == crop for d in specs)
    assert any(d.flip for d in specs) <= flip
    whole = np.random.default_rng(seed)
    everything = [random_clip(row, Augment(), whole) for row in range(20)]
    if time:  # one setting does not move the random values of another
        assert [d.place for d in specs] == [d.place for d in everything]
    assert rng.random() == whole.random()


def test_half_of_the_specs_are_mirrored() -> None:
    rng = np.random.default_rng(0)
    flips = [random_clip(0, Augment(), rng).flip for _ in range(4000)]
    assert np.mean(flips) == pytest.approx(0.5, abs=0.03)


@given(
    rows=st.lists(st.integers(0, 500), min_size=1, max_size=30, unique=True),
    clips=st.none() | st.integers(1, 80),
    seed=st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_each_pass_draws_each_item_once(rows: list[int], clips: int | None, seed: int) -> None:
    specs = training_clips(np.array(rows), augment=Augment(), seed=seed, epoch=2, clips=clips)
    drawn = [d.row for d in specs]
    assert len(drawn) == (clips or len(rows))
    for begin in range(0, len(drawn), len(rows)):
        one = drawn[begin : begin + len(rows)]
        assert len(set(one)) == len(one)
        assert set(one) <= set(rows)


def test_specs_depend_on_seed_and_epoch_alone() -> None:
    rows = np.arange(20)
    made = {
        (seed, epoch): tuple(training_clips(rows, augment=Augment(), seed=seed, epoch=epoch))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(made.values())) == 9
    np.random.seed(5)
    assert made[1, 2] == tuple(training_clips(rows, augment=Augment(), seed=1, epoch=2))


def test_weights_are_the_chances_of_rows() -> None:
    weights = np.array([0.0, 1.0, 3.0])
    specs = training_clips(
        np.array([7, 8, 9]), augment=Augment(), seed=0, epoch=0, clips=8000, weights=weights
    )
    counts = np.array([sum(d.row == row for d in specs) for row in (7, 8, 9)])
    assert counts[0] == 0
    assert counts / 8000 == pytest.approx(weights / 4, abs=0.02)
