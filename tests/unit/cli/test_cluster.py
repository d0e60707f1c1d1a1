"""What commands tell of plans that run elsewhere."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.integration.helpers import PICO
from tests.unit.pipeline.slurm.fake import FakeSlurm
from xdcbench.cli.cluster import cancel_jobs, status_lines, submit_plan
from xdcbench.cli.main import app
from xdcbench.cli.suite_options import RunOptions
from xdcbench.errors import UserError


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    cluster = FakeSlurm(tmp_path / "slurm")
    for name in ("PATH", "FAKE_SLURM"):
        monkeypatch.setenv(name, cluster.environment[name])
    return cluster


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    """World, initialization, index and features, which have no tables."""
    return RunOptions(
        suite=str(PICO), results=tmp_path / "out", executor="slurm", filter="scratch/seed0/features/audio/*"
    )


def test_status_shows_what_was_submitted_and_cancel_ends_it(slurm: FakeSlurm, options: RunOptions) -> None:
    assert submit_plan(options) == 0
    lines, code = status_lines(options.results, "")
    assert code == 0
    assert lines[-1] == "pico: 4 pending"
    assert cancel_jobs(options.results, "pico") == "cancelled 4 jobs; complete runs and checkpoints stay"
    lines, code = status_lines(options.results, "pico")
    assert code == 1
    assert lines[-1] == "pico: 2 blocked, 2 cancelled"
    assert {job["state"] for job in slurm.jobs().values()} == {"CANCELLED"}
    assert cancel_jobs(options.results, "") == "cancelled 0 jobs; complete runs and checkpoints stay"


def test_parts_of_a_suite_that_are_submitted_one_after_the_other_are_all_shown(
    slurm: FakeSlurm, options: RunOptions
) -> None:
    submit_plan(options)
    submit_plan(RunOptions(**vars(options) | {"filter": "index/ucf101"}))
    lines, _ = status_lines(options.results, "")
    assert lines[-1] == "pico: 5 pending"
    assert cancel_jobs(options.results, "").startswith("cancelled 5 jobs")


def test_a_suite_that_was_not_submitted_is_told(slurm: FakeSlurm, options: RunOptions) -> None:
    submit_plan(options)
    with pytest.raises(UserError, match=r"suite 'smoke' was not submitted to .*; known: pico"):
        status_lines(options.results, "smoke")


def test_a_folder_without_jobs_is_told(options: RunOptions) -> None:
    options.results.mkdir()
    (options.results / "results.json").write_text('{"schema_version": 3}')
    with pytest.raises(UserError, match=r"no suite was submitted to .*Try: xdcbench run"):
        status_lines(options.results, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "cuda"}, "--device does not go with --executor"),
        ({"jobs": 2}, "--jobs does not go with --executor"),
        ({"stage": "world-0"}, "--stage does not go with --executor"),
        ({"policy": "always"}, "--policy always does not go with --executor"),
        ({"executor": "slurn"}, "unknown executor 'slurn'; did you mean 'slurm'"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    options: RunOptions, change: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        submit_plan(RunOptions(**vars(options) | change))


def test_the_class_of_device_decides_the_keys(tmp_path: Path) -> None:
    """Two classes with bf16 have the same keys, one without has others; the option goes before the class."""

    def keys(device_class: str, *words: str) -> set[str]:
        file = tmp_path / f"{device_class}.yaml"
        file.write_text(f"device_class: {device_class}\n")
        given = ["run", "--suite", str(PICO), "--set", "pretrain.precision=auto", "--plan-json", *words]
        done = CliRunner().invoke(app, [*given, "--executor", str(file)], catch_exceptions=False)
        return {stage["key"] for stage in json.loads(done.stdout)["stages"]}

    assert keys("ampere") == keys("cpu_bf16")
    assert keys("ampere") != keys("volta") != keys("cpu")
    assert keys("ampere", "--auto-precision", "fp32") == keys("cpu")


def test_a_dry_run_needs_no_slurm(
    options: RunOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert submit_plan(RunOptions(**vars(options) | {"dry_run": True})) == 0
    assert capsys.readouterr().out.count("#!/bin/bash") == 4
    assert not options.results.exists()
