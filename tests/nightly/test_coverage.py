"""What intervals cover and how often tests reject, over thousands of simulated worlds.

The figures of docs/explanation/statistics.md are these, from the same seeds.
"""

import numpy as np
import pytest

from tests.unit.results.statistics.simulated import covers, rivals, sample, share
from xdcbench.results.statistics import intervals
from xdcbench.results.statistics.intervals import (
    Run,
    difference_interval,
    hierarchical,
    share_interval,
    t_interval,
    wilson,
)
from xdcbench.results.statistics.significance import LEVEL, mcnemar, sign_flip

pytestmark = pytest.mark.nightly

WORLDS = 2000


@pytest.fixture(autouse=True)
def fewer_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "REPLICATES", 1000)


def wilson_coverage(truth: float, n: int) -> float:
    right = np.random.default_rng(0).binomial(n, truth, size=WORLDS)
    return float(np.mean([covers(wilson(k / n, n), truth) for k in right]))


def group_coverage(groups: int, icc: float) -> tuple[float, float]:
    """Of the bootstrap over groups of 6 items, and of Wilson's interval on items, at a share of 0.7."""
    rng, hits = np.random.default_rng(groups), np.zeros(2)
    for _ in range(WORLDS):
        names, scores = share(rng, groups=groups, size=6, icc=icc, truth=0.7)
        found = share_interval([Run("0", "1", names, scores)])
        hits += covers(found, 0.7), covers(wilson(scores.mean(), len(scores)), 0.7)
    return hits[0] / WORLDS, hits[1] / WORLDS


def seed_coverage(seeds: int, deviation: float) -> np.ndarray:
    """Of the bootstrap over items alone, over seeds and items, and of t; 100 groups of 3 items."""
    rng, hits = np.random.default_rng(seeds), np.zeros(3)
    for _ in range(WORLDS):
        names, a, b = rivals(rng, seeds=seeds, groups=100, seed_deviation=deviation)
        of = sample(names, a - b)
        hits += [covers(found, 0.0) for found in (difference_interval(of), hierarchical(of), t_interval(of))]
    return hits / WORLDS


def run_level(groups: int, size: int, icc: float) -> np.ndarray:
    """How often two alike runs differ by McNemar by group, by item, and by the bootstrap."""
    rng, rejected = np.random.default_rng(7), np.zeros(3)
    for _ in range(WORLDS):
        names, a, b = rivals(rng, seeds=1, groups=groups, size=size, icc=icc)
        found = difference_interval(sample(names, a - b))
        by_item = mcnemar(a[0], b[0], np.arange(len(names)))
        rejected += mcnemar(a[0], b[0], names) < LEVEL, by_item < LEVEL, not covers(found, 0.0)
    return rejected / WORLDS


@pytest.mark.parametrize("n", [50, 400])
@pytest.mark.parametrize("truth", [0.05, 0.5, 0.95])
def test_wilson(truth: float, n: int) -> None:
    assert 0.915 < wilson_coverage(truth, n) < 0.985


@pytest.mark.parametrize(
    ("groups", "icc", "least", "most_alone"),
    [
        (10, 0.6, 0.87, 0.8),
        (20, 0.6, 0.91, 0.8),
        (40, 0.6, 0.925, 0.8),
        (100, 0.6, 0.935, 0.8),
        (100, 0, 0.935, 1),
    ],
)
def test_bootstrap_over_groups(groups: int, icc: float, least: float, most_alone: float) -> None:
    together, alone = group_coverage(groups, icc)
    assert least < together < 0.97
    assert alone <= most_alone


@pytest.mark.parametrize("deviation", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_t_covers_over_seeds_of_any_number(seeds: int, deviation: float) -> None:
    items, bootstrap, t = seed_coverage(seeds, deviation)
    assert t > 0.935
    if deviation == 0.3:
        assert items < 0.7, "items alone say nothing about seeds"
        assert bootstrap < 0.93 if seeds <= 3 else bootstrap > 0.9


@pytest.mark.parametrize(("groups", "size", "icc"), [(300, 1, 0.0), (100, 3, 0.3), (60, 6, 0.8)])
def test_level_of_the_tests_of_two_runs(groups: int, size: int, icc: float) -> None:
    by_group, by_item, bootstrap = run_level(groups, size, icc)
    assert by_group < 0.06
    assert 0.03 < bootstrap < 0.075
    assert by_item < 0.06 if size == 1 else by_item > by_group


def test_level_of_sign_flips_over_seeds() -> None:
    rng = np.random.default_rng(0)
    found = [sign_flip(rng.normal(0, 1, 6).tolist()) for _ in range(WORLDS)]
    assert 0.02 < np.mean([p < LEVEL for p in found]) < 0.042, "2 of 64 choices of signs"
