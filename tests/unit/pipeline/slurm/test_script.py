"""Generated scripts: what they ask of Slurm, and what bash makes of them."""

import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.helpers import PICO
from xdcbench.config.executors import Resources, Slurm
from xdcbench.errors import UserError
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.pipeline.slurm.batches import Batch
from xdcbench.pipeline.slurm.script import Place, job_script
from xdcbench.results.run_store import RunStore

ASKED = Resources(nodes=1, gpus=0, processes=1, cores=4, memory=1.5, hours=2.5)
CPU = Slurm(device_class="cpu")
PYTHON = """#!/bin/bash
[ "$1" = -c ] && exit {imports}
printf '%s\\n' "$@" > "$(dirname "$0")/words"
{saves}
exit {code}
"""
WAITS = """#!/bin/bash
[ "$1" = -c ] && exit 0
save() {{ {saves}; }}
trap 'save; exit 75' USR2
trap 'save; exit {on_term}' TERM
echo $$ > {pid}.part && mv {pid}.part {pid}
while :; do sleep 0.02; done
"""
"""A stage, or several under srun, that waits to be asked to end."""


@pytest.fixture
def stages(tmp_path: Path) -> tuple[Stage, ...]:
    return plan_launch(Request(suite=str(PICO), results=tmp_path, device="cpu"), write=False).plan.stages


@pytest.fixture
def place(tmp_path: Path) -> Place:
    results = tmp_path / "my results"
    (results / "jobs").mkdir(parents=True)
    (results / "jobs" / "token").write_text("abc\n")
    return Place(results, tmp_path, "abc")


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = os.environ | {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "node1"} | environment
    return subprocess.run(
        ["bash", "-s"], input=script, capture_output=True, text=True, env=known, check=False
    )


def saving(place: Place, stage: Stage, *, name: str = "checkpoint-000000001.pt") -> str:
    """A shell line that leaves a file in the stage's work."""
    path = RunStore(place.results).work(stage.key) / name
    return f"mkdir -p {shlex.quote(str(path.parent))}; echo {name} > {shlex.quote(str(path))}"


def on_python(tmp_path: Path, *, imports: int = 0, code: int = 0, saves: str = "") -> Slurm:
    """Settings with an interpreter that notes its words and ends with a code."""
    python = tmp_path / "python"
    python.write_text(PYTHON.format(imports=imports, code=code, saves=saves))
    python.chmod(0o755)
    return Slurm(device_class="cpu", python=str(python), set_up=("export SET_UP=1",))


def fake(tmp_path: Path, name: str) -> dict[str, str]:
    """A program of Slurm that notes its words; the PATH that finds it."""
    program = tmp_path / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(tmp_path))}/{name}\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def waiting(program: Path, tmp_path: Path, *, on_term: int, saves: str) -> Path:
    """Make a program that waits; where it notes its process."""
    program.write_text(WAITS.format(on_term=on_term, saves=saves, pid=tmp_path / "pid"))
    program.chmod(0o755)
    return tmp_path / "pid"


def begun(script: str, pid: Path, **environment: str) -> subprocess.Popen[str]:
    """A job whose stage is at work."""
    known = os.environ | {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"} | environment
    job = subprocess.Popen(
        ["bash", "-c", script], stderr=subprocess.PIPE, text=True, env=known, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not pid.exists() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return job


def test_what_a_job_asks_for(stages: tuple[Stage, ...], place: Place) -> None:
    asked = ASKED.model_copy(update={"partition": "gpu", "gpus": 2, "sbatch": ("--constraint=a100",)})
    found = options(job_script(Batch(stages[:1], asked), ["run"], CPU, place))
    assert found == [
        f"--job-name={stages[0].key}",
        f"--chdir={place.folder}",
        f'--output="{place.results}/jobs/logs/%j.txt"',
        "--open-mode=append",
        "--requeue",
        "--signal=B:USR2@120",
        "--kill-on-invalid-dep=yes",
        "--partition=gpu",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--cpus-per-task=4",
        "--gpus-per-node=2",
        "--mem=1536M",
        "--time=150",
        "--constraint=a100",
    ]


def test_a_percent_sign_in_a_path_is_no_pattern(stages: tuple[Stage, ...], place: Place) -> None:
    other = Place(Path("/50% done"), place.folder, "abc")
    script = job_script(Batch(stages[:1], ASKED), ["run"], CPU, other)
    assert '--output="/50%% done/jobs/logs/%j.txt"' in options(script)


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\udcffb", "a\\b"])
def test_a_folder_that_fits_in_no_option_is_told(stages: tuple[Stage, ...], place: Place, name: str) -> None:
    with pytest.raises(UserError, match=r"holds signs that no option of sbatch can hold\. Try: another name"):
        job_script(Batch(stages[:1], ASKED), ["run"], CPU, replace(place, results=place.results / name))
    with pytest.raises(UserError, match=r"holds signs that no option"):
        job_script(Batch(stages[:1], ASKED.model_copy(update={"partition": name})), ["run"], CPU, place)


def test_little_memory_is_not_all_of_the_node(stages: tuple[Stage, ...], place: Place) -> None:
    """Which ``--mem=0`` means."""
    little = ASKED.model_copy(update={"memory": 0.0001})
    assert "--mem=1M" in options(job_script(Batch(stages[:1], little), ["run"], CPU, place))


def test_a_folder_with_any_sign_reaches_the_stage(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path
) -> None:
    """Quotes, variables and commands of a shell in names and settings are text."""
    odd = replace(place, results=tmp_path / "a 'b' \"c\" $HOME `id` ü")
    (odd.results / "jobs").mkdir(parents=True)
    (odd.results / "jobs" / "token").write_text("abc\n")
    words = ["run", "--results", str(odd.results), "--set", "a.b='$X' \"`id`\""]
    done = run(job_script(Batch(stages[:1], ASKED), words, on_python(tmp_path), odd))
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "words").read_text().splitlines()
    assert told == ["-m", "xdcbench", *words, "--stage", stages[0].key]


def test_a_task_of_an_array_runs_its_own_stage(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path
) -> None:
    words = ["run", "--set", "a.b=it's a", "--scratch", "$HOME"]
    script = job_script(Batch(stages[:3], ASKED), words, on_python(tmp_path), place)
    assert "--array=0-2" in options(script)
    assert f'--output="{place.results}/jobs/logs/%A_%a.txt"' in options(script)
    done = run(script, SLURM_ARRAY_TASK_ID="2")
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "words").read_text().splitlines()
    assert said == ["-m", "xdcbench", *words, "--stage", stages[2].key]


def test_several_processes_meet_through_srun(stages: tuple[Stage, ...], place: Place, tmp_path: Path) -> None:
    asked = ASKED.model_copy(update={"nodes": 2, "processes": 4})
    script = job_script(Batch(stages[:1], asked), ["run"], on_python(tmp_path), place)
    path = fake(tmp_path, "srun") | fake(tmp_path, "scontrol")
    (tmp_path / "bin" / "scontrol").write_text("#!/bin/sh\necho head\necho other\n")
    known = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "4"}
    done = run(script, **path, **known)
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "srun").read_text()
    assert "--nnodes=2 --nproc-per-node=4" in said and "--rdzv-endpoint=head:20007" in said
    assert said.rstrip().endswith(f"-m xdcbench run --stage {stages[0].key}")


@pytest.mark.parametrize(("code", "requeued"), [(75, True), (0, False), (1, False), (2, False)])
def test_exit_code_75_queues_the_job_again(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path, code: int, requeued: bool
) -> None:
    settings = on_python(tmp_path, code=code, saves=saving(place, stages[0]))
    script = job_script(Batch(stages[:1], ASKED), ["run"], settings, place)
    done = run(script, **fake(tmp_path, "scontrol"))
    assert done.returncode == code
    asked = tmp_path / "scontrol"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 7\n" if requeued else "")


@pytest.mark.parametrize("name", ["", "log.txt", "metrics.jsonl", ".part", "events.out.tfevents.1", "same"])
def test_a_job_that_has_saved_nothing_new_is_not_queued_again(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path, name: str
) -> None:
    """It would be asked to end at the same place each time; the first attempt saves and the next one does not."""
    saves = saving(place, stages[0], name=name) if name else ""
    script = job_script(Batch(stages[:1], ASKED), ["run"], on_python(tmp_path, code=75, saves=saves), place)
    done = run(script, **fake(tmp_path, "scontrol"))
    if name == "same":
        assert (tmp_path / "scontrol").read_text() == "requeue 7\n"
        (tmp_path / "scontrol").unlink()
        done = run(script, **fake(tmp_path, "scontrol"))
    assert done.returncode == 75
    assert not (tmp_path / "scontrol").exists()
    assert done.stderr.endswith("had saved anything new. Try: more `hours` in the executor's file\n")


def test_a_warning_before_the_stage_begins_is_passed_over(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path
) -> None:
    """As Slurm sends it at once where the time limit is shorter: the stage has what time there is."""
    settings = on_python(tmp_path)
    settings = settings.model_copy(update={"set_up": ("kill -USR2 $$",)})
    done = run(job_script(Batch(stages[:1], ASKED), ["run"], settings, place))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "words").exists()


def test_before_its_time_limit_a_job_asks_its_stage_to_save_and_is_queued_again(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path
) -> None:
    """Slurm signals the batch shell alone."""
    script = job_script(Batch(stages[:1], ASKED), ["run"], on_python(tmp_path), place)
    saves = saving(place, stages[0])
    pid = waiting(tmp_path / "python", tmp_path, on_term=1, saves=saves)
    job = begun(script, pid, **fake(tmp_path, "scontrol"))
    job.send_signal(signal.SIGUSR2)
    _, said = job.communicate(timeout=60)
    assert job.returncode in (75, 255), "bash loses the code of what ends as it is asked to"
    assert (tmp_path / "scontrol").read_text() == "requeue 7\n"
    assert "was asked to end; it is queued again and resumes" in said


def test_before_its_time_limit_a_job_of_several_processes_has_slurm_ask_them(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path
) -> None:
    """torchrun hands on SIGTERM, not SIGUSR2, and ends with a code of its own."""
    asked = ASKED.model_copy(update={"processes": 2})
    script = job_script(Batch(stages[:1], asked), ["run"], on_python(tmp_path), place)
    path = fake(tmp_path, "scontrol") | fake(tmp_path, "scancel")
    pid = waiting(tmp_path / "bin" / "srun", tmp_path, on_term=1, saves=saving(place, stages[0]))
    with (tmp_path / "bin" / "scancel").open("a") as scancel:
        scancel.write(f"kill -TERM $(cat {pid})\n")
    job = begun(script, pid, **path, SLURM_JOB_NODELIST="n1")
    job.send_signal(signal.SIGUSR2)
    job.communicate(timeout=60)
    assert job.returncode in (1, 255)
    assert (tmp_path / "scancel").read_text() == "--signal=TERM 7\n"
    assert (tmp_path / "scontrol").read_text().splitlines()[-1] == "requeue 7"


def test_a_job_that_is_cancelled_is_not_queued_again(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path
) -> None:
    """Slurm asks every process of it to end; the stage saves, and ends as if it were to run again."""
    script = job_script(Batch(stages[:1], ASKED), ["run"], on_python(tmp_path), place)
    pid = waiting(tmp_path / "python", tmp_path, on_term=75, saves=saving(place, stages[0]))
    job = begun(script, pid, **fake(tmp_path, "scontrol"))
    os.killpg(job.pid, signal.SIGTERM)
    job.communicate(timeout=60)
    assert job.returncode in (75, 255), "bash loses the code of what ends as it is asked to"
    assert not (tmp_path / "scontrol").exists()


def test_a_folder_that_is_not_the_one_is_told(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path
) -> None:
    (place.results / "jobs" / "token").write_text("other")
    done = run(job_script(Batch(stages[:1], ASKED), ["run"], on_python(tmp_path), place))
    assert done.returncode == 66
    assert f"{stages[0].key} on node1: " in done.stderr and str(place.results) in done.stderr
    assert not (tmp_path / "words").exists()


@pytest.mark.parametrize("absent", [True, False])
def test_a_python_without_this_project_is_told(
    stages: tuple[Stage, ...], place: Place, tmp_path: Path, absent: bool
) -> None:
    settings = on_python(tmp_path, imports=1)
    if absent:
        Path(str(settings.python)).unlink()
    done = run(job_script(Batch(stages[:1], ASKED), ["run"], settings, place))
    assert done.returncode == 69
    assert "python is missing or lacks xdcbench. Try: `set_up` or `python`" in done.stderr


def test_the_interpreter_is_the_one_that_submits(stages: tuple[Stage, ...], place: Place) -> None:
    script = job_script(Batch(stages[:1], ASKED), ["run"], CPU, place)
    assert f"python={shlex.quote(sys.executable)}" in script.splitlines()


def test_a_name_of_a_stage_ends_no_comment(stages: tuple[Stage, ...], place: Place) -> None:
    odd = Stage(stages[0].kind, "a\nrm -rf /", stages[0].config)
    assert r"a\nrm -rf /" in job_script(Batch((odd,), ASKED), ["run"], CPU, place)
