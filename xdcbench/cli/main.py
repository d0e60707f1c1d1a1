"""The commands of ``xdcbench``. Each imports its code only when it runs, which keeps ``--help`` fast."""

import errno
import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from xdcbench.cli import bench as cli_bench
from xdcbench.cli import data as cli_data
from xdcbench.cli.examples import examples
from xdcbench.errors import MediaError, UserError
from xdcbench.utils.distributed import check_environment, is_main_process
from xdcbench.utils.output import standard_output, use_utf8
from xdcbench.utils.process_setup import set_up_process
from xdcbench.utils.secrets import HideSecrets, hide_in_tracebacks
from xdcbench.utils.shown import VisibleFilter, safe_text
from xdcbench.utils.signals import REQUEUE, exit_on_signal

app = typer.Typer(
    help="Benchmarks for self-supervised learning from audio and video.",
    epilog=examples(
        "xdcbench run --suite smoke",
        "xdcbench table table1 --format md",
        "xdcbench doctor --data-root DIR",
    ),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_bench.app, name="bench")
app.add_typer(cli_data.app, name="data")

PolicyName = Literal["missing", "always", "never"]
FormatName = Literal["md", "tex", "csv", "html", "txt"]
Listed = Literal["methods", "suites", "datasets", "evaluations", "tables", "weights"]

SuiteOption = Annotated[
    str, typer.Option("--suite", metavar="NAME|FILE", help="Suite to run; see `xdcbench list suites`.")
]
SyntheticOption = Annotated[
    str,
    typer.Option(
        "--synthetic",
        metavar="NAME|FILE",
        help="Run the suite on this synthetic world, at reduced size and without real data, e.g. `small`.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. pretrain.rounds=3. Repeatable."),
]
MethodsOption = Annotated[str, typer.Option(metavar="A,B", help="Run only these methods of the suite.")]
SeedsOption = Annotated[str, typer.Option(metavar="0,1", help="Pretraining seeds, instead of the suite's.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root", metavar="DIR", envvar="XDCBENCH_DATA_ROOT", help="Folder of the real datasets."
    ),
]
ShardsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shards",
        metavar="DIR|URL",
        envvar="XDCBENCH_SHARDS",
        help="Prepared shards to read instead of a dataset's original files, or a folder with the shards of several "
        "datasets. Repeatable.",
    ),
]
CacheOption = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="BYTES", help="Disk space for cached ranges of remote shards. Default: 20 GiB."
    ),
]
DecodedOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="BYTES",
        help="Memory in which small datasets are kept decoded, each file decoded once. Default: a quarter of what is "
        "free. Results do not depend on it.",
    ),
]
ResultsOption = Annotated[
    Path, typer.Option("--results", metavar="DIR", envvar="XDCBENCH_RESULTS", help="Results folder.")
]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N. auto uses CUDA if it is available.")
]
NumWorkersOption = Annotated[
    int | None,
    typer.Option(
        "--num-workers",
        min=0,
        help="Processes that read media. Default: two fewer than the cores, but one on two cores, and at most 16. 0 "
        "reads in the training process. Results do not depend on it.",
    ),
]

TrustOption = Annotated[
    bool,
    typer.Option("--trust-code", help="Run the code (module:object) that a suite, run or export names."),
]

FingerprintOption = Annotated[
    Literal["size", "content"],
    typer.Option(
        help="Identify original files by their sizes or by a hash of their content. `content` reads every file. The "
        "two give different keys."
    ),
]

RESULTS = Path("results")


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
    require_all: Annotated[
        bool,
        typer.Option("--require-all", help="Fail if a dataset is missing, instead of skipping its stages."),
    ] = False,
    device: DeviceOption = "auto",
    num_workers: NumWorkersOption = None,
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
    from xdcbench.pipeline.launch import plan_launch

    request = _request(
        suite=suite,
        synthetic=synthetic,
        overrides=tuple(set_ or ()),
        filter=stage or filter_,
        methods=_words(methods),
        seeds=_numbers(seeds),
        data_root=data_root,
        shards=tuple(shards or ()),
        cache_bytes=cache_bytes,
        decoded_bytes=decoded_bytes,
        results=results,
        device=device,
        num_workers=num_workers,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoints=keep_checkpoints,
        micro_batch_size=micro_batch_size,
        compile=compile_,
        trust_code=trust_code,
        fingerprint=fingerprint,
    )
    launch = plan_launch(request, write=not dry_run)
    if dry_run:
        from xdcbench.pipeline.costs.estimate import cost_lines

        _say(plan_lines(launch))
        _say(cost_lines(launch))
        return
    outcomes = run_plan(launch, policy=policy, alone=bool(stage), require_all=require_all)
    lines, code = report(launch, outcomes)
    _say(lines)
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
) -> None:
    """Run a suite in fp32 and compare its numbers with a reference.

    Exit code 0: as expected. 1: a number moved. 2: cannot tell.
    """
    from xdcbench.cli.output import check_against

    with TemporaryDirectory(prefix="xdcbench-check-") as new:
        request = _request(
            suite=suite,
            synthetic=synthetic,
            overrides=tuple(set_ or ()),
            methods=_words(methods),
            seeds=_numbers(seeds),
            data_root=data_root,
            shards=tuple(shards or ()),
            cache_bytes=cache_bytes,
            decoded_bytes=decoded_bytes,
            results=results or Path(new),
            device=device,
            num_workers=num_workers,
            precision="fp32",
            trust_code=trust_code,
            fingerprint=fingerprint,
        )
        lines, code = check_against(request, baseline, update=update)
    _say(lines)
    raise typer.Exit(code)


@app.command(
    epilog=examples(
        "xdcbench table table1 --format md", "xdcbench table --results results --results more --output tables"
    )
)
def table(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Tables to print. Default: all.")
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="DIR", help="Results folder. Repeatable: several are read as one."),
    ] = None,
    format_: Annotated[FormatName, typer.Option("--format", help="Format to print.")] = "txt",
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Add 95 % confidence intervals over test items.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Also write every format to this folder.")
    ] = None,
) -> None:
    """Print tables of measured numbers beside published numbers."""
    from xdcbench.cli.output import table_lines

    _say(table_lines(names or [], results or [RESULTS], format_, output, intervals=intervals))


@app.command(
    epilog=examples(
        "xdcbench compare xdc sdc", "xdcbench compare xdc@audioset xdc@kinetics400 --evaluation finetune"
    )
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="Methods, METHOD@PRETRAINING_DATA, or run keys."),
    ],
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="DIR", help="Results folder. Repeatable: several are read as one."),
    ] = None,
    metric: Annotated[str, typer.Option(help="Metric: a share of test items.")] = "top1",
    dataset: Annotated[str, typer.Option(help="Compare only on this dataset.")] = "",
    evaluation: Annotated[str, typer.Option(help="Compare only by this evaluation.")] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Also write all numbers to this JSON file."),
    ] = None,
) -> None:
    """Test the first method against each other method on the same test items.

    Prints differences, confidence intervals and p values.
    """
    from xdcbench.results.statistics.compare import compare
    from xdcbench.results.statistics.verdict import verdict_lines, write_verdict

    blocks = compare(names, results or [RESULTS], metric=metric, dataset=dataset, evaluation=evaluation)
    _say(verdict_lines(blocks))
    if output is not None:
        write_verdict(blocks, output)


@app.command("list", epilog=examples("xdcbench list suites", "xdcbench list weights"))
def list_(what: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """List the methods, suites, datasets, evaluations, tables or weights that are available."""
    from xdcbench.pipeline.catalog import rows

    listed = rows(what)
    width = max(22, *(len(name) for name, _ in listed))
    _say([f"{name:<{width}} {title}" for name, title in listed])


@app.command(epilog=examples("xdcbench show round-0123456789ab", "xdcbench show 0123 --results more"))
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run key, or the beginning of its hash.")],
    results: ResultsOption = RESULTS,
) -> None:
    """Show a run: its settings, numbers and files, or the error and log of each failed attempt."""
    from xdcbench.cli.output import run_lines

    _say(run_lines(run, results))


@app.command(epilog=examples("xdcbench prune --dry-run", "xdcbench prune --encoders --keep 'xdc/*'"))
def prune(
    results: ResultsOption = RESULTS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Keys or names of runs to keep whole, e.g. 'xdc/*'. Repeatable."),
    ] = None,
    older_than: Annotated[
        float, typer.Option(metavar="HOURS", min=0, help="Age at which an interrupted build is removed.")
    ] = 24.0,
    encoders: Annotated[
        bool, typer.Option("--encoders", help="Also remove encoders of rounds that a later round continued.")
    ] = False,
) -> None:
    """Remove files that no kept result needs: old builds and features of finished evaluations. Records stay."""
    from xdcbench.pipeline.prune import prune_lines

    _say(prune_lines(results, dry_run=dry_run, keep=keep or (), older_than=older_than, encoders=encoders))


@app.command("verify-results", epilog=examples("xdcbench verify-results", "xdcbench verify-results --repair"))
def verify_results_(
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="DIR", help="Results folder to verify. Repeatable."),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move damaged runs to runs/.damaged, so that `run` repeats them."),
    ] = False,
) -> None:
    """Verify every file of every run by its hash. Exit code 1: a file is damaged."""
    from xdcbench.results.verification import verify_results

    lines, code = verify_results(results or [RESULTS], repair=repair)
    _say(lines)
    raise typer.Exit(code)


@app.command(epilog=examples("xdcbench export xdc", "xdcbench export xdc@kinetics400 --output exported"))
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run key, its beginning, METHOD or METHOD@DATA.")],
    results: ResultsOption = RESULTS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Folder to write. Default: exports/KEY in the results folder."
        ),
    ] = None,
    trust_code: TrustOption = False,
) -> None:
    """Export the encoders of a run as weights, torch.export programs and a model card."""
    from xdcbench.export.export import export_lines
    from xdcbench.utils.code import Consent

    _say(export_lines(run, results, output, Consent(everything=trust_code)))


@app.command(
    epilog=examples(
        "xdcbench clusters xdc",
        "xdcbench clusters round-0123456789ab --round 1",
        "xdcbench clusters xdc --nearest 5 --single-file --output shared",
    )
)
def clusters(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Key of a round, the beginning of its hash, or a method.")
    ],
    number: Annotated[
        int | None,
        typer.Option("--round", metavar="R", min=1, help="Show an earlier round of the same pretraining."),
    ] = None,
    nearest: Annotated[
        int, typer.Option(min=1, help="Items to show per cluster, nearest to its center first.")
    ] = 10,
    results: ResultsOption = RESULTS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Folder to write. Default: clusters/KEY in the results folder."
        ),
    ] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Embed videos, images and audio in the page, up to 40 MB.")
    ] = False,
    data_root: DataRootOption = None,
    shards: ShardsOption = None,
    device: DeviceOption = "auto",
    num_workers: NumWorkersOption = 0,
    trust_code: TrustOption = False,
) -> None:
    """Write an HTML page of a round's clusters, with videos and audio, ordered by purity."""
    from xdcbench.reports.clusters.origin import find_round
    from xdcbench.reports.clusters.page import write_gallery
    from xdcbench.utils.code import Consent

    consent = Consent(everything=trust_code)
    found = find_round(run, number, results, data_root=data_root, shards=tuple(shards or ()), consent=consent)
    _say(
        write_gallery(
            found,
            output or results / "clusters" / found.run.name,
            nearest=nearest,
            single_file=single_file,
            device=device,
            workers=num_workers or 0,
        )
    )


@app.command(
    "report",
    epilog=examples(
        "xdcbench report",
        "xdcbench report --results results --results more --output today.html",
        "xdcbench report --results results --baseline earlier",
    ),
)
def report_page(
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="DIR", help="Results folder. Repeatable: several are read as one."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results folder to compare with; the page lists what moved."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR", help="Page to write. Default: report/index.html in the first results folder."
        ),
    ] = None,
) -> None:
    """Write an HTML page of all results: tables, learning curves, clusters, data, cost and every run."""
    from xdcbench.reports.results.page import write_report

    folders = results or [RESULTS]
    _say(write_report(folders, baseline, output or folders[0] / "report"))


@app.command(epilog=examples("xdcbench doctor --data-root DIR", "xdcbench doctor --speed"))
def doctor(
    data_root: DataRootOption = None,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed", help="Also measure the speed of reading, encoding and training, for `run --dry-run`."
        ),
    ] = False,
    device: DeviceOption = "auto",
    results: ResultsOption = RESULTS,
) -> None:
    """Show versions, devices, decoders and the datasets on this machine."""
    from xdcbench.cli.doctor import lines

    _say(lines(data_root))
    if speed:
        from xdcbench.pipeline.costs.rates import speed_lines

        _say(speed_lines(device, results))


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    use_utf8()
    hide_in_tracebacks()
    exit_on_signal()
    set_up_process()
    with standard_output():
        _main()


def _main() -> None:
    try:
        check_environment()
        others, own = (logging.WARNING, logging.INFO) if is_main_process() else (logging.ERROR, logging.ERROR)
        terminal = logging.StreamHandler(sys.stderr)
        terminal.addFilter(HideSecrets())
        terminal.addFilter(VisibleFilter())
        logging.basicConfig(level=others, format="%(message)s", handlers=[terminal])
        logging.getLogger("xdcbench").setLevel(own)
        app()
    except (UserError, MediaError) as error:
        typer.echo(safe_text(f"xdcbench: {error}"), err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        typer.echo(
            safe_text(f"xdcbench: {error.filename!s:.100}... is too long a path. Try: a shorter one"),
            err=True,
        )
        sys.exit(2)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of an interruption
            typer.echo("xdcbench: interrupted; run the same command to resume", err=True)
        if end.code == REQUEUE and is_main_process():
            typer.echo("xdcbench: asked to end; run the same command to resume", err=True)
        raise


def _request(**values: Any) -> Any:
    from xdcbench.pipeline.launch import Request

    return Request(**values)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    words = _words(text)
    for word in words:
        if not word.isdecimal():
            raise UserError(f"--seeds {text!r}: {word!r} is no whole number; give for example 0,1,2")
    return tuple(int(word) for word in words)


def _say(lines: Any) -> None:
    if is_main_process():
        for line in lines:
            typer.echo(safe_text(str(line)))
