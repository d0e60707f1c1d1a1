"""Tests of the difference between two methods, and Holm's correction for several of them."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

LEVEL = 0.05
SMALLEST = 0.0001
"""The least p value that is written as a number."""
EXACT_SEEDS = 16
"""Up to so many seeds every choice of signs is counted; beyond, 2**16 of them are drawn."""

ROUNDING = 1e-12
"""What rounding may move of a sum, as a share of the sum of all absolute values."""

P = TypeVar("P", float, float | None)


def mcnemar(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided p of McNemar's test, exact at every size, items of one group kept together.

    If both methods are alike, each group's difference (items right in ``a`` alone less items right in ``b``
    alone) is as likely to have the other sign. The distribution of the sum over all signs is computed, not
    approximated. With groups of one item it is binomial: the exact test of McNemar (1947).

    ``a`` and ``b`` are float64 (items,), 1 where right, 0 where wrong; ``groups`` of any type that sorts.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    differences = np.abs(np.rint(np.bincount(codes, a - b))).astype(int)
    observed = abs(round(float((a - b).sum())))
    chances = np.ones(1)  # of the sums -total, -total + 1, ..., total
    for difference in differences[differences > 0]:
        grown = np.zeros(len(chances) + 2 * difference)
        grown[: len(chances)] += chances / 2
        grown[2 * difference :] += chances / 2
        chances = grown
    total = len(chances) // 2
    sums = np.arange(-total, total + 1)
    return min(1.0, float(chances[np.abs(sums) >= observed].sum()))


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the permutation test over seeds: were the methods alike, each difference could flip.

    It speaks of other seeds on the same test items, and cannot fall below ``smallest_p``. ``differences`` are
    of the methods' means, one per seed, at least two. Not SciPy's test where every choice of signs is counted: to
    import it takes longer than the rest of a suite's tables. In the tests it is the referee.
    """
    if len(differences) <= EXACT_SEEDS:
        return _exact_sign_flip(differences)
    from scipy.stats import permutation_test

    found = permutation_test(
        (np.asarray(differences, dtype=np.float64),),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**EXACT_SEEDS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def _exact_sign_flip(differences: Sequence[float]) -> float:
    """Share of all choices of signs whose sum is as far from 0 as that of ``differences``, which is one of them."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    rounding = ROUNDING * float(np.abs(differences).sum())  # of sums that are equal in exact arithmetic
    return float((np.abs(sums) >= abs(sums[0]) - rounding).mean())


def smallest_p(seeds: int) -> float:
    """The least p that ``sign_flip`` can give with so many seeds."""
    return 2.0 ** (1 - seeds)


def seeds_needed(comparisons: int) -> int:
    """The fewest seeds with which ``sign_flip`` can reach the level after Holm's correction."""
    return max(2, math.ceil(1 + math.log2(comparisons / LEVEL)))


def holm(ps: Sequence[P]) -> list[P]:
    """Holm's adjusted p values (1979), in the order given: below a level, the family's error is too.

    None, for what was not tested, stays.
    """
    family = {i: p for i, p in enumerate(ps) if p is not None}
    adjusted, highest = list(ps), 0.0
    for rank, i in enumerate(sorted(family, key=lambda i: family[i])):
        highest = max(highest, min(1.0, (len(family) - rank) * family[i]))
        adjusted[i] = highest
    return adjusted


def p_text(p: float) -> str:
    """A p value in two digits: ``0.031``, ``< 0.0001``."""
    return f"{p:.2g}" if p >= SMALLEST else f"< {SMALLEST:g}"
