import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from xdcbench.clustering.metrics import nmi, purity, summary

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


@pytest.mark.parametrize("score", [nmi, purity])
def test_unlabelled_items_are_left_out(score: type) -> None:
    a, b = np.array([0, 0, 1, 1, -1, 0]), np.array([2, 2, 3, 2, 1, -1])
    assert score(a, b) == score(a[:4], b[:4])


@pytest.mark.parametrize("score", [nmi, purity])
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
    assert summary(np.zeros(size, dtype=np.int64), k=k)["entropy"] == 0
