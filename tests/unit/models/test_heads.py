import pytest
import torch

from xdcbench.models.heads import Heads


def test_each_source_is_its_own_linear_map() -> None:
    heads = Heads(6, {"a": 3, "b": 5})
    x = torch.randn(4, 6)
    logits = heads(x)
    rows = {"a": slice(0, 3), "b": slice(3, 8)}
    assert list(logits) == ["a", "b"]
    for source, part in rows.items():
        expected = x @ heads.linear.weight[part].T + heads.linear.bias[part]
        torch.testing.assert_close(logits[source], expected)


def test_a_loss_on_one_source_leaves_the_other_alone() -> None:
    heads = Heads(6, {"a": 3, "b": 5})
    heads(torch.randn(4, 6))["a"].sum().backward()
    gradient = heads.linear.weight.grad
    assert gradient is not None
    assert gradient[:3].any()
    assert not gradient[3:].any()


def test_initialization() -> None:
    torch.manual_seed(0)
    heads = Heads(512, {"labels": 400})
    assert heads.linear.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert heads.linear.weight.mean().item() == pytest.approx(0, abs=1e-4)
    assert not heads.linear.bias.any()


@pytest.mark.parametrize("source", ["train", "a.b", "run:1f"])
def test_sources_may_have_any_name(source: str) -> None:
    assert Heads(2, {source: 4})(torch.zeros(1, 2))[source].shape == (1, 4)
