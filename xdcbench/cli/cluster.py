"""What commands do and tell about plans that run elsewhere."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from xdcbench.cli.options import say
from xdcbench.cli.output import check_available, plan_lines, report, run_plan
from xdcbench.cli.suite_options import RunOptions
from xdcbench.config.executors import LOCAL, load_executor
from xdcbench.errors import UserError
from xdcbench.pipeline.launch import plan_launch
from xdcbench.pipeline.needed import missing_stages
from xdcbench.pipeline.plan_document import plan_document
from xdcbench.pipeline.slurm import client
from xdcbench.pipeline.slurm.states import StageState, queued_jobs, stage_states
from xdcbench.pipeline.slurm.submit import Target, dry_lines, submit_missing
from xdcbench.pipeline.slurm.submitted import JobsFolder, SubmittedSuite
from xdcbench.results.run_store import RunStore

REFUSED = (
    ("device", "auto", "the executor's `device_class` says what the nodes have"),
    ("jobs", None, "each stage is a job of its own"),
    ("stage", "", "--filter runs a part of the suite"),
)
"""Options of runs on this machine, their default, and why they do not go with an executor."""

UNPRINTED = (("stage", "", "it prints what is missing"), ("policy", "missing", "it prints what is missing"))
"""The same for a plan as JSON."""


def print_plan(options: RunOptions) -> None:
    """Print a plan as JSON, for this machine or for the nodes of an executor.

    Raises:
        UserError: it is to be of one stage, or of what a policy runs.
    """
    _refuse(options, UNPRINTED, "--plan-json")
    if options.executor == LOCAL:
        settings, _ = load_executor("slurm")
        request = options.run_request()
        launch = plan_launch(request, write=False)
        document = plan_document(launch, request, settings, on_nodes=False)
    else:
        target = _target(options, write=False)
        document = plan_document(target.launch, target.request, target.settings, on_nodes=True)
    say(json.dumps(document, indent=1).splitlines())


def submit_plan(options: RunOptions) -> int:
    """Submit what is missing of a plan, or print the tables where nothing is; returns the exit code."""
    target = _target(options, write=not options.dry_run)
    launch = target.launch
    targets = [stage for stage in launch.plan.stages if stage.key in launch.plan.targets]
    if options.require_all or all(stage.reason for stage in targets):
        check_available(launch)
    if options.dry_run:
        say(plan_lines(launch))
        say(dry_lines(target))
        return 0
    if options.policy == "never" or not missing_stages(launch.plan, launch.store):
        lines, code = report(launch, run_plan(launch, policy="never"))
        say(lines)
        return code
    done = submit_missing(target)
    folder = shlex.quote(str(options.results))
    say(
        [
            f"submitted {done.stages} stages as {done.jobs} jobs; {done.queued} were queued already",
            f"`xdcbench status --results {folder}` shows them. Run the same command to submit what is missing then, "
            "or to print the tables once nothing is",
        ]
    )
    return 0


def _target(options: RunOptions, *, write: bool) -> Target:
    _refuse(options, REFUSED, "--executor")
    if options.policy == "always":
        raise UserError("--policy always does not go with --executor. Try: another folder with --results")
    settings, file = load_executor(options.executor)
    asked = options.run_request()
    precision = asked.auto_precision or settings.precision
    request = replace(asked, device="cpu", auto_precision=precision, results=asked.results.absolute())
    return Target(plan_launch(request, write=write), request, settings, file)


def _refuse(options: RunOptions, refused: Sequence[tuple[str, object, str]], beside: str) -> None:
    for name, usual, why in refused:
        if getattr(options, name) != usual:
            raise UserError(f"--{name} does not go with {beside}: {why}. Try: leave --{name} out")


def status_lines(results: Path, name: str) -> tuple[list[str], int]:
    """The stages of submitted suites, of all or of one, with their jobs; and 1 if anything has failed, else 0."""
    store, folder = RunStore.existing(results), JobsFolder(results)
    lines, failed = list[str](), False
    for suite in _chosen(folder, name):
        states = stage_states(suite, store, folder)
        lines += _suite_lines(suite, states)
        failed = failed or any(state.has_failed for state in states)
    return lines, int(failed)


def _suite_lines(suite: SubmittedSuite, states: list[StageState]) -> Iterator[str]:
    for state in states:
        detail = f"  ({state.detail})" if state.detail else ""
        yield f"{state.state:<12} {state.job or '-':<10} {state.key:<30} {state.name}{detail}"
    counts = Counter(state.state for state in states)
    yield f"{suite.suite}: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))


def cancel_jobs(results: Path, name: str) -> str:
    """End the jobs of submitted suites that are queued or run; a line that counts them."""
    RunStore.existing(results)
    folder = JobsFolder(results)
    client.require_slurm()
    keys = {stage.key for suite in _chosen(folder, name) for stage in suite.stages}
    queued = queued_jobs(folder.jobs(sorted(keys)))
    if queued:
        client.cancel(sorted(job.number for job in queued.values()))
    return f"cancelled {len(queued)} jobs; complete runs and checkpoints stay"


def _chosen(folder: JobsFolder, name: str) -> list[SubmittedSuite]:
    suites = folder.suites()
    chosen = [suite for suite in suites if name in ("", suite.suite)]
    if not chosen:
        known = ", ".join(suite.suite for suite in suites)
        raise UserError(f"suite {name!r} was not submitted to {folder.results}; known: {known}")
    return chosen
