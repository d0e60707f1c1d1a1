"""The commands that run a suite. Each imports its code only when it runs, which keeps ``--help`` fast."""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import say, takes
from xdcbench.cli.suite_options import RunOptions, SuiteOptions, require_suite
from xdcbench.errors import UserError

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog=examples(
        "xdcbench run --suite smoke",
        "xdcbench run --suite full --data-root DIR --dry-run",
        "xdcbench run --suite full --data-root DIR --executor slurm",
    )
)
@takes(RunOptions)
def run(options: RunOptions) -> None:
    """Run a suite: pretrain, evaluate and write tables. Run the same command to resume."""
    options.tell()
    if not options.dry_run and (options.devices or options.clips_per_second):
        raise UserError("--devices and --clips-per-second say how long a plan takes. Try: add --dry-run")
    if options.plan_json:
        from xdcbench.cli.cluster import print_plan

        print_plan(options)
    elif options.executor != "local":
        from xdcbench.cli.cluster import submit_plan

        raise typer.Exit(submit_plan(options))
    elif options.dry_run:
        _tell_plan(options)
    else:
        raise typer.Exit(_run_here(options))


def _tell_plan(options: RunOptions) -> None:
    """Print every stage and the cost of those that are left."""
    from xdcbench.cli.output import check_available, plan_lines
    from xdcbench.pipeline.costs.estimate import Machine, cost_lines
    from xdcbench.pipeline.launch import plan_launch

    launch = plan_launch(options.run_request(), write=False)
    say(plan_lines(launch), wrap=True)
    say(cost_lines(launch, Machine(options.devices or 1, options.clips_per_second)), wrap=True)
    if options.require_all:
        check_available(launch)


def _run_here(options: RunOptions) -> int:
    """Run the stages on this machine and print the tables; the exit code."""
    from xdcbench.cli.output import report, run_plan
    from xdcbench.pipeline.gpu_commands import gpus_of, run_on_each
    from xdcbench.pipeline.launch import plan_launch

    alone, policy, request = bool(options.stage), options.policy, options.run_request()
    gpus = () if alone else gpus_of(options.device, options.jobs)
    if gpus and policy != "missing":
        raise UserError(f"--policy {policy} takes one GPU. Try: leave --jobs out")
    launch = plan_launch(replace(request, jobs=1) if gpus else request)
    ended = run_on_each(gpus, sys.argv[1:]) if gpus else 0
    # A stage that failed on one GPU is not tried again.
    outcomes = run_plan(
        launch, policy="never" if ended else policy, alone=alone, require_all=options.require_all
    )
    lines, code = report(launch, outcomes, quiet=options.quiet, alone=alone)
    say(lines, wrap=True)
    return ended or code


@app.command(
    epilog=examples(
        "xdcbench check --suite smoke",
        "xdcbench check --suite smoke --tiers inputs,features,algorithms,steps",
    )
)
@takes(SuiteOptions, "results", suite="smoke", device="cpu")
def check(
    options: SuiteOptions,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Results folder; its complete runs are reused. Default: a temporary folder."
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Reference file. Default: baselines/regression/<suite>.json."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Write the reference file from this run. Refused in CI.")
    ] = False,
    calibrate: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="With --update: number of seeds, 8 or more, that measure the spread of trained numbers. "
            "Each runs with one thread and with all.",
        ),
    ] = 0,
    tiers: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="What to compare: inputs, features, algorithms, steps (seconds), trained. Default: all.",
        ),
    ] = "",
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="With --update: why the reference changes. Kept in the file.")
    ] = "",
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every number as a JUnit test case.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every number, expected and found, as JSON.")
    ] = None,
) -> None:
    """Run a suite in fp32 and compare with a reference.

    Exit code 0: as expected. 1: a number moved. 2: cannot tell. Under GitHub Actions, moved numbers become
    annotations and a step summary.
    """
    require_suite(options)
    from xdcbench.cli.check import check_against, tell, tiers_of, update_reference

    if calibrate and not update:
        raise UserError("--calibrate measures what a reference says. Try: add --update and --reason TEXT")
    with TemporaryDirectory(prefix="xdcbench-check-") as new:
        request = options.request(results=results or Path(new), precision="fp32")
        result = (
            update_reference(request, baseline, reason=reason, tiers=tiers_of(tiers), seeds=calibrate)
            if update
            else check_against(request, baseline, tiers=tiers_of(tiers))
        )
    say(tell(result, options.suite, junit=junit, json=json), wrap=True)
    raise typer.Exit(result.code)
