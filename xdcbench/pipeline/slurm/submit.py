"""Submitting what is missing of a plan and not queued yet, each stage once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xdcbench.config.executors import Resources, Slurm
from xdcbench.errors import UserError
from xdcbench.pipeline.command import run_words, stage_request
from xdcbench.pipeline.costs.resources import resources_of
from xdcbench.pipeline.costs.sizes import sizes_of
from xdcbench.pipeline.costs.work import Works
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Launch, Request
from xdcbench.pipeline.needed import missing_stages
from xdcbench.pipeline.slurm import client
from xdcbench.pipeline.slurm.batches import Batch, batches_of, inputs_of
from xdcbench.pipeline.slurm.script import Place, job_script
from xdcbench.pipeline.slurm.states import queued_jobs
from xdcbench.pipeline.slurm.submitted import JobsFolder, SubmittedJob
from xdcbench.utils.io import file_system_time
from xdcbench.utils.signals import block_signals, signals_later


@dataclass(frozen=True)
class Target:
    """A plan for nodes of a cluster: the request that it was made of, the executor's settings, and their file."""

    launch: Launch
    request: Request
    settings: Slurm
    file: Path


@dataclass
class Submission:
    """What was done: jobs and stages that were submitted, and stages that were queued already."""

    jobs: int = 0
    stages: int = 0
    queued: int = 0
    numbers: dict[str, str] = field(default_factory=dict)


def submit_missing(target: Target) -> Submission:
    """Submit what is missing and not queued.

    Raises:
        UserError: Slurm is not here, does not answer, or does not take a job; those that it took stay.
    """
    client.require_slurm()
    folder = JobsFolder(target.launch.store.root)
    with folder.submitting():
        place = Place(folder.results, Path.cwd(), folder.token())
        folder.write_suite(target.launch.plan.suite.name, target.launch.plan.stages)
        missing = missing_stages(target.launch.plan, target.launch.store)
        queued = _still_queued(missing, folder)
        submission = Submission(queued=len(queued), numbers=dict(queued))
        rest = [stage for stage in missing if stage.key not in queued]
        for batch in _batches(rest, target):
            _submit(batch, submission, folder, target, place)
    return submission


def dry_lines(target: Target) -> Iterator[str]:
    """The scripts that would be submitted, each below the command that would submit it."""
    folder = target.launch.store.root.absolute()
    place = Place(folder, Path.cwd(), "TOKEN")
    missing = missing_stages(target.launch.plan, target.launch.store)
    keys = {stage.key for stage in missing}
    for batch in _batches(missing, target):
        after = [f"JOB_OF_{key}" for key in batch.inputs if key in keys]
        yield f"sbatch {' '.join(client.submit_options(after))} <<'EOF'"
        yield from _script(batch, target, place).splitlines()
        yield "EOF"


def _still_queued(missing: list[Stage], folder: JobsFolder) -> dict[str, str]:
    """Numbers of the jobs that are on their way, by key.

    What waits for a job that is not is cancelled, since it waits in vain.
    """
    queued = queued_jobs(folder.jobs(stage.key for stage in missing))
    wanted, kept, vain = {stage.key for stage in missing}, dict[str, str](), list[str]()
    for stage in missing:
        if stage.key not in queued:
            continue
        waits_in_vain = any(key in wanted and key not in kept for key in inputs_of(stage))
        if waits_in_vain:
            vain.append(queued[stage.key].number)
        else:
            kept[stage.key] = queued[stage.key].number
    if vain:
        client.cancel(vain)
    return kept


def _batches(stages: list[Stage], target: Target) -> list[Batch]:
    launch = target.launch
    works = Works(lambda index: sizes_of(index, launch.store))
    models, settings = launch.plan.suite.models, target.settings
    resources: dict[str, Resources] = {s.key: resources_of(s, works, settings, models) for s in stages}
    return batches_of(stages, resources, client.max_array_size())


def _script(batch: Batch, target: Target, place: Place) -> str:
    words = run_words(stage_request(target.request, batch.resources), target.launch.auto_precision)
    return job_script(batch, words, target.settings, place)


def _submit(batch: Batch, done: Submission, folder: JobsFolder, target: Target, place: Place) -> None:
    """Submit a batch; of an array that is too large for what the queue still takes, as much of it as fits."""
    try:
        numbers = _submit_and_note(batch, done, folder, _script(batch, target, place))
    except client.RefusedError as error:
        if error.full and len(batch.stages) > 1:
            for half in batch.halves():
                _submit(half, done, folder, target, place)
            return
        fix = "the same command later" if error.full else f"mend {target.file}, then the same command"
        raise UserError(
            f"sbatch refused {batch.stages[0].name}: {error}. "
            f"{done.stages + done.queued} stages are queued and stay. Try: {fix}"
        ) from error
    done.numbers |= numbers
    done.jobs += 1
    done.stages += len(batch.stages)


def _submit_and_note(batch: Batch, done: Submission, folder: JobsFolder, script: str) -> dict[str, str]:
    """Numbers of the jobs of a batch by key, once they are noted. A request to end is heard after that.

    Raises:
        RefusedError: Slurm does not take it.
    """
    after = dict.fromkeys(done.numbers[key] for key in batch.inputs if key in done.numbers)
    now = file_system_time(folder.root)  # the nodes' errors are told from earlier ones by it
    # Of a job without a note, the next command would submit another. Blocked, sbatch does not hear Ctrl-C either.
    with signals_later(), block_signals():
        numbers = batch.numbers(client.submit(script, after))
        for key, number in numbers.items():
            folder.write_job(key, SubmittedJob(number=number, name=batch.name, submitted=now))
    return numbers
