"""``--compile`` on a CPU, with the compiler that users have: both encoders learn what they learn without."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import PICO, one_thread, xdcbench

pytestmark = pytest.mark.nightly


def epochs(out: Path, *options: str) -> list[dict[str, Any]]:
    """Rows of the epochs of XDC's first round."""
    done = xdcbench(
        *(
            "run",
            "--suite",
            PICO,
            "--methods",
            "xdc",
            "--filter",
            "round*",
            "--device",
            "cpu",
            "--results",
            out,
        ),
        *("--set", "pretrain.precision=fp32", "--set", "pretrain.rounds=1", *options),
        env=one_thread(),
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("runs/round*/metrics.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "loss" in row and "steps" not in row]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_encoders_learn_what_plain_ones_do(tmp_path: Path) -> None:
    plain, compiled = epochs(tmp_path / "plain"), epochs(tmp_path / "compiled", "--compile")
    assert len(plain) == len(compiled) == 10
    assert compiled[0]["initial_loss"] == pytest.approx(plain[0]["initial_loss"], rel=1e-4)
    assert compiled[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-3)
    assert compiled[-1]["loss"] < compiled[0]["loss"] / 2
    assert compiled[-1]["loss"] == pytest.approx(plain[-1]["loss"], rel=0.3)
