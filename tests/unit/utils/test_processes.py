"""What the other process says when one dies, raises or is asked to end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.together import ROOT, said, together

LOOP = """
try:
    for step in range(10_000):
        if rank() == 1 and step == 5:
            {end}
        all_reduce_scalar(step)
        time.sleep(0.01)
except RuntimeError:
    print(cause(), flush=True)
    os._exit(1)
"""
DIES = "os.kill(os.getpid(), signal.SIGKILL)"
GONE = "process 1 of 2 is gone; was it killed, or out of memory?"


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (DIES, GONE),
        ("announce('a.mp4: torn'); os._exit(1)", "process 1 of 2 failed: a.mp4: torn"),
    ],
)
def test_the_other_names_the_cause_within_a_minute(end: str, cause: str) -> None:
    begun = time.monotonic()
    (out, error), _ = said(together(LOOP.format(end=end)), seconds=55)
    assert out.strip() == cause, error
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_a_process_that_waits_for_a_silent_one_ends() -> None:
    """Stopped, not killed: its connections stay open, as those of a machine that lost power do."""
    code = """
import xdcbench.utils.processes as p
p.SILENCE = 5.0
if rank() == 1:
    all_reduce_scalar(1)
    os.kill(os.getpid(), signal.SIGSTOP)
all_reduce_scalar(1)
all_reduce_scalar(1)
"""
    processes = together(code)
    try:
        _, error = processes[0].communicate(timeout=45)
        assert processes[0].returncode == 1
        assert "process 1 of 2 is gone: no sign of life for 5 s" in error
    finally:
        processes[1].send_signal(signal.SIGKILL)
        processes[1].communicate()


WITHIN = """
from xdcbench.errors import UserError
from xdcbench.utils.processes import process_group
from xdcbench.utils.signals import exit_on_signal
exit_on_signal()
try:
    with process_group():
        {work}
except UserError as error:
    print(error, flush=True)
except SystemExit as end:
    print(end.code, flush=True)
os._exit(0)
"""


@pytest.mark.slow
def test_asked_to_end_since_another_died_it_names_that_one() -> None:
    """As torchrun does: it ends the others by SIGTERM as soon as one is gone."""
    work = f"""
        all_reduce_scalar(1)
        if rank() == 1: {DIES}
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
"""
    (out, error), _ = said(together(WITHIN.format(work=work), joined=False), seconds=55)
    assert out.strip() == GONE, error


@pytest.mark.slow
def test_asked_to_end_while_it_looks_for_the_cause_it_still_names_it() -> None:
    work = f"""
        all_reduce_scalar(1)
        if rank() == 1: {DIES}
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        all_reduce_scalar(1)
"""
    (out, error), _ = said(together(WITHIN.format(work=work), joined=False), seconds=55)
    assert out.strip() == GONE, error


@pytest.mark.slow
def test_all_asked_to_end_is_nobody_s_failure() -> None:
    work = """
        all_reduce_scalar(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
"""
    begun = time.monotonic()
    for out, error in said(together(WITHIN.format(work=work), joined=False), seconds=55):
        assert out.strip() == "75", error
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process that holds the store"),
        ("raise UserError('disk is full')", "process 0 of 2 failed: disk is full"),
    ],
)
def test_what_the_main_process_alone_does_names_the_cause_to_the_others(end: str, cause: str) -> None:
    """Here the main process holds the store, which under torchrun its launcher does."""
    work = f"""
        def work():
            time.sleep(0.5)
            {end}
        on_main_process(work)
"""
    _, (out, error) = said(together(WITHIN.format(work=work), joined=False), seconds=55)
    assert out.startswith(cause), out + error


LAUNCHER = """
import sys, time
from tests.unit.together import together
code = sys.stdin.read()
for process in together(code, joined=False, inherited=True):
    print("pid", process.pid, flush=True)
time.sleep(600)
"""

FOLLOWS = """
import xdcbench.utils.processes as p
from xdcbench.utils.signals import defer_signals, exit_on_signal
p.BEAT, p.FAREWELL = 0.2, {farewell}
exit_on_signal()
start()
open(f"{{folder}}/joined{{rank()}}", "w").close()
{work}
"""

STEPS = """
with defer_signals() as asked:
    while not all_reduce_scalar(asked()):
        time.sleep(0.01)
    open(f"{folder}/saved{rank()}", "w").close()
"""
"""Each step is agreed on, and both save after the same one."""

STUCK = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if rank() == 1:
    time.sleep(600)
all_reduce_scalar(1)
"""
"""One waits in an exchange for the other, which does not come."""


@pytest.mark.parametrize(
    ("work", "farewell", "saved"), [(STEPS, 30.0, ["saved0", "saved1"]), (STUCK, 1.0, [])]
)
def test_processes_whose_launcher_is_killed_end(
    tmp_path: Path, work: str, farewell: float, saved: list[str], request: pytest.FixtureRequest
) -> None:
    code = f"folder = {str(tmp_path)!r}\n" + FOLLOWS.format(farewell=farewell, work=work)
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as launcher:
        assert launcher.stdin is not None and launcher.stdout is not None
        try:
            launcher.stdin.write(code)
            launcher.stdin.close()
            # Their own output follows, into which gloo writes what it likes.
            pids = [int(launcher.stdout.readline().removeprefix("pid ")) for _ in range(2)]
            request.addfinalizer(lambda: [os.kill(pid, signal.SIGKILL) for pid in pids if alive(pid)])
            joined = soon(lambda: len(list(tmp_path.glob("joined*"))) == 2, seconds=60)
            time.sleep(1)
            still = [alive(pid) for pid in pids]
        finally:
            launcher.kill()
    assert joined and still == [True, True]
    assert soon(lambda: not any(map(alive, pids)), seconds=20)
    assert sorted(path.name for path in tmp_path.glob("saved*")) == saved


def soon(holds: Callable[[], bool], *, seconds: float) -> bool:
    """Whether something comes to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
