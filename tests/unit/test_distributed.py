"""Two processes: what they exchange, and what the other says when one dies or raises."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """
import os, signal, sys, time, torch
from torch import nn
from xdcbench.distributed import *
torch.set_num_threads(1)
start()
"""


def together(code: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", HEAD + code],
            cwd=ROOT,
            env=os.environ | place | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


def said(processes: list[subprocess.Popen[str]], *, seconds: float) -> list[tuple[str, str]]:
    return [process.communicate(timeout=seconds) for process in processes]


def test_sums_and_gradients_of_each_type() -> None:
    code = """
assert total(1.5 + rank()) == 4.0
one, two, lacking = (nn.Parameter(torch.zeros(3, dtype=t)) for t in (torch.float32, torch.float64, torch.float32))
one.grad = torch.full((3,), 1.0 + rank())
two.grad = torch.full((3,), 1e-12 * (1 + rank()), dtype=torch.float64)
if rank():
    lacking.grad = torch.ones(3)
sum_gradients([one, two, lacking])
assert one.grad.tolist() == [3.0] * 3 and lacking.grad.tolist() == [1.0] * 3
assert two.grad.dtype == torch.float64 and torch.allclose(two.grad, torch.full((3,), 3e-12).double(), atol=0)
barrier()
stop()
print("ended")
"""
    for out, error in said(together(code), seconds=60):
        assert out == "ended\n", error


LOOP = """
try:
    for step in range(10_000):
        if rank() == 1 and step == 5:
            {end}
        total(step)
        time.sleep(0.01)
except RuntimeError:
    print(cause())
    os._exit(1)
"""


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "process 1 of 2 is gone; was it killed, or out of memory?"),
        ("announce('a.mp4: torn'); os._exit(1)", "process 1 of 2 failed: a.mp4: torn"),
    ],
)
def test_the_other_names_the_cause_within_a_minute(end: str, cause: str) -> None:
    begun = time.monotonic()
    (out, error), _ = said(together(LOOP.format(end=end)), seconds=55)
    assert out.strip() == cause, error
    assert time.monotonic() - begun < 60


def test_a_process_that_waits_for_a_silent_one_ends(tmp_path: Path) -> None:
    """Stopped, not killed: its connections stay open, as those of a machine that lost power do."""
    code = """
import xdcbench.distributed as d
d.SILENCE = 5.0
open(sys.argv[1] if len(sys.argv) > 1 else os.devnull, "w").close()
if rank() == 1:
    total(1)
    os.kill(os.getpid(), signal.SIGSTOP)
total(1)
total(1)
"""
    processes = together(code)
    try:
        _, error = processes[0].communicate(timeout=45)
        assert processes[0].returncode == 1
        assert "process 1 of 2 is gone: no sign of life for 5 s" in error
    finally:
        processes[1].send_signal(signal.SIGKILL)
        processes[1].communicate()
