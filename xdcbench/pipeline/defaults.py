"""What of this machine a run takes where nothing is asked for: stages side by side, processes, memory."""

from xdcbench.config.suite import Suite
from xdcbench.errors import UserError
from xdcbench.utils.cores import available_cores
from xdcbench.utils.distributed import local_world_size, world_size
from xdcbench.utils.memory import available_memory

JOBS = 4
"""Stages side by side at most, where none are asked for."""

JOB_BYTES = 2 << 30
"""Memory for which another one is begun."""


def jobs_of(suite: Suite, device: str, asked: int | None) -> int:
    """Stages to build side by side.

    Where none are asked for: on a CPU, for a suite with a synthetic world, whose encoders and clips are too small to
    gain from several threads, as many as there are cores and memory, at most `JOBS`; otherwise one.

    Raises:
        UserError: several are asked for where they cannot be.
    """
    possible = device == "cpu" and world_size() == 1
    if asked is None:
        return default_jobs() if possible and suite.world else 1
    if asked > 1 and not possible:
        where = "under torchrun" if world_size() > 1 else f"on {device}"
        raise UserError(f"--jobs {asked}: stages run one after another {where}. Try: leave --jobs out")
    return asked


def default_jobs() -> int:
    """Stages side by side where encoders and clips are small."""
    return max(1, min(JOBS, available_cores(), available_memory() // JOB_BYTES))


def default_num_workers(jobs: int = 1) -> int:
    """Processes that read media where none are asked for: two cores are left to training, or one of two.

    Of several jobs, each reads with what is left of its share of the cores.
    """
    cores = available_cores() // jobs
    return min(16, max(cores - 2, min(1, cores - 1), 0))


def default_decoded_bytes() -> int:
    """Memory for what is kept decoded where none is asked for: a process's part of a quarter of what is free."""
    return available_memory() // 4 // local_world_size()
