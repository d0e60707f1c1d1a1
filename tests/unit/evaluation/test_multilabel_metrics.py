"""mAP, mAUC and d': against scikit-learn, by hand, and where a class has no positive or no negative."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, roc_auc_score

from xdcbench.evaluation.multilabel_metrics import class_metrics, d_prime


@given(seed=st.integers(0, 999), ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_class_is_scikit_learns(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(30, 4)).round(0 if ties else 8)
    sets = rng.random((30, 4)) < 0.3
    sets[0], sets[1] = True, False
    found = class_metrics(csr_array(sets.astype(np.float32)), scores)
    assert found.positives.tolist() == sets.sum(axis=0).tolist()
    assert found.mean_average_precision == pytest.approx(
        average_precision_score(sets, scores, average="macro")
    )
    assert found.mean_roc_auc == pytest.approx(roc_auc_score(sets, scores, average="macro"))


def test_ranks_by_hand() -> None:
    # Class 0: positives at ranks 1 and 3, precision 1 and 2/3; one of four pairs is in the wrong order.
    scores = np.array([[0.9], [0.5], [0.7], [0.1]])
    found = class_metrics(csr_array([[1.0], [1.0], [0.0], [0.0]]), scores)
    assert found.average_precision == pytest.approx([5 / 6])
    assert found.roc_auc == pytest.approx([3 / 4])


def test_classes_without_positives_or_negatives_are_left_out_of_the_means() -> None:
    sets = csr_array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    found = class_metrics(sets, np.array([[0.2, 0.9, 0.1], [0.4, 0.1, 0.7]]))
    np.testing.assert_equal(found.average_precision, [0.5, np.nan, 1.0])
    np.testing.assert_equal(found.roc_auc, [0.0, np.nan, np.nan])
    assert (found.mean_average_precision, found.mean_roc_auc) == (0.75, 0.0)


def test_scores_count_by_their_order_alone() -> None:
    rng = np.random.default_rng(0)
    sets, scores = csr_array((rng.random((40, 3)) < 0.4).astype(np.float32)), rng.normal(size=(40, 3))
    one, other = class_metrics(sets, scores), class_metrics(sets, np.exp(5 * scores) + np.arange(3))
    np.testing.assert_array_equal(one.average_precision, other.average_precision)
    np.testing.assert_array_equal(one.roc_auc, other.roc_auc)


@pytest.mark.parametrize(("auc", "expected"), [(0.5, 0.0), (0.959, 2.459), (0.973, 2.725)])
def test_d_prime_of_known_areas(auc: float, expected: float) -> None:
    assert d_prime(auc) == pytest.approx(expected, abs=1e-3)


def test_d_prime_is_the_distance_of_two_normal_distributions() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(1.3, 1, 20_000), rng.normal(0, 1, 20_000)])
    found = class_metrics(csr_array(np.repeat([[1.0], [0.0]], 20_000, axis=0)), scores[:, None])
    assert d_prime(found.mean_roc_auc) == pytest.approx(1.3, abs=0.03)
    assert (d_prime(0.0), d_prime(1.0)) == (-math.inf, math.inf)
