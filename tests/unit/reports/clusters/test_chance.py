from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from xdcbench.clustering.metrics import purity
from xdcbench.reports.clusters.chance import chance_of


def test_means_are_those_of_all_permutations() -> None:
    clusters, labels = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    orders = [np.array(order) for order in permutations(labels)]
    found = chance_of(clusters.astype(float), [(f"class{one}",) for one in labels], seed=0, draws=20_000)
    assert found is not None and found.nmi is not None
    assert found.purity == pytest.approx(np.mean([purity(clusters, one)[0] for one in orders]), abs=0.005)
    nmi = np.mean([normalized_mutual_info_score(clusters, one) for one in orders])
    assert found.nmi == pytest.approx(nmi, abs=0.005)
    first = np.mean([np.bincount(one[clusters == 0]).max() / 3 for one in orders])
    assert found.by_cluster[0] == pytest.approx(first, abs=0.005)
    assert found.by_cluster[2] == 1.0, "a cluster of one item is pure by chance"


def test_items_without_cluster_or_label_count_as_in_the_purity_of_a_cluster() -> None:
    found = chance_of(np.array([0.0, 0.0, np.nan, -1.0]), [("a",), (), ("b",), ("b",)], seed=0)
    assert found is not None
    assert found.by_cluster == {0: pytest.approx(0.5)} and found.purity == pytest.approx(1.0)
    assert chance_of(np.zeros(3), [(), (), ()], seed=0) is None


def test_several_labels_of_an_item_move_together_and_have_no_nmi() -> None:
    found = chance_of(np.array([0.0, 0.0, 1.0]), [("a", "b"), ("b",), ("b",)], seed=0)
    assert found is not None
    assert found.nmi is None and found.purity == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_chance() -> None:
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(5, size=60).astype(float), [(str(n),) for n in rng.integers(4, size=60)]
    assert chance_of(clusters, labels, seed=1) == chance_of(clusters, labels, seed=1)
