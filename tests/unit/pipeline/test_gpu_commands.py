"""Commands side by side, one for each GPU; their GPUs are names here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from xdcbench.errors import UserError
from xdcbench.pipeline import gpu_commands
from xdcbench.pipeline.gpu_commands import gpus_of, run_on_each
from xdcbench.utils.signals import REQUEUE

TELLS = """
import os, sys
from pathlib import Path
gpu = os.environ["CUDA_VISIBLE_DEVICES"]
Path(sys.argv[1], gpu).write_text(" ".join(sys.argv[2:]))
print("tables")
sys.exit(int(sys.argv[2].split(",")[int(gpu)]))
"""


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four GPUs."""
    monkeypatch.setattr(gpu_commands, "has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("four")
def test_a_gpu_for_each_of_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus_of("auto", 3) == ("0", "1", "2")
    assert gpus_of("cuda", 4) == ("0", "1", "2", "3")
    assert gpus_of("cuda", None) == gpus_of("cuda", 1) == gpus_of("cpu", 4) == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-ab,6,7")
    assert gpus_of("cuda", 2) == ("4", "GPU-ab")
    with pytest.raises(UserError, match=r"--jobs 5: 4 GPUs are visible here. Try: --jobs 4"):
        gpus_of("cuda", 5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert gpus_of("cuda", 2) == (), "torchrun has a process for each"


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_commands, "has_gpu_driver", lambda: False)
    assert gpus_of("auto", 4) == ()


@pytest.mark.parametrize(
    ("codes", "code"),
    [("0,0", 0), ("0,1", 1), ("2,1", 2), (f"{REQUEUE},1", REQUEUE), (f"0,{REQUEUE}", REQUEUE)],
)
def test_every_command_has_its_gpu_and_what_they_end_with(
    tmp_path: Path, codes: str, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    command = (sys.executable, "-c", TELLS, str(tmp_path))
    assert run_on_each(("0", "1"), (codes, "--jobs", "2"), command) == code
    for gpu in ("0", "1"):
        said = (tmp_path / gpu).read_text()
        assert said.startswith(f"{codes} --jobs 2 --jobs 1 --device cuda --num-workers ")
    assert capfd.readouterr().out == ""


def test_readers_that_are_asked_for_stay(tmp_path: Path) -> None:
    command = (sys.executable, "-c", TELLS, str(tmp_path))
    assert run_on_each(("0",), ("0", "--num-workers=3"), command) == 0
    assert (tmp_path / "0").read_text() == "0 --num-workers=3 --jobs 1 --device cuda"


WAITS = "import os, time, pathlib; pathlib.Path({!r}, str(os.getpid())).touch(); time.sleep(600)"
PARENT = """
import signal, sys
from xdcbench.pipeline.gpu_commands import run_on_each
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
run_on_each(("0", "1"), (), (sys.executable, "-c", {!r}))
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_commands_end_with_the_one_that_started_them(tmp_path: Path, how: signal.Signals) -> None:
    words = [sys.executable, "-c", PARENT.format(WAITS.format(str(tmp_path)))]
    parent = subprocess.Popen(words, cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(parent.pid, how)
    assert parent.wait(60) == (75 if how == signal.SIGTERM else -signal.SIGKILL)
    for child in tmp_path.iterdir():
        while Path("/proc", child.name).exists() and "Z" not in _state(child.name):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _state(pid: str) -> str:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
