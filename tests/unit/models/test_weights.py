from pathlib import Path

import pytest
import torch
from torch import nn

from xdcbench.config.models import AudioModel, VideoModel
from xdcbench.errors import UserError
from xdcbench.models.weights import build_encoder, load_weights, save_weights

MODELS = [VideoModel(width=4, blocks=(1, 1, 1, 1)), AudioModel(width=4, blocks=(1, 1, 1, 1))]


def same(a: nn.Module, b: nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("model", MODELS, ids=["video", "audio"])
def test_a_seed_decides_the_weights_and_global_state_is_kept(model: VideoModel | AudioModel) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = build_encoder(model, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert same(first, build_encoder(model, seed=1))
    assert not same(first, build_encoder(model, seed=2))


@pytest.mark.parametrize("model", MODELS, ids=["video", "audio"])
def test_weights_survive_a_file(model: VideoModel | AudioModel, tmp_path: Path) -> None:
    saved, loaded = build_encoder(model, seed=1), build_encoder(model, seed=2)
    if isinstance(model, VideoModel):
        saved = saved.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    save_weights(saved, tmp_path / "w.safetensors", metadata={"round": "3"})
    assert load_weights(loaded, tmp_path / "w.safetensors") == {"round": "3"}
    assert same(saved, loaded)


def test_a_misfit_lists_every_tensor_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 2)}), path, metadata={})
    module = nn.ModuleDict({"b": nn.Linear(2, 4), "c": nn.Linear(1, 1, bias=False)})
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_weights(module, path)
    message = str(caught.value)
    assert str(path) in message
    assert "missing: c.weight;" in message
    assert "unexpected: a.bias, a.weight;" in message
    assert "b.bias (2,) for (4,), b.weight (2, 2) for (4, 2)" in message
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.safetensors: no such weights file"):
        load_weights(nn.Linear(1, 1), tmp_path / "gone.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a safetensors file at all"])
def test_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"w\.safetensors: not a safetensors file"):
        load_weights(nn.Linear(1, 1), path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "w.pt")
    with pytest.raises(UserError, match="not a safetensors file"):
        load_weights(nn.Linear(1, 1), tmp_path / "w.pt")
