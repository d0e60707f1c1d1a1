"""The commands that run a suite. Each imports its code only when it runs, which keeps ``--help`` fast."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import (
    RESULTS,
    CacheOption,
    DataRootOption,
    DecodedOption,
    DeviceOption,
    FingerprintOption,
    JobsOption,
    MethodsOption,
    NumWorkersOption,
    ResultsOption,
    SeedsOption,
    SetOption,
    ShardsOption,
    SuiteOption,
    SyntheticOption,
    TrustOption,
    numbers,
    say,
    words,
)
from xdcbench.errors import UserError

app = typer.Typer(rich_markup_mode=None)

PolicyName = Literal["missing", "always", "never"]


@app.command(
    epilog=examples(
        "xdcbench run --suite smoke",
        "xdcbench run --suite full --data-root DIR --dry-run",
        "xdcbench run --suite smoke --methods sdc,xdc --seeds 0,1,2",
    )
)
def run(
    suite: SuiteOption,
    synthetic: SyntheticOption = "",
    set_: SetOption = None,
    filter_: Annotated[
        str,
        typer.Option(
            "--filter", metavar="GLOB", help="Run only stages whose name matches, and their inputs."
        ),
    ] = "",
    stage: Annotated[
        str, typer.Option(metavar="KEY", help="Run only the stage with this key. Its inputs must exist.")
    ] = "",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    data_root: DataRootOption = None,
    shards: ShardsOption = None,
    cache_bytes: CacheOption = None,
    decoded_bytes: DecodedOption = None,
    results: ResultsOption = RESULTS,
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
        typer.Option("--require-all", help="Fail if a dataset is missing, instead of skipping its stages."),
    ] = False,
    device: DeviceOption = "auto",
    num_workers: NumWorkersOption = None,
    jobs: JobsOption = None,
    trust_code: TrustOption = False,
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
    fingerprint: FingerprintOption = "size",
) -> None:
    """Run a suite: pretrain, evaluate and write tables. Run the same command to resume."""
    from xdcbench.cli.output import plan_lines, report, run_plan
    from xdcbench.pipeline.launch import Request, plan_launch

    request = Request(
        suite=suite,
        synthetic=synthetic,
        overrides=tuple(set_ or ()),
        filter=stage or filter_,
        methods=words(methods),
        seeds=numbers(seeds),
        data_root=data_root,
        shards=tuple(shards or ()),
        cache_bytes=cache_bytes,
        decoded_bytes=decoded_bytes,
        results=results,
        device=device,
        num_workers=num_workers,
        jobs=jobs,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoints=keep_checkpoints,
        micro_batch_size=micro_batch_size,
        compile=compile_,
        trust_code=trust_code,
        fingerprint=fingerprint,
    )
    if not dry_run and (devices or clips_per_second):
        raise UserError("--devices and --clips-per-second say how long a plan takes. Try: add --dry-run")
    launch = plan_launch(request, write=not dry_run)
    if dry_run:
        from xdcbench.pipeline.costs.estimate import Machine, cost_lines

        say(plan_lines(launch))
        say(cost_lines(launch, Machine(devices or 1, clips_per_second)))
        return
    outcomes = run_plan(launch, policy=policy, alone=bool(stage), require_all=require_all)
    lines, code = report(launch, outcomes)
    say(lines)
    raise typer.Exit(code)


@app.command(epilog=examples("xdcbench check --suite smoke", "xdcbench check --suite smoke --update"))
def check(
    suite: SuiteOption = "smoke",
    synthetic: SyntheticOption = "",
    set_: SetOption = None,
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    data_root: DataRootOption = None,
    shards: ShardsOption = None,
    cache_bytes: CacheOption = None,
    decoded_bytes: DecodedOption = None,
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
    update: Annotated[bool, typer.Option("--update", help="Write the reference file from this run.")] = False,
    trust_code: TrustOption = False,
    fingerprint: FingerprintOption = "size",
    device: DeviceOption = "cpu",
    num_workers: NumWorkersOption = None,
    jobs: JobsOption = None,
) -> None:
    """Run a suite in fp32; compare its numbers with a reference.

    Exit code 0: as expected. 1: a number moved. 2: cannot tell.
    """
    from xdcbench.cli.output import check_against
    from xdcbench.pipeline.launch import Request

    with TemporaryDirectory(prefix="xdcbench-check-") as new:
        request = Request(
            suite=suite,
            synthetic=synthetic,
            overrides=tuple(set_ or ()),
            methods=words(methods),
            seeds=numbers(seeds),
            data_root=data_root,
            shards=tuple(shards or ()),
            cache_bytes=cache_bytes,
            decoded_bytes=decoded_bytes,
            results=results or Path(new),
            device=device,
            num_workers=num_workers,
            jobs=jobs,
            precision="fp32",
            trust_code=trust_code,
            fingerprint=fingerprint,
        )
        lines, code = check_against(request, baseline, update=update)
    say(lines)
    raise typer.Exit(code)
