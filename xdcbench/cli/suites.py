"""The commands that run a suite. Each imports its code only when it runs, which keeps ``--help`` fast."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import (
    RESULTS,
    DataRootOption,
    DeviceOption,
    NumWorkersOption,
    ResultsOption,
    ShardsOption,
    TrustOption,
    numbers,
    say,
    takes,
    words,
)
from xdcbench.errors import UserError

if TYPE_CHECKING:
    from xdcbench.pipeline.launch import Request

app = typer.Typer(rich_markup_mode=None)

PolicyName = Literal["missing", "always", "never"]


@dataclass(frozen=True)
class SuiteOptions:
    """What `run` and `check` take from the command line alike; each field is an option."""

    suite: Annotated[
        str, typer.Option("--suite", metavar="NAME|FILE", help="Suite to run; see `xdcbench list suites`.")
    ]
    synthetic: Annotated[
        str,
        typer.Option(
            "--synthetic",
            metavar="NAME|FILE",
            help="Run the suite on this synthetic world, at reduced size and without real data, e.g. `small`.",
        ),
    ] = ""
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, e.g. pretrain.rounds=3. Repeatable."
        ),
    ] = None
    methods: Annotated[str, typer.Option(metavar="A,B", help="Run only these methods of the suite.")] = ""
    seeds: Annotated[str, typer.Option(metavar="0,1", help="Pretraining seeds, instead of the suite's.")] = ""
    data_root: DataRootOption = None
    shards: ShardsOption = None
    cache_bytes: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="BYTES", help="Disk space for cached ranges of remote shards. Default: 20 GiB."
        ),
    ] = None
    decoded_bytes: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="BYTES",
            help="Memory in which small datasets are kept decoded, each file decoded once. Default: a quarter of what "
            "is free. Results do not depend on it.",
        ),
    ] = None
    results: ResultsOption = RESULTS
    device: DeviceOption = "auto"
    num_workers: NumWorkersOption = None
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Stages to run side by side on a CPU, each with its share of the cores. Default: for a suite with a "
            "synthetic world one per core, at most 4; otherwise 1.",
        ),
    ] = None
    trust_code: TrustOption = False
    accept_license: Annotated[
        bool,
        typer.Option(
            "--accept-licence",
            help="Download released weights whose license forbids commercial use, also without a terminal.",
        ),
    ] = False
    fingerprint: Annotated[
        Literal["size", "content"],
        typer.Option(
            help="Identify original files by their sizes or by a hash of their content. `content` reads every file. "
            "The two give different keys."
        ),
    ] = "size"

    def request(self, **more: Any) -> "Request":
        """The request of these options and of ``more`` fields of it."""
        from xdcbench.pipeline.launch import Request

        lists = {"overrides": tuple(self.overrides or ()), "shards": tuple(self.shards or ())}
        return Request(
            **vars(self) | lists | {"methods": words(self.methods), "seeds": numbers(self.seeds)} | more
        )


@app.command(
    epilog=examples(
        "xdcbench run --suite smoke",
        "xdcbench run --suite full --data-root DIR --dry-run",
        "xdcbench run --suite smoke --methods sdc,xdc --seeds 0,1,2",
    )
)
@takes(SuiteOptions)
def run(
    options: SuiteOptions,
    filter_: Annotated[
        str,
        typer.Option(
            "--filter", metavar="GLOB", help="Run only stages whose name matches, and their inputs."
        ),
    ] = "",
    stage: Annotated[
        str, typer.Option(metavar="KEY", help="Run only the stage with this key. Its inputs must exist.")
    ] = "",
    policy: Annotated[
        PolicyName,
        typer.Option(
            help="Which stages to run: those that are missing, all of them again, or none (print the tables)."
        ),
    ] = "missing",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, what is done, and the cost of the rest.")
    ] = False,
    devices: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --dry-run: GPUs that are to share the work.")
    ] = None,
    clips_per_second: Annotated[
        float | None,
        typer.Option(
            min=1e-3,
            metavar="RATE",
            help="With --dry-run: clips on which one GPU trains both encoders. Default: as `doctor --speed` measured.",
        ),
    ] = None,
    require_all: Annotated[
        bool,
        typer.Option(
            "--require-all",
            help="Fail if a dataset or weights are missing, instead of skipping stages.",
        ),
    ] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Minimum time between two checkpoints.")
    ] = 60.0,
    keep_checkpoints: Annotated[
        int, typer.Option(min=1, help="Checkpoints to keep while a stage runs, newest first.")
    ] = 2,
    micro_batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Clips per forward pass on one device, to fit its memory. Gradients are accumulated. Default: the "
            "whole share of the batch.",
        ),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the trained models with torch.compile.")
    ] = False,
) -> None:
    """Run a suite: pretrain, evaluate and write tables. Run the same command to resume."""
    from xdcbench.cli.output import check_available, plan_lines, report, run_plan
    from xdcbench.pipeline.launch import plan_launch

    if not dry_run and (devices or clips_per_second):
        raise UserError("--devices and --clips-per-second say how long a plan takes. Try: add --dry-run")
    request = options.request(
        filter=stage or filter_,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoints=keep_checkpoints,
        micro_batch_size=micro_batch_size,
        compile=compile_,
    )
    launch = plan_launch(request, write=not dry_run)
    if dry_run:
        from xdcbench.pipeline.costs.estimate import Machine, cost_lines

        say(plan_lines(launch))
        say(cost_lines(launch, Machine(devices or 1, clips_per_second)))
        if require_all:
            check_available(launch)
        return
    outcomes = run_plan(launch, policy=policy, alone=bool(stage), require_all=require_all)
    lines, code = report(launch, outcomes)
    say(lines)
    raise typer.Exit(code)


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
            help="With --update: seeds over which trained numbers spread, with one and with all threads; 8 or more.",
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
    """Run a suite in fp32; compare its numbers with a reference.

    Exit code 0: as expected. 1: a number moved. 2: cannot tell. Under GitHub Actions, moved numbers become
    annotations and a step summary.
    """
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
    say(tell(result, options.suite, junit=junit, json=json))
    raise typer.Exit(result.code)
