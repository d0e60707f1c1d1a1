from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from xdcbench.clustering.metrics import ami, ari, class_entropy, cluster_accuracy, nmi, purity, summary

labelings = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40)


@given(labelings)
def test_nmi_agrees_with_scikit_learn_and_is_symmetric(pairs: list[tuple[int, int]]) -> None:
    a, b = torch.tensor(pairs).T
    assert nmi(a, b) == pytest.approx(normalized_mutual_info_score(a.numpy(), b.numpy()), abs=1e-9)
    assert nmi(a, b) == pytest.approx(nmi(b.numpy(), a.numpy()), abs=1e-9)


@given(labelings)
def test_purity_agrees_with_counting(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    best = {c: np.bincount(b[a == c]).max() for c in set(a.tolist())}
    weighted, plain = purity(a, b)
    assert weighted == pytest.approx(sum(best.values()) / len(a))
    assert plain == pytest.approx(np.mean([best[c] / (a == c).sum() for c in best]))


def test_purity_by_hand() -> None:
    assignments, labels = torch.tensor([0, 0, 0, 0, 5]), torch.tensor([1, 1, 2, 3, 2])
    assert purity(assignments, labels) == (pytest.approx(3 / 5), pytest.approx((2 / 4 + 1) / 2))


@pytest.mark.parametrize("score", [nmi, ami, ari, purity, class_entropy, cluster_accuracy])
def test_unlabeled_items_are_left_out(score: type) -> None:
    a, b = np.array([0, 0, 1, 1, -1, 0]), np.array([2, 2, 3, 2, 1, -1])
    assert score(a, b) == score(a[:4], b[:4])


@pytest.mark.parametrize("score", [nmi, ami, ari, purity, class_entropy, cluster_accuracy])
def test_nothing_to_compare_is_an_error(score: type) -> None:
    with pytest.raises(ValueError, match="no item has both"):
        score(np.array([0, 1]), np.array([-1, -1]))
    with pytest.raises(ValueError, match="items"):
        score(np.array([0, 1]), np.array([0, 1, 1]))


def test_summary_by_hand() -> None:
    shares = np.array([0.5, 0.25, 0.25])
    assert summary(torch.tensor([0, 0, 1, 3]), k=4) == {
        "size_min": 0,
        "size_median": 1,
        "size_max": 2,
        "empty": 1,
        "entropy": pytest.approx(-(shares * np.log(shares)).sum() / np.log(4)),
    }


@given(st.integers(2, 9), st.integers(1, 5))
def test_entropy_ends(k: int, size: int) -> None:
    assert summary(np.repeat(np.arange(k), size), k=k)["entropy"] == pytest.approx(1)
    assert str(summary(np.zeros(size, dtype=np.int64), k=k)["entropy"]) == "0.0", "and no -0.0"


@given(labelings)
def test_adjusted_scores_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    a, b = torch.tensor(pairs).T
    assert ami(a, b) == pytest.approx(adjusted_mutual_info_score(a.numpy(), b.numpy()), abs=1e-9)
    assert ari(a, b) == pytest.approx(adjusted_rand_score(a.numpy(), b.numpy()), abs=1e-9)


@given(labelings)
def test_class_entropy_is_that_of_pairs_less_that_of_clusters(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T

    def bits(of: np.ndarray) -> float:
        shares = np.unique(of, return_counts=True)[1] / len(pairs)
        return float(-(shares * np.log2(shares)).sum())

    with np.errstate(all="raise"):  # no logarithm of 0 is taken and thrown away
        found = class_entropy(a, b)
    assert found == pytest.approx(bits(10 * a + b) - bits(a), abs=1e-9)


@given(labelings)
def test_matching_is_the_best_of_all(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    share, matched = cluster_accuracy(a, b)
    clusters, labels = np.unique(a).tolist(), np.unique(b).tolist()
    blanks = [-1] * max(0, len(clusters) - len(labels))
    right = max(
        sum(choice[clusters.index(cluster)] == label for cluster, label in pairs)
        for choice in permutations(labels + blanks, len(clusters))
    )
    assert share == pytest.approx(right / len(pairs))
    assert share == pytest.approx(np.mean([matched.get(cluster) == label for cluster, label in pairs]))
    assert len(set(matched.values())) == len(matched) == min(len(clusters), len(labels))


def test_matching_by_hand() -> None:
    # Cluster 0 is mostly of class 4, which cluster 7 needs more; nothing is left for cluster 9.
    assignments, labels = torch.tensor([0, 0, 0, 0, 0, 7, 7, 9]), torch.tensor([4, 4, 4, 2, 2, 4, 4, 4])
    assert cluster_accuracy(assignments, labels) == (pytest.approx(4 / 8), {0: 2, 7: 4})


def test_a_tie_between_matchings_is_always_broken_alike() -> None:
    assignments, labels = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    share, matched = cluster_accuracy(assignments, labels)
    assert share == 0.5 and (share, matched) == cluster_accuracy(assignments, labels)
    assert matched in ({0: 0, 1: 1}, {0: 1, 1: 0})


@pytest.mark.parametrize("one", ["cluster", "class"])
def test_one_cluster_and_one_class(one: str) -> None:
    single, several = np.zeros(6, dtype=np.int64), np.array([0, 0, 0, 1, 1, 2])
    a, b = (single, several) if one == "cluster" else (several, single)
    assert nmi(a, b) == ami(a, b) == ari(a, b) == 0
    assert cluster_accuracy(a, b)[0] == pytest.approx(3 / 6)
    assert purity(a, b) == ((0.5, 0.5) if one == "cluster" else (1.0, 1.0))
    assert class_entropy(a, b) == pytest.approx(1.4591479 if one == "cluster" else 0.0)


def test_a_perfect_clustering_under_other_names() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    names = np.array([5, 1, 3])[labels]
    assert nmi(names, labels) == ami(names, labels) == ari(names, labels) == pytest.approx(1)
    assert cluster_accuracy(names, labels) == (1.0, {5: 0, 1: 1, 3: 2}) and class_entropy(names, labels) == 0
