"""One command on each GPU of this machine, which share a results folder and so build each stage once."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from xdcbench.errors import UserError
from xdcbench.pipeline.defaults import default_num_workers
from xdcbench.utils.distributed import world_size
from xdcbench.utils.hardware import has_gpu_driver
from xdcbench.utils.signals import REQUEUE, die_with_parent

VISIBLE = "CUDA_VISIBLE_DEVICES"
GRACE = 120.0
"""Seconds that a command may take to save its state when it is asked to end."""
COMMAND = (sys.executable, "-m", "xdcbench")


def gpus_of(device: str, jobs: int | None) -> tuple[str, ...]:
    """The GPUs that ``jobs`` commands side by side take, as `CUDA_VISIBLE_DEVICES` names them; none on a CPU.

    Raises:
        UserError: there are fewer.
    """
    if (
        jobs is None
        or jobs == 1
        or device not in ("auto", "cuda")
        or world_size() > 1
        or not has_gpu_driver()
    ):
        return ()
    import torch

    count = torch.cuda.device_count()
    if not count:
        return ()
    if count < jobs:
        raise UserError(f"--jobs {jobs}: {count} GPUs are visible here. Try: --jobs {count}")
    names = os.environ.get(VISIBLE) or ",".join(map(str, range(count)))
    return tuple(name.strip() for name in names.split(","))[:jobs]


def run_on_each(gpus: Sequence[str], words: Sequence[str], command: Sequence[str] = COMMAND) -> int:
    """Run a command of this project on each GPU until all have ended; what they would print of tables is not shown.

    Args:
        gpus: of `gpus_of`.
        words: of the command, such as ``run --suite full``; later options go before earlier ones.

    Returns:
        0 if all ended so, `REQUEUE` if one was asked to end, else the largest exit code.
    """
    more = ["--jobs", "1", "--device", "cuda"]
    if not any(word.startswith("--num-workers") for word in words):
        more += ["--num-workers", str(default_num_workers(len(gpus)))]
    with _started([[*command, *words, *more]] * len(gpus), gpus) as commands:
        codes = [started.wait() for started in commands]
    return REQUEUE if REQUEUE in codes else max(code if code >= 0 else 1 for code in codes)


@contextmanager
def _started(
    commands: Sequence[Sequence[str]], gpus: Sequence[str]
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Commands that have begun; they are asked to end if this process leaves before they do."""
    started = [
        subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            env=os.environ | {VISIBLE: gpu, "TERM": "dumb"},  # two commands cannot draw bars on one terminal
            preexec_fn=die_with_parent,
        )
        for words, gpu in zip(commands, gpus, strict=True)
    ]
    try:
        yield started
    finally:
        for one in started:
            one.terminate()
        for one in started:
            try:
                one.wait(GRACE)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
