"""Several commands at once on one results folder: they share the work, and take over from one that was killed."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.helpers import PICO, command, one_thread, records, xdcbench

BEGUN = re.compile(r"^\[(\d+/\d+)\] \S+$", re.MULTILINE)


def words(out: Path) -> list[object]:
    return ["run", "--suite", PICO, "--results", out, "--device", "cpu", "--jobs", 1]


def begin(out: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            command(*words(out), "--checkpoint-seconds", 0),
            env=one_thread(),
            stdout=subprocess.DEVNULL,
            stderr=file,
        )


def reached(out: Path, pattern: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 120
    while not any(out.glob(pattern)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return any(out.glob(pattern))


@pytest.mark.slow
def test_two_commands_build_each_stage_once(pico: Path, tmp_path: Path) -> None:
    out, logs = tmp_path / "out", [tmp_path / "one.txt", tmp_path / "other.txt"]
    commands = [begin(out, log) for log in logs]
    assert [process.wait(timeout=280) for process in commands] == [0, 0], [log.read_text() for log in logs]
    one, other = (BEGUN.findall(log.read_text()) for log in logs)
    assert one and other, "both work"
    assert len(one) + len(other) == len(set(one + other)) == len(list(out.glob("runs/*/run.json")))
    assert records(out) == records(pico)
    said = "".join(log.read_text() for log in logs)
    assert re.search(r": process \d+ on \S+ is making it; what is free comes first", said)


@pytest.mark.slow
def test_a_command_takes_over_from_one_that_was_killed(pico: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "other.txt"
    killed = begin(out, tmp_path / "killed.txt")
    assert reached(out, "runs/.building/round-*/checkpoint-*.pt", killed)
    other = begin(out, log)
    deadline = time.monotonic() + 60
    while "is making it" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert killed.poll() is None, "it ended before it could be killed"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert other.wait(timeout=200) == 0, log.read_text()
    said = log.read_text()
    assert re.search(rf"round-\w+: process {killed.pid} on \S+, which was making it, is gone", said), said
    assert "resumes after" in said
    assert records(out) == records(pico)
    assert xdcbench(*words(out)).returncode == 0
