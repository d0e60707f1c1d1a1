"""Intervals of means over test items, splits and seeds. Shares are between 0 and 1, not in per cent."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import Literal, NamedTuple

import numpy as np

LEVEL = 0.95
REPLICATES = 10_000
FEW_GROUPS = 20
"""Below so many groups an interval is too narrow by more than chance (docs/explanation/statistics.md)."""

Method = Literal["wilson", "bootstrap", "hierarchical bootstrap", "t"]

_DRAWS = 2_000_000  # groups drawn at a time: bounds memory, changes no number
KEPT = 1000
"""Groups up to which their draws are kept: 20 MB for each number of groups."""


@dataclass(frozen=True)
class Interval:
    """Ends of an interval at ``LEVEL``, in the unit of what was averaged, and how it was found."""

    low: float
    high: float
    method: Method

    @property
    def percent(self) -> "Interval":
        """The interval of a share in per cent."""
        return replace(self, low=100.0 * self.low, high=100.0 * self.high)


class Run(NamedTuple):
    """One run: its seed and split, and per test item its group (str) and score (float64), both (items,)."""

    seed: str
    split: str
    groups: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Sample:
    """Scores of test items in several runs, added up over groups, which are what is drawn at random.

    An item that is in the test lists of several splits is of one group in all of them, so that what it
    does there moves together.

    Attributes:
        sums: float64 (groups, runs), of scores.
        counts: float64 (groups, runs), of items.
        weights: float64 (runs, seeds), what a run counts in its seed's mean over splits.
    """

    sums: np.ndarray
    counts: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Sample":
        """Add up runs of any order; the number of groups is that of all runs together."""
        names, codes = np.unique(np.concatenate([run.groups for run in runs]), return_inverse=True)
        parts = np.split(codes, np.cumsum([len(run.groups) for run in runs])[:-1])
        sums, counts = (
            np.stack([np.bincount(c, w, len(names)) for c, w in zip(parts, values, strict=True)], axis=1)
            for values in ([run.scores for run in runs], [np.ones(len(run.groups)) for run in runs])
        )
        seeds = sorted({run.seed for run in runs})
        member = np.array([[float(run.seed == seed) for seed in seeds] for run in runs])
        return cls(sums, counts, member / member.sum(axis=0))

    @cached_property
    def seed_means(self) -> np.ndarray:
        """Mean over splits of each seed, float64 (seeds,)."""
        means: np.ndarray = (self.sums.sum(axis=0) / self.counts.sum(axis=0)) @ self.weights
        return means

    @property
    def enough(self) -> bool:
        """Whether the groups allow a bootstrap: two at least, and most replicates have items of every split."""
        return len(self.sums) > 1 and len(self.replicates) > REPLICATES // 2

    @cached_property
    def replicates(self) -> np.ndarray:
        """``seed_means`` of bootstrap replicates, float64 (up to REPLICATES, seeds).

        A replicate has one group fewer than there are, which makes its variance unbiased (Rao and Wu 1988).
        One that leaves a split without items is dropped.
        """
        groups = len(self.sums)
        table, runs = np.hstack([self.sums, self.counts]), self.sums.shape[1]
        draws = _kept_draws(groups, REPLICATES) if groups <= KEPT else _draws(groups, REPLICATES)
        totals = np.concatenate([times.astype(np.float64) @ table for times in draws])
        totals = totals[(totals[:, runs:] > 0).all(axis=1)]
        means: np.ndarray = (totals[:, :runs] / totals[:, runs:]) @ self.weights
        return means


def _draws(groups: int, replicates: int) -> Iterator[np.ndarray]:
    """How often each replicate draws each group, int64 (replicates, groups), in parts; the same for one ``groups``."""
    rng = np.random.default_rng(0)
    for start in range(0, replicates, step := max(1, _DRAWS // groups)):
        n = min(step, replicates - start)
        drawn = rng.integers(0, groups, (n, groups - 1)) + groups * np.arange(n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=n * groups).reshape(n, groups)


@lru_cache(maxsize=4)
def _kept_draws(groups: int, replicates: int) -> tuple[np.ndarray, ...]:
    """`_draws`, kept for the next cell on as many groups: a report has thousands of those."""
    return tuple(times.astype(np.uint16) for times in _draws(groups, replicates))


def summary(values: Iterable[float]) -> tuple[float, float | None, int]:
    """Mean, sample deviation (divided by n - 1; None for one value) and number of values, of which there are some."""
    several = list(values)
    return fmean(several), stdev(several) if len(several) > 1 else None, len(several)


def wilson(share: float, n: int) -> Interval:
    """Wilson's score interval of a share, 0 to 1, of ``n`` independent items, at least one.

    Not SciPy's, which referees in the tests: to import it makes `table --intervals` 1.3 times as long.
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    center = share + z * z / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((center + side * half) / (1 + z * z / n) for side in (-1, 1))
    return Interval(max(0.0, low), min(1.0, high), "wilson")


def share_interval(runs: Sequence[Run]) -> Interval | None:
    """What other test items would have given: interval of a cell's share, its seeds and splits as they are.

    Wilson's for one run on items that are each a group of their own, otherwise a bootstrap over groups. Where
    all items are right, or all wrong, a bootstrap has no width; Wilson's interval then counts groups.
    None where there are too few groups.
    """
    sample = Sample.of(runs)
    right, groups = float(sample.seed_means.mean()), len(sample.sums)
    alike = not sample.sums.any() or bool((sample.sums == sample.counts).all())
    if alike or (len(runs) == 1 and sample.counts.max() == 1):
        return wilson(right, groups)
    return _percentiles(sample.replicates.mean(axis=1), "bootstrap") if sample.enough else None


def difference_interval(sample: Sample) -> Interval | None:
    """What other test items would have given: interval of a mean difference by bootstrap over groups.

    Without any difference a bootstrap has no width; the interval then reaches as far to both sides as
    Wilson's does from 0 of all groups. None where there are too few groups.
    """
    if not sample.sums.any():
        reach = wilson(0.0, len(sample.sums)).high
        return Interval(-reach, reach, "wilson")
    return _percentiles(sample.replicates.mean(axis=1), "bootstrap") if sample.enough else None


def hierarchical(sample: Sample) -> Interval | None:
    """What other seeds and other test items would have given, both drawn anew in each replicate.

    One seed fewer is drawn than there are, as with groups; every seed sees the same items, so one draw of
    items serves all seeds of a replicate. None below two seeds, or where there are too few groups.
    """
    seeds = sample.weights.shape[1]
    if seeds < 2 or not sample.enough:
        return None
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=len(sample.replicates))
    return _percentiles((sample.replicates * drawn).sum(axis=1) / (seeds - 1), "hierarchical bootstrap")


def t_interval(sample: Sample) -> Interval | None:
    """As ``hierarchical``, but by Student's t, which knows how little few seeds say.

    The half width is the root of a sum of squares: of t times the standard error of the seeds' mean, and of t
    times the root of the items' variance that all seeds share, their mean covariance over replicates (Howe's
    way to add intervals, each with degrees of freedom of its own). It is at least that of the items alone.
    """
    from scipy.stats import t

    groups, seeds = len(sample.sums), sample.weights.shape[1]
    if seeds < 2 or not sample.enough:
        return None
    of_seeds, of_items = (float(t.ppf((1 + LEVEL) / 2, n - 1)) for n in (seeds, groups))
    covariance = np.cov(sample.replicates, rowvar=False)
    shared = max(0.0, float(covariance.sum() - covariance.trace()) / (seeds * (seeds - 1)))
    both = of_seeds**2 * float(sample.seed_means.var(ddof=1)) / seeds + of_items**2 * shared
    half = sqrt(max(both, of_items**2 * float(covariance.mean())))
    mean = float(sample.seed_means.mean())
    return Interval(mean - half, mean + half, "t")


def _percentiles(replicates: np.ndarray, method: Method) -> Interval:
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), method)
