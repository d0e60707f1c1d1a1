"""Killed at any moment, the same command resumes and ends with equal records."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.integration.helpers import PICO, command, one_thread, records, xdcbench


def words(out: Path) -> list[object]:
    return ["run", "--suite", PICO, "--results", out, "--device", "cpu", "--checkpoint-seconds", 0]


@pytest.mark.slow
def test_kill_9_and_the_same_command(pico: Path, tmp_path: Path) -> None:
    """Killed inside round 2 (after a checkpoint), then while evaluating."""
    out = tmp_path / "out"
    for reached in (
        lambda: any(out.glob("runs/round-*")) and any(out.glob("runs/.building/round-*/checkpoint-*.pt")),
        lambda: (
            any(out.glob("runs/.building/finetune-*/checkpoint-*.pt")) and any(out.glob("runs/finetune-*"))
        ),
    ):
        process = subprocess.Popen(command(*words(out)), env=one_thread(), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not reached() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process.poll() is None, "the suite ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = xdcbench(*words(out), env=one_thread())
    assert done.returncode == 0, done.stderr
    assert "resumes after" in done.stderr
    assert records(out) == records(pico)
    for path in sorted(pico.glob("runs/round-*/*.safetensors")):
        mine = load_file(out / path.relative_to(pico))
        assert all((mine[name] == tensor).all() for name, tensor in load_file(path).items()), path
    assert not any(path.is_dir() for path in out.glob("runs/.building/*"))
    assert not any(out.glob("runs/*/*checkpoint*"))


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGUSR2, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_asked_to_end_it_saves_and_says_that_it_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    """The whole process group gets the signal, as from a scheduler; readers of media, too."""
    out = tmp_path / "out"
    rare = [*words(out)[:-1], 3600, "--num-workers", 1]
    process = subprocess.Popen(
        command(*rare), env=one_thread(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("runs/.building/round-*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 75, said
    assert said.endswith("xdcbench: asked to end; run the same command to resume\n")
    assert len(list(out.glob("runs/.building/round-*/checkpoint-*.pt"))) == 1
    assert not list(out.glob("runs/.failed/*"))
