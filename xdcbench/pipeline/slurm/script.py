"""The script of a job: a template, which a person can read and submit by hand."""

import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xdcbench.config.executors import Resources, Slurm
from xdcbench.errors import UserError
from xdcbench.pipeline.slurm.batches import Batch
from xdcbench.utils.shown import printable

WARNING = 120
"""Seconds before its time limit at which a job is asked to save its state."""


@dataclass(frozen=True)
class Place:
    """Where jobs work: the absolute results folder, the folder of the command, and the token of the former."""

    results: Path
    folder: Path
    token: str


def job_script(batch: Batch, words: list[str], settings: Slurm, place: Place) -> str:
    """The script of a batch.

    Args:
        batch: what it runs.
        words: after ``xdcbench``, without the key.
        settings: of the executor.
        place: where it works.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    resources = batch.resources
    nodes, per_node = resources.nodes or 1, resources.processes or 1
    return environment.get_template("job.sh.jinja").render(
        options=list(_options(batch, place)),
        stages=[f"{stage.key} {printable(stage.name)}" for stage in batch.stages],
        keys=shlex.join(stage.key for stage in batch.stages),
        results=shlex.quote(str(place.results)),
        token=shlex.quote(place.token),
        set_up=settings.set_up,
        python=shlex.quote(settings.python or sys.executable),
        nodes=nodes,
        per_node=per_node,
        processes=nodes * per_node,
        words=shlex.join(words),
        # torchrun hands on SIGTERM alone.
        ask='scancel --signal=TERM "$SLURM_JOB_ID"' if nodes * per_node > 1 else 'kill -USR2 "$pid"',
    )


def log_of(place: Place, number: str) -> Path:
    """The log of a job or of a task of an array."""
    return place.results / "jobs" / "logs" / f"{number}.txt"


def _options(batch: Batch, place: Place) -> Iterator[str]:
    tasks, resources = len(batch.stages), batch.resources
    yield f"--job-name={batch.name}"
    yield f"--chdir={_quoted(str(place.folder))}"
    folder = str(log_of(place, "").parent).replace("%", "%%")
    yield f"--output={_quoted(folder + ('/%A_%a.txt' if tasks > 1 else '/%j.txt'))}"
    yield "--open-mode=append"
    yield "--requeue"
    yield f"--signal=B:USR2@{WARNING}"
    yield "--kill-on-invalid-dep=yes"
    if tasks > 1:
        yield f"--array=0-{tasks - 1}"
    yield from _resources(resources)


def _resources(resources: Resources) -> Iterator[str]:
    for name in ("partition", "account", "qos"):
        if value := getattr(resources, name):
            yield f"--{name}={_quoted(value)}"
    yield f"--nodes={resources.nodes}"
    yield "--ntasks-per-node=1"
    yield f"--cpus-per-task={resources.cores}"
    if resources.gpus:
        yield f"--gpus-per-node={resources.gpus}"
    yield f"--mem={math.ceil(1024 * (resources.memory or 0))}M"
    yield f"--time={round(60 * (resources.hours or 0))}"
    yield from resources.sbatch


def _quoted(text: str) -> str:
    """Text as sbatch reads it in its lines of a script.

    Raises:
        UserError: it does not fit on a line.
    """
    # With a backslash, slurmd reads the name of a log in another way.
    if not text.isprintable() or "\\" in text:
        raise UserError(f"{text!r} holds signs that no option of sbatch can hold. Try: another name")
    if all(sign.isalnum() or sign in "/._-%+=:,@" for sign in text):
        return text
    return '"' + text.replace('"', '\\"') + '"'
