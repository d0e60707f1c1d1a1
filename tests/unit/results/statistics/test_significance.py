"""Tests of differences against statsmodels, brute force over signs, and simulation under the null."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, ttest_1samp
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from tests.unit.results.statistics.simulated import rivals
from xdcbench.results.statistics.significance import (
    EXACT_SEEDS,
    LEVEL,
    holm,
    mcnemar,
    p_text,
    seeds_needed,
    sign_flip,
    smallest_p,
)


def scores(both: int, a_alone: int, b_alone: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.array([1.0] * (both + a_alone) + [0.0] * b_alone)
    b = np.array([1.0] * both + [0.0] * a_alone + [1.0] * b_alone)
    return a, b


def by_item(a: np.ndarray, b: np.ndarray) -> float:
    return mcnemar(a, b, np.arange(len(a)))


def brute(differences: list[float]) -> float:
    """Share of all choices of signs whose sum is at least as far from 0."""
    sums = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=len(differences))]
    return float(np.mean([total >= abs(sum(differences)) - 1e-9 for total in sums]))


# ---------------------------------------------------------------------------------------------- McNemar


@given(both=st.integers(1, 50), a_alone=st.integers(0, 80), b_alone=st.integers(0, 80))
def test_mcnemar_of_single_items_is_statsmodels_exact(both: int, a_alone: int, b_alone: int) -> None:
    theirs = their_mcnemar([[both, a_alone], [b_alone, 0]], exact=True).pvalue if a_alone + b_alone else 1.0
    assert by_item(*scores(both, a_alone, b_alone)) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("a_alone", "b_alone"), [(300, 260), (500, 430), (120, 170)])
def test_mcnemar_of_many_items_is_near_the_corrected_chi_squared(a_alone: int, b_alone: int) -> None:
    theirs = their_mcnemar([[1000, a_alone], [b_alone, 0]], exact=False, correction=True).pvalue
    assert by_item(*scores(1000, a_alone, b_alone)) == pytest.approx(theirs, abs=0.002)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([-1, 0, 1])), min_size=1, max_size=25))
def test_mcnemar_by_group_counts_all_signs_of_groups(items: list[tuple[int, int]]) -> None:
    groups = np.array([f"g{group}" for group, _ in items])
    differences = np.array([float(d) for _, d in items])
    sums = [float(differences[groups == group].sum()) for group in np.unique(groups)]
    found = mcnemar(np.maximum(differences, 0), np.maximum(-differences, 0), groups)
    assert found == pytest.approx(brute(sums))


def test_mcnemar_without_a_difference_is_one() -> None:
    a, _ = scores(5, 3, 2)
    assert by_item(a, a) == 1.0


def test_under_the_null_mcnemar_keeps_its_level_only_by_group() -> None:
    rng, rejected = np.random.default_rng(4), np.zeros(2)
    for _ in range(300):
        names, a, b = rivals(rng, seeds=1, groups=60, size=6, icc=0.8)
        rejected += mcnemar(a[0], b[0], names) < LEVEL, by_item(a[0], b[0]) < LEVEL
    by_group, alone = rejected / 300
    assert by_group < 0.08
    assert alone > 0.1


# ------------------------------------------------------------------------------------------- over seeds


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-10, 10, width=16), min_size=2, max_size=8))
def test_sign_flip_counts_all_signs(differences: list[float]) -> None:
    assert sign_flip(differences) == pytest.approx(brute(differences))


@pytest.mark.parametrize("seeds", [2, 3, 5, 9, 16])
@pytest.mark.parametrize("items", [8, 3783, 0])
def test_counted_sign_flips_are_scipys_to_the_last_digit(seeds: int, items: int) -> None:
    """Of shares of few items many sums are equal; 0 items: of numbers without any pattern."""
    rng = np.random.default_rng(seeds)
    for _ in range(3 if seeds > 9 else 30):
        differences = 100 * rng.integers(-2, 6, seeds) / items if items else rng.normal(0.5, 1, seeds)
        theirs = permutation_test(
            (differences,),
            lambda x, axis: x.mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**EXACT_SEEDS,
        ).pvalue
        assert sign_flip(differences.tolist()) == theirs


def test_a_sum_that_is_0_but_for_rounding_is_as_near_as_any() -> None:
    """SciPy's tolerance is a share of the sum itself, which rounding alone makes unequal to 0."""
    assert 0.1 + 0.2 - 0.3 != 0
    assert sign_flip([0.1, 0.2, -0.3]) == 1


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_the_smallest_p_is_that_of_seeds_that_all_agree(seeds: int) -> None:
    assert sign_flip([1.0 + 0.1 * i for i in range(seeds)]) == pytest.approx(smallest_p(seeds))


def test_beyond_what_can_be_counted_signs_are_drawn() -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, 24).tolist()
    assert sign_flip(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue, abs=0.02)
    assert sign_flip(differences) == sign_flip(differences)


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (3, 7), (5, 8)])
def test_seeds_needed(comparisons: int, seeds: int) -> None:
    assert seeds_needed(comparisons) == seeds
    assert comparisons * smallest_p(seeds) <= LEVEL < comparisons * smallest_p(seeds - 1)


# ------------------------------------------------------------------------------------------------- Holm


@settings(max_examples=15)  # theirs is slow
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1])


def test_holm_of_none() -> None:
    assert holm([]) == []


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([0.01, None, 0.02, None]) == [0.02, None, 0.02, None]


@pytest.mark.parametrize(
    ("p", "text"),
    [(1.0, "1"), (0.0312, "0.031"), (0.0001, "0.0001"), (0.00009999, "< 0.0001"), (0.0, "< 0.0001")],
)
def test_p_in_words(p: float, text: str) -> None:
    assert p_text(p) == text
