"""Two processes as torchrun would start them, each of which runs a piece of code."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAD = """
import os, signal, sys, time, torch
from torch import nn
from xdcbench.utils.distributed import *
from xdcbench.utils.processes import *
torch.set_num_threads(1)
"""


def together(code: str, *, joined: bool = True, inherited: bool = False) -> list[subprocess.Popen[str]]:
    """The processes, which have joined each other already unless the code does that.

    What they say goes to pipes or, where output is ``inherited``, to where this process writes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", HEAD + ("start()\n" if joined else "") + code],
            cwd=ROOT,
            env=os.environ | place | {"RANK": str(rank)},
            stdout=None if inherited else subprocess.PIPE,
            stderr=None if inherited else subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


def said(processes: list[subprocess.Popen[str]], *, seconds: float) -> list[tuple[str, str]]:
    return [process.communicate(timeout=seconds) for process in processes]
