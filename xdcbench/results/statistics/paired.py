"""Two methods on the test items of both: run against run, and over splits and seeds."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from xdcbench.results.statistics.counterparts import Pairs, Unit, common_splits
from xdcbench.results.statistics.intervals import (
    Interval,
    Run,
    Sample,
    difference_interval,
    hierarchical,
    summary,
    t_interval,
)
from xdcbench.results.statistics.significance import mcnemar, sign_flip


@dataclass(frozen=True)
class PairedResult:
    """Two runs of one split and seed on the items of both; values in %, differences in points.

    ``a_alone`` and ``b_alone`` count items that only one had right, ``unread_a`` and ``unread_b`` items that
    only one could not read. ``p`` is McNemar's with groups kept together, ``p_items`` with items taken as
    independent. ``interval`` is None where the groups are too few for one.
    """

    split: str
    seed: str
    runs: tuple[str, str]
    a: float
    b: float
    difference: float
    interval: Interval | None
    items: int
    groups: int
    a_alone: int
    b_alone: int
    unread_a: int
    unread_b: int
    p: float
    p_items: float
    p_holm: float


@dataclass(frozen=True)
class Overall:
    """The mean over ``seeds`` of means over ``splits``, %, differences in points.

    ``interval`` is by t over several seeds, from the test items alone with one; ``deviation`` and ``bootstrap`` (of
    seeds and items) need several. ``p`` and ``p_holm`` are as in ``paired_p``.
    """

    splits: tuple[str, ...]
    seeds: tuple[str, ...]
    a: float
    b: float
    difference: float
    deviation: float | None
    groups: int
    interval: Interval | None
    bootstrap: Interval | None
    p: float
    p_holm: float


def paired_result(unit: Unit, runs: tuple[str, str], pairs: Pairs) -> PairedResult:
    """Compare two ``runs``, by key, on their common items; ``p_holm`` is ``p`` until a family is known."""
    difference = pairs.a - pairs.b
    sample = Sample.of([Run(unit.repetition, unit.split, pairs.groups, difference)])
    interval = difference_interval(sample)
    p = mcnemar(pairs.a, pairs.b, pairs.groups)
    return PairedResult(
        split=unit.split,
        seed=unit.seed,
        runs=runs,
        a=100.0 * float(pairs.a.mean()),
        b=100.0 * float(pairs.b.mean()),
        difference=100.0 * float(difference.mean()),
        interval=interval and interval.percent,
        items=len(difference),
        groups=len(sample.sums),
        a_alone=int((difference > 0).sum()),
        b_alone=int((difference < 0).sum()),
        unread_a=pairs.only_b,
        unread_b=pairs.only_a,
        p=p,
        p_items=mcnemar(pairs.a, pairs.b, np.arange(len(difference))),
        p_holm=p,
    )


def paired_p(pairs: Mapping[Unit, Pairs]) -> float:
    """Two-sided p of the difference over ``pairs`` of the same splits for each seed.

    Several seeds: sign flips of their means. One seed: McNemar's, by group over all splits.
    """
    seeds: dict[str, list[float]] = defaultdict(list)
    for unit, both in pairs.items():
        seeds[unit.repetition].append(float((both.a - both.b).mean()))
    if len(seeds) > 1:
        return sign_flip([100.0 * fmean(of) for of in seeds.values()])
    a, b, groups = (
        np.concatenate(of) for of in zip(*((p.a, p.b, p.groups) for p in pairs.values()), strict=True)
    )
    return mcnemar(a, b, groups)


def overall(pairs: Mapping[Unit, Pairs]) -> Overall | None:
    """The mean over seeds and over the splits that every seed has; None where that is one run or none."""
    kept = common_splits(pairs)
    if len(kept) < 2:
        return None
    a, b, sample = (
        Sample.of([Run(u.repetition, u.split, p.groups, score(p)) for u, p in kept.items()])
        for score in (lambda p: p.a, lambda p: p.b, lambda p: p.a - p.b)
    )
    means = (100.0 * sample.seed_means).tolist()
    difference, deviation, n = summary(means)
    several = n > 1 and bool(sample.sums.any())
    interval = t_interval(sample) if several else difference_interval(sample)
    bootstrap = hierarchical(sample) if several else None
    p = paired_p(kept)
    return Overall(
        splits=tuple(sorted({unit.split for unit in kept})),
        seeds=tuple(sorted({unit.repetition for unit in kept})),
        a=100.0 * float(a.seed_means.mean()),
        b=100.0 * float(b.seed_means.mean()),
        difference=difference,
        deviation=deviation,
        groups=len(sample.sums),
        interval=interval and interval.percent,
        bootstrap=bootstrap and bootstrap.percent,
        p=p,
        p_holm=p,
    )
