"""Worlds in which the truth is known: methods of equal accuracy, on test items that come in groups."""

from statistics import NormalDist

import numpy as np

from xdcbench.results.statistics.intervals import Interval, Run, Sample


def grouped(rng: np.random.Generator, groups: int, size: int, icc: float) -> tuple[np.ndarray, np.ndarray]:
    """Names of groups, and standard normal values that correlate by ``icc`` within a group; (items,) each."""
    codes = np.repeat(np.arange(groups), size)
    own, common = rng.normal(size=len(codes)), rng.normal(size=groups)[codes]
    return codes.astype(str), np.sqrt(1 - icc) * own + np.sqrt(icc) * common


def share(
    rng: np.random.Generator, *, groups: int, size: int, icc: float, truth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Groups and scores of one run whose expected share is ``truth``; (items,) each."""
    names, ease = grouped(rng, groups, size, icc)
    return names, (ease < NormalDist().inv_cdf(truth)).astype(float)


def rivals(
    rng: np.random.Generator,
    *,
    seeds: int,
    groups: int,
    size: int = 3,
    icc: float = 0.3,
    seed_deviation: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups (items,) and scores (seeds, items) of two methods that are alike.

    An item has an ease for both and a taste for one of them, correlated by ``icc`` in its group; a seed of a
    method has a skill of its own, and luck with each item.
    """
    names, ease = grouped(rng, groups, size, icc)
    _, taste = grouped(rng, groups, size, icc)
    a, b = (
        ease
        + side * 0.4 * taste
        + seed_deviation * rng.normal(size=(seeds, 1))
        + 0.7 * rng.normal(size=(seeds, len(ease)))
        for side in (1, -1)
    )
    return names, (a > -0.4).astype(float), (b > -0.4).astype(float)


def sample(names: np.ndarray, scores: np.ndarray) -> Sample:
    """Of scores (seeds, items) on one split."""
    return Sample.of([Run(str(seed), "1", names, row) for seed, row in enumerate(scores)])


def covers(interval: Interval | None, truth: float) -> bool:
    assert interval is not None
    return interval.low <= truth <= interval.high
