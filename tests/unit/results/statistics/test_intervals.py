"""Intervals against SciPy, hand-worked cases and worlds in which the truth is known."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.unit.results.statistics.simulated import covers, rivals, sample, share
from xdcbench.results.statistics import intervals
from xdcbench.results.statistics.intervals import (
    Run,
    Sample,
    difference_interval,
    hierarchical,
    share_interval,
    summary,
    t_interval,
    wilson,
)


def run(scores: list[float], groups: list[str] | None = None, *, seed: str = "0", split: str = "1") -> Run:
    names = groups or [f"g{i}" for i in range(len(scores))]
    return Run(seed, split, np.array(names, dtype=object), np.array(scores, dtype=float))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer replicates, for simulations."""
    monkeypatch.setattr(intervals, "REPLICATES", 400)


# ------------------------------------------------------------------------------------- one run, Wilson


@given(n=st.integers(1, 5000), data=st.data())
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    found = wilson(right / n, n)
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("truth", [0.05, 0.5, 0.95])
def test_wilson_covers_by_the_binomial_distribution(truth: float) -> None:
    n = 200
    chances = stats.binom.pmf(np.arange(n + 1), n, truth)
    covered = sum(chance for k, chance in enumerate(chances) if covers(wilson(k / n, n), truth))
    assert 0.935 < covered < 0.97


def test_independent_items_of_one_run_have_wilsons_interval() -> None:
    assert share_interval([run([1, 1, 0, 1])]) == wilson(0.75, 4)


def test_summary_divides_by_one_less() -> None:
    assert summary([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1), 3))
    assert summary([5.0]) == (5.0, None, 1)


# ------------------------------------------------------------------------------------------- bootstrap


def test_unclustered_bootstrap_is_scipys() -> None:
    scores = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=500)
    theirs = stats.bootstrap(
        (scores,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(0)
    ).confidence_interval
    found = difference_interval(Sample.of([run(scores.tolist())]))
    assert found is not None and found.method == "bootstrap"
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_variance_of_replicates_is_unbiased_and_that_of_groups() -> None:
    # Four groups of two items, each all right or all wrong: four independent values.
    means = Sample.of([run([1, 1, 0, 0, 1, 1, 0, 0], list("aabbccdd"))]).replicates[:, 0]
    assert means.mean() == pytest.approx(0.5, abs=0.01)
    assert means.var() == pytest.approx(np.var([1, 0, 1, 0], ddof=1) / 4, rel=0.03)


def test_an_item_in_several_splits_moves_in_all_of_them_together() -> None:
    scores = np.random.default_rng(0).integers(0, 2, 60).tolist()
    once = Sample.of([run(scores)]).replicates
    twice = Sample.of([run(scores), run(scores, split="2")]).replicates
    np.testing.assert_allclose(twice, once)
    apart = Sample.of([run(scores), run(scores, [f"other{i}" for i in range(60)], split="2")]).replicates
    assert apart.var() == pytest.approx(once.var() / 2, rel=0.1)


def test_a_seed_is_the_mean_of_its_splits_whatever_their_sizes() -> None:
    of = Sample.of([run([1, 1, 1, 0]), run([0, 1], ["x", "y"], split="2"), run([0, 0, 1, 0], seed="1")])
    np.testing.assert_allclose(of.seed_means, [(0.75 + 0.5) / 2, 0.25])


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(24)), swap=st.booleans())
def test_order_of_items_and_runs_changes_nothing(order: list[int], swap: bool) -> None:
    scores, groups = [float(i % 3 == 0) for i in range(24)], [f"g{i // 3}" for i in range(24)]
    mixed = run([scores[i] for i in order], [groups[i] for i in order])
    other = run(scores, groups, split="2")
    expected = share_interval([run(scores, groups), other])
    found = share_interval([other, mixed] if swap else [mixed, other])
    assert found is not None and expected is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_draws_in_parts_are_the_draws_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    of = Sample.of([run([0.0, 1.0, 1.0, 0.0, 1.0])])
    whole = of.replicates
    monkeypatch.setattr(intervals, "_DRAWS", 999)
    np.testing.assert_array_equal(Sample(of.sums, of.counts, of.weights).replicates, whole)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_where_all_items_are_alike_the_interval_has_a_width_by_groups(score: float) -> None:
    alike = run([score] * 8, list("aabbccdd"))
    assert share_interval([alike]) == wilson(score, 4)
    assert share_interval([alike, alike._replace(split="2")]) == wilson(score, 4)


def test_runs_that_never_differ_may_still_differ_elsewhere() -> None:
    found = difference_interval(Sample.of([run([0.0] * 30)]))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-wilson(0, 30).high, wilson(0, 30).high))


def test_too_few_groups_have_no_interval() -> None:
    assert share_interval([run([1, 0, 1], ["a"] * 3)]) is None
    assert difference_interval(Sample.of([run([1, 0, 1], ["a"] * 3)])) is None
    lonely = [run([1, 0], [split] * 2, split=split) for split in "123"]
    assert share_interval(lonely) is None, "a replicate of two groups has no items of the third split"


@pytest.mark.usefixtures("quick")
def test_groups_kept_together_cover_where_items_alone_do_not() -> None:
    rng, truth, hits = np.random.default_rng(1), 0.7, np.zeros(2)
    for _ in range(300):
        names, scores = share(rng, groups=60, size=6, icc=0.6, truth=truth)
        found = share_interval([Run("0", "1", names, scores)])
        hits += covers(found, truth), covers(wilson(scores.mean(), len(scores)), truth)
    together, alone = hits / 300
    assert together > 0.91
    assert alone < 0.85


# ---------------------------------------------------------------------------------------- over seeds


def test_without_items_variance_the_t_interval_is_the_textbooks() -> None:
    means = [0.1, 0.25, 0.3, 0.18]
    found = t_interval(Sample.of([run([mean] * 10, seed=str(i)) for i, mean in enumerate(means)]))
    assert found is not None
    expected = stats.t.interval(0.95, 3, np.mean(means), stats.sem(means))
    assert (found.low, found.high) == pytest.approx(expected)


def test_without_seeds_variance_the_t_interval_is_that_of_the_items() -> None:
    scores = np.random.default_rng(2).integers(0, 2, 300).astype(float)
    of = Sample.of([run(scores.tolist(), seed=str(i)) for i in range(3)])
    found = t_interval(of)
    assert found is not None
    expected = stats.t.interval(0.95, 299, scores.mean(), stats.sem(scores))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.002)


def test_hierarchical_bootstrap_has_the_variance_of_both_levels() -> None:
    rng = np.random.default_rng(5)
    skill = np.array([0.2, 0.5, 0.4, 0.7])[:, None]
    of = sample(np.arange(400).astype(str), skill + rng.normal(0, 1, 400))
    found = hierarchical(of)
    assert found is not None
    between, items = of.seed_means.var(ddof=1) / 4, of.replicates.mean(axis=1).var()
    width = 2 * NormalDist().inv_cdf(0.975) * np.sqrt(between + items)
    assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_one_seed_says_nothing_about_others() -> None:
    of = Sample.of([run([1.0, 0.0, 1.0])])
    assert hierarchical(of) is None
    assert t_interval(of) is None


@pytest.mark.usefixtures("quick")
def test_over_few_seeds_t_covers_where_items_alone_and_the_bootstrap_do_not() -> None:
    rng, hits = np.random.default_rng(0), np.zeros(3)
    for _ in range(200):
        names, a, b = rivals(rng, seeds=2, groups=100, seed_deviation=0.2)
        of = sample(names, a - b)
        hits += [covers(found, 0.0) for found in (difference_interval(of), hierarchical(of), t_interval(of))]
    items, bootstrap, t = hits / 200
    assert items < 0.7
    assert bootstrap < 0.9
    assert t > 0.92
