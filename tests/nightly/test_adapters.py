"""The modules of docs/how-to/encoders.md with the libraries themselves: timm, transformers and onnxruntime."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.unit.models.test_adapters import MODULES
from xdcbench.models import validation
from xdcbench.models.pretrained.external import untried_encoder
from xdcbench.models.raw_inputs import blank, noise
from xdcbench.models.validation import CHECKS, Trial, check_all
from xdcbench.utils.code import Consent

pytestmark = pytest.mark.nightly


def check(name: str, attribute: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """The encoder of a module with this text, after all checks passed."""
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(validation, "SECONDS", 0.0)
    importlib.invalidate_caches()
    consent = Consent(everything=True)
    encoder, again = (
        untried_encoder(f"{name}:{attribute}", ("video", "audio"), consent, "a test") for _ in range(2)
    )
    inputs = {"noise": noise(encoder.input, 2), "nothing": blank(encoder.input, 1)}
    found = list(check_all(Trial(encoder, again, inputs, torch.device("cpu"))))
    assert len(found) == len(CHECKS) and all(of.ok for of in found), [of for of in found if not of.ok]
    return encoder.net


def changed(name: str, was: str, now: str) -> str:
    """A module of the document with one text in place of another, which it must have."""
    assert was in MODULES[name]
    return MODULES[name].replace(was, now)


def test_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed; `tox -e nightly` installs it")
    text = changed("timm_encoder", "pretrained=True", "pretrained=False")
    found = check("timm_encoder", "Frames", text, tmp_path, monkeypatch).eval()
    clip = torch.randn(1, 3, 8, 224, 224)
    net = timm.create_model("resnet50", pretrained=False, num_classes=0).eval()
    net.load_state_dict(found.net.state_dict())
    with torch.no_grad():
        expected = torch.stack([net(clip[:, :, t]) for t in range(8)]).mean(dim=0)
        torch.testing.assert_close(found(clip), expected, rtol=1e-4, atol=1e-5)


def test_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed; `tox -e nightly` installs it"
    )
    config = transformers.Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    transformers.Wav2Vec2Model(config).save_pretrained(tmp_path / "speech")
    text = changed("transformers_encoder", "facebook/wav2vec2-base", str(tmp_path / "speech"))
    found = check("transformers_encoder", "Speech", text, tmp_path, monkeypatch).eval()
    samples = torch.randn(2, 32_000)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    theirs = extractor(list(samples.numpy()), sampling_rate=16_000, return_tensors="pt").input_values
    torch.testing.assert_close(found.prepare(samples), theirs, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert found(theirs).shape == (2, 32)


class Projection(nn.Module):
    """Mean of the samples' blocks, projected to 512 features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(320, 512)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.unflatten(1, (-1, 320))).tanh().mean(dim=1)


def test_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; `tox -e nightly` installs it")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed; `tox -e nightly` installs it")
    net = Projection().eval()
    write_onnx(onnx, net, tmp_path / "encoder.onnx")
    text = changed("onnx_encoder", '"encoder.onnx"', repr(str(tmp_path / "encoder.onnx")))
    found = check("onnx_encoder", "Program", text, tmp_path, monkeypatch)
    samples = torch.randn(3, 32_000)
    with torch.no_grad():
        torch.testing.assert_close(found(samples), net(samples), rtol=1e-4, atol=1e-5)


def write_onnx(onnx, net: Projection, path: Path) -> None:  # type: ignore[no-untyped-def]
    """The projection as an ONNX file, operator by operator: torch's own exporter needs a further library."""
    make, numpy = onnx.helper, onnx.numpy_helper
    constants = {
        "blocks": torch.tensor([0, 100, 320]).numpy(),
        "weight": net.linear.weight.detach().T.contiguous().numpy(),
        "bias": net.linear.bias.detach().numpy(),
        "axis": torch.tensor([1]).numpy(),
    }
    nodes = [
        make.make_node("Reshape", ["samples", "blocks"], ["blocked"]),
        make.make_node("MatMul", ["blocked", "weight"], ["product"]),
        make.make_node("Add", ["product", "bias"], ["sum"]),
        make.make_node("Tanh", ["sum"], ["bounded"]),
        make.make_node("ReduceMean", ["bounded", "axis"], ["features"], keepdims=0),
    ]
    graph = make.make_graph(
        nodes,
        "projection",
        [make.make_tensor_value_info("samples", onnx.TensorProto.FLOAT, ["batch", 32_000])],
        [make.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["batch", 512])],
        [numpy.from_array(value, name) for name, value in constants.items()],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
