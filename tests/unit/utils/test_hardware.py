"""What is said of the hardware without torch is what torch says."""

from pathlib import Path

import pytest
import torch

from xdcbench.config.load import load_suite
from xdcbench.pipeline import launch
from xdcbench.pipeline.launch import Request, resolve_precisions
from xdcbench.utils.hardware import cpu_has_bf16, has_gpu_driver
from xdcbench.utils.runtime import has_bf16, pick_device


def test_this_machine_is_as_torch_sees_it() -> None:
    assert cpu_has_bf16() in (None, has_bf16(torch.device("cpu")))
    assert has_gpu_driver() or not torch.cuda.is_available()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_tile amx_int8\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd bf16\n", None),
        ("", None),
    ],
)
def test_flags(tmp_path: Path, flags: str, expected: bool | None) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(flags)
    assert cpu_has_bf16(tmp_path) is expected


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_precisions_are_those_that_torch_resolves(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    suite, request = load_suite("smoke"), Request("smoke", device=device)
    short = resolve_precisions(suite, request)
    monkeypatch.setattr(launch, "cpu_has_bf16", lambda: None)
    assert short == resolve_precisions(suite, request)
    assert short[0] == str(pick_device(device))
