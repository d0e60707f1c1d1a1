import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from xdcbench.clustering.preprocess import Mode, concat, fit
from xdcbench.errors import UserError


def features(n: int, d: int, *, seed: int = 0) -> torch.Tensor:
    """Correlated features with a falling spectrum, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator) / torch.arange(1, d + 1)[:, None]
    return torch.randn(n, d, generator=generator) @ mixing + 5


def preprocess(x: torch.Tensor, *, mode: Mode, dim: int) -> torch.Tensor:
    return fit(x, mode=mode, dim=dim)(x)


def pca_whiten(x: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Whitened rows before they are scaled to unit length."""
    found = fit(x, mode="pca_whiten_l2", dim=dim)
    return ((x.double() - found.mean) @ found.axes).float()


def test_later_items_get_what_the_fitted_ones_got() -> None:
    x = features(60, 8)
    found = fit(x, mode="pca_whiten_l2", dim=3)
    torch.testing.assert_close(found(x[20:30]), found(x)[20:30])


def test_none_changes_nothing() -> None:
    x = features(10, 4)
    assert torch.equal(preprocess(x, mode="none", dim=2), x)


def test_l2_agrees_with_scikit_learn_and_keeps_zeros() -> None:
    x = torch.cat([features(10, 4), torch.zeros(1, 4)])
    np.testing.assert_allclose(preprocess(x, mode="l2", dim=2), normalize(x.numpy()), rtol=1e-5)


@pytest.mark.parametrize(("n", "d", "dim"), [(300, 12, 5), (9000, 6, 6), (8, 20, 7)])
def test_whitening_agrees_with_scikit_learn(n: int, d: int, dim: int) -> None:
    x = features(n, d)
    expected = PCA(dim, whiten=True, svd_solver="full").fit_transform(x.double().numpy())
    found = pca_whiten(x, dim=dim).numpy()
    signs = np.sign((expected * found).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=2e-4)


def test_pca_whiten_l2_is_whitening_then_unit_rows() -> None:
    x = features(50, 8)
    expected = normalize(pca_whiten(x, dim=3).numpy())
    np.testing.assert_allclose(preprocess(x, mode="pca_whiten_l2", dim=3), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(3, 60), d=st.integers(1, 12), dim=st.integers(1, 20), seed=st.integers(0, 99))
def test_whitened_features_have_unit_covariance(n: int, d: int, dim: int, seed: int) -> None:
    found = pca_whiten(features(n, d, seed=seed), dim=dim).double()
    assert found.shape == (n, min(dim, n - 1, d))
    covariance = found.T @ found / (n - 1)
    torch.testing.assert_close(covariance, torch.eye(found.shape[1]).double(), atol=1e-3, rtol=0)


def test_directions_without_variance_are_dropped() -> None:
    x = features(100, 4)
    constant, copied = torch.full((100, 1), 0.1), x[:, :1]
    found = pca_whiten(torch.cat([x, constant, copied], dim=1), dim=6)
    assert found.shape == (100, 4)
    assert found.isfinite().all()


def test_collapsed_features_are_named() -> None:
    with pytest.raises(UserError, match="all 5 items are equal"):
        preprocess(torch.full((5, 3), 0.1), mode="pca_whiten_l2", dim=2)


def test_concat() -> None:
    video, audio = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.5, 0.0]])
    assert concat([video, audio], l2=False).tolist() == [[3, 4, 0, 0.5, 0]]
    torch.testing.assert_close(concat([video, audio], l2=True), torch.tensor([[0.6, 0.8, 0, 1, 0]]))
