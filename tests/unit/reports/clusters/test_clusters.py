import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tiny import small_index
from xdcbench.clustering.metrics import purity
from xdcbench.reports.clusters.clusters import clusters_of, labels_of


def test_by_hand() -> None:
    assignments = np.array([0, 0, 0, 2, 2, np.nan, -1.0])
    distances = np.array([0.3, 0.1, 0.2, 0.5, np.nan, 0.0, 0.0])
    labels = [("cat",), ("cat",), ("dog",), ("dog",), ("dog",), ("cat",), ("cat",)]
    first, second = clusters_of(assignments, distances, labels, nearest=2)
    assert (first.number, first.size, first.purity, first.nearest) == (2, 2, 1.0, (3, 4))
    assert first.spread == pytest.approx(0.5)
    assert (second.number, second.nearest) == (0, (1, 2))
    assert second.shares == (("cat", pytest.approx(2 / 3)), ("dog", pytest.approx(1 / 3)))
    assert second.spread == pytest.approx(0.2)


def test_without_labels_the_largest_then_the_most_compact_comes_first() -> None:
    assignments = np.array([0, 1, 1, 2, 2, 3], dtype=float)
    distances = np.array([0.1, 0.9, 0.9, 0.2, 0.2, np.nan])
    found = clusters_of(assignments, distances, [()] * 6, nearest=1)
    assert [cluster.number for cluster in found] == [2, 1, 0, 3]
    assert all(cluster.purity is None for cluster in found)


def test_several_labels_of_an_item_count_once_each() -> None:
    found = clusters_of(np.zeros(2), np.zeros(2), [("cat", "dog", "dog"), ("dog",)], nearest=1)
    assert found[0].shares == (("dog", 1.0), ("cat", 0.5))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 2), st.floats(0, 9)), min_size=1, max_size=40))
def test_agrees_with_the_recorded_purity(items: list[tuple[int, int, float]]) -> None:
    assignments, classes, distances = (np.array(column) for column in zip(*items, strict=True))
    labels = [(f"class{c}",) for c in classes]
    found = clusters_of(assignments.astype(float), distances, labels, nearest=len(items))
    inside = assignments >= 0
    assert sorted(row for cluster in found for row in cluster.nearest) == np.flatnonzero(inside).tolist()
    for cluster in found:
        near = distances[list(cluster.nearest)]
        assert (np.diff(near) >= 0).all()
    purities = [cluster.purity for cluster in found]
    assert purities == sorted(purities, reverse=True)
    if inside.any():
        weighted, _ = purity(assignments[inside], classes[inside])
        mine = sum(cluster.purity * cluster.size for cluster in found) / inside.sum()
        assert mine == pytest.approx(weighted)


def test_items_without_a_label_have_none() -> None:
    assert labels_of(small_index([0, -1, 1], ["train"] * 3)) == [("class0",), (), ("class1",)]
