"""Threads that compute together on a CPU, and what they do while they wait for one another."""

import os

from xdcbench.utils.cores import affinity, available_cores

SPINS = 6000
"""Turns for which a thread asks for work before it sleeps; GNU's OpenMP takes 300,000, some milliseconds."""


def wait_briefly() -> None:
    """Let threads that wait leave their cores to the processes that read, unless the user has said how to wait.

    Where training and reading share cores, threads that spin take the time in which the next batch would be read
    (docs/speed.md). OpenMP reads its environment once, as torch is imported: it has to be called before that. Other
    OpenMP libraries than GNU's do not know this variable.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def fit_cores() -> None:
    """Compute in as many threads as cores may be used, unless the user has said in how many.

    OpenMP knows the affinity of the process, and neither control groups nor Slurm. It has to be called before torch
    is imported.
    """
    cores = available_cores()
    if cores < affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))
