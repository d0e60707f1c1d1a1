"""Numbers of a suite that really ran, published and verified through the command line, and tampered with."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.integration.helpers import one_thread, xdcbench
from xdcbench.export.verify_submission import verify_submission
from xdcbench.results.submission import MANIFEST, read_submission, write_submission


@pytest.fixture(scope="module")
def submission(pico: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "submission"
    done = xdcbench("publish", "xdc@kinetics400", "--results", pico, "--output", out, env=one_thread())
    assert done.returncode == 0, done.stderr
    return out


def test_the_numbers_of_a_suite_fit(submission: Path) -> None:
    done = xdcbench("verify-submission", submission, env=one_thread())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 numbers fit" in done.stdout
    assert "0 mismatches" in done.stdout
    kinds = {key.rsplit("-", 1)[0] for key in read_submission(submission).runs}
    assert kinds == {
        "finetune",
        "linear_probe",
        "linear_svm",
        "low_shot",
        "retrieval",
        "clusters",
        "cross_retrieval",
    }


def test_a_tampered_submission_is_refused_in_one_line_per_mismatch(submission: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(submission, tmp_path / "copy"))
    (path,) = copy.glob("linear_probe-*/predictions.parquet")
    table = pd.read_parquet(path)
    table["prediction"] = (table["label"] + 1) % 3
    table.to_parquet(path, index=False)
    done = xdcbench("verify-submission", copy, env=one_thread())
    assert done.returncode == 1
    assert done.stderr == ""
    refused = [line for line in done.stdout.splitlines() if line.startswith("refused")]
    assert (
        f"refused         {path.parent.name}/records.json: top1 is stated as 100.000000, recomputed 0.000000"
        in refused
    )
    assert any(f"{path.parent.name}/predictions.parquet: " in line for line in refused)


def test_a_number_that_was_raised_with_its_manifest(submission: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(submission, tmp_path / "copy"))
    (path,) = copy.glob("cross_retrieval-*/records.json")
    records = json.loads(path.read_text())
    before = records[0]["value"]
    records[0]["value"] = before - 1
    path.write_text(json.dumps(records))
    runs = read_submission(copy).runs
    (copy / MANIFEST).unlink()
    write_submission(copy, runs)
    lines, code = verify_submission(copy)
    assert code == 1
    assert sum(line.startswith("refused") for line in lines) == 1


def test_a_folder_that_is_no_submission_is_one_line(tmp_path: Path) -> None:
    done = xdcbench("verify-submission", tmp_path, env=one_thread())
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"xdcbench: {tmp_path} is no submission: it has no submission.json. Try: a folder of `xdcbench publish`\n"
    )
