"""Killed at any moment, the same command goes on and ends with equal records."""

import signal
import subprocess
import time
from pathlib import Path

from safetensors.numpy import load_file

from tests.integration.helpers import PICO, command, one_thread, records, xdcbench


def words(out: Path) -> list[object]:
    return ["run", "--suite", PICO, "--out", out, "--device", "cpu", "--checkpoint-seconds", 0]


def test_kill_9_and_the_same_command(pico: Path, tmp_path: Path) -> None:
    """Killed inside round 2 (after a checkpoint), then while evaluating."""
    out = tmp_path / "out"
    for reached in (
        lambda: any(out.glob("runs/round-*")) and any(out.glob("runs/.building/round-*/checkpoint.pt")),
        lambda: any(out.glob("runs/.building/finetune-*/checkpoint.pt")) and any(out.glob("runs/finetune-*")),
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
    assert "goes on after epoch" in done.stderr
    assert records(out) == records(pico)
    for path in sorted(pico.glob("runs/round-*/*.safetensors")):
        mine = load_file(out / path.relative_to(pico))
        assert all((mine[name] == tensor).all() for name, tensor in load_file(path).items()), path
    assert not any(out.glob("runs/.building/*"))
