"""A suite through a fake Slurm: the scripts that are submitted run, and their records are those of a local run."""

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.integration.helpers import PICO, one_thread, records, xdcbench
from tests.unit.pipeline.slurm.fake import FakeSlurm

PART = "scratch/seed0/audio_[sr]*"
"""SVM and retrieval on ESC-50: seven stages, of which three are an array."""
ROUND = "xdc/kinetics400/seed0/round1"


@pytest.fixture
def slurm(tmp_path: Path) -> FakeSlurm:
    return FakeSlurm(tmp_path / "slurm")


def run(slurm: FakeSlurm, out: Path, *words: object) -> subprocess.CompletedProcess[str]:
    file = out.with_name("cpu.yaml")
    file.write_text("device_class: cpu\ndefault: {cores: 1, memory: 1}\n")
    asked = ["--suite", PICO, "--results", out, "--filter", PART, "--executor", file]
    return xdcbench("run", *asked, *words, env=slurm.environment)


@pytest.mark.slow
def test_records_are_those_of_a_local_run(slurm: FakeSlurm, pico: Path, tmp_path: Path) -> None:
    out = tmp_path / "a b" / "out"
    out.parent.mkdir()
    done = run(slurm, out)
    assert done.stdout.startswith("submitted 7 stages as 5 jobs; 0 were queued already"), done.stderr
    slurm.run()
    said = xdcbench("status", "--results", out, env=slurm.environment)
    assert said.returncode == 0 and said.stdout.endswith("pico: 7 done\n"), said.stdout
    mine, local = records(out), records(pico)
    assert len(mine) == 3
    assert all(mine[key] == local[key] for key in mine)
    again = run(slurm, out)
    assert again.returncode == 0 and again.stdout.endswith("pico: 7 kept\n"), again.stderr
    assert len(slurm.jobs()) == 7


@pytest.mark.slow
def test_a_job_that_is_asked_to_end_is_queued_again_and_a_failed_stage_is_named(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    """The interpreter of the nodes saves and ends with 75 once, and fails each time at a stage."""
    out = tmp_path / "out"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/bash\n[ "$1" = -c ] && exit 0\ncase "$*" in\n'
        f"*init-*) work={out}/runs/.building/${{@: -1}}\n"
        "[ -e $work/saved ] || { mkdir -p $work; touch $work/saved; exit 75; } ;;\n"
        f'*features-*) echo "xdcbench: broken" >&2; exit 2 ;;\nesac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    run(slurm, out)
    jobs = slurm.jobs()
    for job in jobs.values():
        job["script"] = job["script"].replace(f"python={sys.executable}", f"python={python}")
    slurm.save(jobs)
    slurm.run()
    said = xdcbench("status", "--results", out, env=slurm.environment)
    assert said.returncode == 1
    assert said.stdout.endswith("pico: 3 blocked, 3 done, 1 failed\n")
    (failed,) = [line for line in said.stdout.splitlines() if line.startswith("failed")]
    assert "scratch/seed0/features/audio/esc50  (xdcbench: broken (log: " in failed
    assert "needs scratch/seed0/features/audio/esc50" in said.stdout


@pytest.mark.slow
def test_before_its_time_limit_a_round_saves_and_the_next_job_completes_it(
    slurm: FakeSlurm, pico: Path, tmp_path: Path
) -> None:
    """The shell of the job alone is signaled; no checkpoint is due before."""
    out = tmp_path / "out"
    shutil.copytree(pico, out)
    (made,) = [path.parent for path in out.glob("runs/round-*/run.json") if ROUND in path.read_text()]
    shutil.rmtree(made)
    done = run(slurm, out, "--filter", ROUND, "--checkpoint-seconds", 3600)
    assert done.stdout.startswith("submitted 1 stages as 1 jobs"), done.stderr
    jobs = threading.Thread(target=slurm.run)
    jobs.start()
    building = out / "runs" / ".building" / made.name
    deadline = time.monotonic() + 120
    while not (building / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    slurm.warn()
    jobs.join(120)
    (log,) = (out / "jobs" / "logs").iterdir()
    assert "was asked to end; it is queued again and resumes" in log.read_text()
    assert "resumes after" in log.read_text()
    assert [job["state"] for job in slurm.jobs().values()] == ["COMPLETED"]
    assert records(out) == records(pico)
    name = Path("tables") / "pico"
    assert {path.name: path.read_bytes() for path in (out / name).iterdir()} == {
        path.name: path.read_bytes() for path in (pico / name).iterdir()
    }


@pytest.mark.slow
def test_a_plan_as_json_is_run_by_a_loop(pico: Path, tmp_path: Path) -> None:
    """The loop that docs/how-to/slurm.md shows."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "slurm.md").read_text()
    (loop,) = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    asked = ["--suite", PICO, "--results", tmp_path / "out", "--device", "cpu", "--filter", PART]
    plan = xdcbench("run", *asked, "--plan-json", env=one_thread())
    assert [stage["state"] for stage in json.loads(plan.stdout)["stages"]] == ["to do"] * 7
    (tmp_path / "plan.json").write_text(plan.stdout)
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "xdcbench").write_text(f'#!/bin/sh\nexec {sys.executable} -m xdcbench "$@"\n')
    (bin / "xdcbench").chmod(0o755)
    known = one_thread()
    known |= {"PATH": f"{bin}:{known['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", loop], cwd=tmp_path, env=known, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    mine, local = records(tmp_path / "out"), records(pico)
    assert len(mine) == 3 and all(mine[key] == local[key] for key in mine)
