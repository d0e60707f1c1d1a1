"""The modules of docs/how-to/encoders.md pass the checks; of libraries that are no dependency, with stand-ins."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import ROOT
from xdcbench.models import validation
from xdcbench.models.pretrained.external import untried_encoder
from xdcbench.models.raw_inputs import blank, noise
from xdcbench.models.validation import CHECKS, Trial, check_all
from xdcbench.utils.code import Consent

DOCUMENT = (ROOT / "docs" / "how-to" / "encoders.md").read_text()
MODULES = dict(re.findall(r"`(\w+)\.py`:\n\n```python\n(.*?)```", DOCUMENT, re.S))


class ImageNet(nn.Module):
    """What timm's `create_model` gives with ``num_classes=0``."""

    num_features = 5

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, kernel_size=16, stride=16)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean(dim=(2, 3))  # type: ignore[no-any-return]


class SpeechNet(nn.Module):
    """What transformers' `AutoModel` gives: a sequence in an object."""

    config = SimpleNamespace(hidden_size=7)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 7, kernel_size=400, stride=320)

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.conv(x[:, None]).transpose(1, 2))


class Session:
    """What onnxruntime's `InferenceSession` does with a file."""

    def __init__(self, path: str, providers: list[str]) -> None:
        self.matrix = np.random.default_rng(0).normal(size=(32_000, 512)).astype(np.float32)

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="samples")]

    def run(self, outputs: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [feeds["samples"] @ self.matrix]


STAND_INS: dict[str, Any] = {
    "timm": SimpleNamespace(create_model=lambda name, pretrained, num_classes: ImageNet()),
    "transformers": SimpleNamespace(AutoModel=SimpleNamespace(from_pretrained=lambda name: SpeechNet())),
    "onnxruntime": SimpleNamespace(InferenceSession=Session),
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a module of the document importable."""

    def write(name: str) -> None:
        (tmp_path / f"{name}.py").write_text(MODULES[name])
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        for library, stand_in in STAND_INS.items():
            monkeypatch.setitem(sys.modules, library, stand_in)
        importlib.invalidate_caches()

    return write


@pytest.mark.parametrize(
    ("name", "attribute", "features"),
    [
        ("waveform_encoder", "Samples", 32),
        ("bands_encoder", "Bands", 128),
        ("layer3_encoder", "Layer3", 256),
        ("timm_encoder", "Frames", 5),
        ("transformers_encoder", "Speech", 7),
        ("onnx_encoder", "Program", 512),
    ],
)
def test_each_passes_the_checks(
    name: str,
    attribute: str,
    features: int,
    module: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module(name)
    monkeypatch.setattr(validation, "SECONDS", 0.0)
    consent = Consent(everything=True)
    encoder, again = (
        untried_encoder(f"{name}:{attribute}", ("video", "audio"), consent, "a test") for _ in range(2)
    )
    assert encoder.features == features
    inputs = {"noise": noise(encoder.input, 2), "nothing": blank(encoder.input, 1)}
    found = list(check_all(Trial(encoder, again, inputs, torch.device("cpu"))))
    assert len(found) == len(CHECKS) and all(of.ok for of in found), [of for of in found if not of.ok]


def test_every_module_of_the_document_is_tried() -> None:
    (parameters,) = test_each_passes_the_checks.pytestmark  # type: ignore[attr-defined]
    assert {name for name, *_ in parameters.args[1]} == MODULES.keys()


def test_every_check_is_in_the_documents_table_in_order() -> None:
    assert re.findall(r"(?m)^\| `(\w+)` \|", DOCUMENT.partition("| check |")[2]) == [
        c.__name__ for c in CHECKS
    ]
