"""The functions that `xdcbench` offers to other code give what the commands give."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import xdcbench
from tests.integration.helpers import PICO
from tests.integration.helpers import xdcbench as command
from xdcbench.errors import UserError


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, xdcbench; print([m for m in ('torch', 'pandas', 'numpy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xdcbench.nothing


def test_every_name_is_there() -> None:
    assert all(callable(getattr(xdcbench, name)) for name in xdcbench.__all__)


def test_an_encoder_of_a_run_gives_the_features_of_its_weights(pico: Path) -> None:
    run = next(pico.glob("runs/init-*"))
    encoder = xdcbench.load_encoder(run)
    assert not encoder.training
    clips = torch.rand(2, 3, 8, 16, 16)
    again = xdcbench.load_encoder(run / "video.safetensors")
    torch.testing.assert_close(encoder(clips), again(clips), rtol=0, atol=0)
    assert xdcbench.load_encoder(run, "audio", num_classes=7).fc.out_features == 7


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(UserError, match="unknown pretraining 'nowhere'"):
        xdcbench.load_encoder("nowhere")


def test_records_are_those_of_the_files(pico: Path) -> None:
    files = [json.loads(path.read_text()) for path in sorted(pico.glob("runs/*/records.json"))]
    stated = sorted((row["run"], row["metric"], row["value"]) for rows in files for row in rows)
    assert sorted((r.run, r.metric, r.value) for r in xdcbench.read_records(pico)) == stated
    assert len(xdcbench.read_records([pico, pico])) == len(stated), "a run counts once"


def test_a_finished_suite_returns_its_records_and_runs_nothing(pico: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pico.glob("runs/*")}
    records = xdcbench.run_suite(PICO, results=pico, device="cpu")
    assert {record.suite for record in records} == {"pico"}
    assert len(records) == len(xdcbench.read_records(pico))
    assert {path: path.stat().st_mtime_ns for path in pico.glob("runs/*")} == before


def test_a_suite_whose_data_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="grid"):
        xdcbench.run_suite("real-small", results=tmp_path / "results", data_root=tmp_path, device="cpu")


@pytest.mark.parametrize("words", [[], ["--intervals"]])
def test_a_table_is_the_one_that_the_command_prints(pico: Path, words: list[str]) -> None:
    done = command("table", "table5", "--results", pico, "--format", "md", *words)
    found = xdcbench.table("table5", pico, format="md", intervals=bool(words))
    assert found.strip() == done.stdout.strip()


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        xdcbench.read_records(tmp_path / "none")
