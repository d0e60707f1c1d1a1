"""The commands; what they do is elsewhere, and is imported only when one of them runs."""

import errno
import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from xdcbench import cli_data
from xdcbench.distributed import check_environment, leads
from xdcbench.errors import MediaError, UserError
from xdcbench.signals import REQUEUE, leave_when_asked
from xdcbench.threads import fit_cores, wait_briefly
from xdcbench.utils.output import standard_output, use_utf8
from xdcbench.utils.secrets import HideSecrets, hide_in_tracebacks
from xdcbench.utils.shown import VisibleFilter, shown

app = typer.Typer(
    help="Benchmarks for self-supervised learning from sound and video.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_data.app, name="data")

PolicyName = Literal["missing", "always", "never"]
FormatName = Literal["md", "tex", "csv", "html", "txt"]
Listed = Literal["methods", "suites", "datasets", "evaluations", "tables", "weights"]

SuiteOption = Annotated[
    str, typer.Option("--suite", metavar="NAME|FILE", help="Suite to run; see `list suites`.")
]
WorldOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="Run the suite in this synthetic world at reduced size, e.g. `synthetic`, on no real data.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. pretrain.rounds=3."),
]
MethodsOption = Annotated[str, typer.Option(metavar="A,B", help="Only these methods of the suite.")]
SeedsOption = Annotated[str, typer.Option(metavar="0,1", help="Pretraining seeds in place of the suite's.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root", metavar="DIR", envvar="XDCBENCH_DATA_ROOT", help="Folder of the real data sets."
    ),
]
StoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="DIR|URL",
        envvar="XDCBENCH_STORE",
        help="Prepared store to read its data set from instead of original files, or a folder of stores by name; "
        "may be given several times.",
    ),
]
CacheOption = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="BYTES", help="Disk space for what is read of remote stores, by default 20 GiB."
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", envvar="XDCBENCH_OUT", help="Results folder.")
]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N; auto takes CUDA where there is one.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Processes that read media, by default two fewer than the cores and 16 at most; 0 reads in the "
        "training process. Changes no result.",
    ),
]

TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="Let files name code that runs (module:object): a suite, a run, an export."),
]

FingerprintOption = Annotated[
    Literal["size", "content"],
    typer.Option(
        help="What tells states of original files apart: their sizes, or a hash of each, which reads them all. Keys of "
        "the two differ."
    ),
]

OUT = Path("results")


@app.command()
def run(
    suite: SuiteOption,
    world: WorldOption = "",
    set_: SetOption = None,
    only: Annotated[
        str, typer.Option(metavar="GLOB", help="Only stages with this name, and what they need.")
    ] = "",
    stage: Annotated[
        str, typer.Option(metavar="KEY", help="Only the stage with this key, its inputs ready.")
    ] = "",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    data_root: DataRootOption = None,
    store: StoreOption = None,
    cache_bytes: CacheOption = None,
    out: OutOption = OUT,
    policy: Annotated[
        PolicyName, typer.Option(help="Which stages to run; never only prints tables.")
    ] = "missing",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, what of it is there, and what the rest costs.")
    ] = False,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Data that is not here is an error.")
    ] = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    trust: TrustOption = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Least time between two checkpoints.")
    ] = 60.0,
    keep_checkpoints: Annotated[
        int, typer.Option(min=1, help="Number of newest checkpoints to keep of a stage in work.")
    ] = 2,
    device_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Clips per forward pass on one device, to fit its memory: gradients of the parts are summed. "
            "By default a process's whole share of the batch.",
        ),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile what is trained with torch.compile.")
    ] = False,
    fingerprint: FingerprintOption = "size",
) -> None:
    """Run a suite: pretrain, evaluate, write tables. The same command again goes on, or prints the tables."""
    from xdcbench.launch import prepare
    from xdcbench.report import plan_lines, report, run_plan

    request = _request(
        suite=suite,
        world=world,
        overrides=tuple(set_ or ()),
        only=stage or only,
        methods=_words(methods),
        seeds=_numbers(seeds),
        data_root=data_root,
        stores=tuple(store or ()),
        cache_bytes=cache_bytes,
        out=out,
        device=device,
        workers=workers,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoints=keep_checkpoints,
        device_batch=device_batch,
        compile=compile_,
        trust=trust,
        fingerprint=fingerprint,
    )
    launch = prepare(request, write=not dry_run)
    if dry_run:
        from xdcbench.costs.estimate import cost_lines

        _say(plan_lines(launch))
        _say(cost_lines(launch))
        return
    outcomes = run_plan(launch, policy=policy, alone=bool(stage), require_all=require_all)
    lines, code = report(launch, outcomes)
    _say(lines)
    raise typer.Exit(code)


@app.command()
def check(
    suite: SuiteOption = "smoke",
    world: WorldOption = "",
    set_: SetOption = None,
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    data_root: DataRootOption = None,
    store: StoreOption = None,
    cache_bytes: CacheOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Results folder whose complete runs are kept; by default a new one."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Reference; by default baselines/regression/<suite>.json."),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Write a new reference from this run.")] = False,
    trust: TrustOption = False,
    fingerprint: FingerprintOption = "size",
    device: DeviceOption = "cpu",
    workers: WorkersOption = None,
) -> None:
    """Run a suite in fp32 and compare with the reference. Exits 0: as expected, 1: moved, 2: cannot tell."""
    from xdcbench.report import check_against

    with TemporaryDirectory(prefix="xdcbench-check-") as new:
        request = _request(
            suite=suite,
            world=world,
            overrides=tuple(set_ or ()),
            methods=_words(methods),
            seeds=_numbers(seeds),
            data_root=data_root,
            stores=tuple(store or ()),
            cache_bytes=cache_bytes,
            out=out or Path(new),
            device=device,
            workers=workers,
            precision="fp32",
            trust=trust,
            fingerprint=fingerprint,
        )
        lines, code = check_against(request, reference, update=update)
    _say(lines)
    raise typer.Exit(code)


@app.command()
def table(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Tables; all without one.")
    ] = None,
    source: Annotated[
        list[Path] | None, typer.Option("--from", metavar="DIR", help="Results folders, read as one.")
    ] = None,
    format_: Annotated[FormatName, typer.Option("--format", help="Format to print.")] = "txt",
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Add 95 % intervals from the test items.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Also write every format here.")
    ] = None,
) -> None:
    """Print tables of what was measured, beside what was published."""
    from xdcbench.report import table_lines

    _say(table_lines(names or [], source or [OUT], format_, out, intervals=intervals))


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="Methods, METHOD@PRETRAINING_DATA, or keys of runs."),
    ],
    source: Annotated[
        list[Path] | None, typer.Option("--from", metavar="DIR", help="Results folders, read as one.")
    ] = None,
    metric: Annotated[str, typer.Option(help="A share of test items.")] = "top1",
    dataset: Annotated[str, typer.Option(help="Only this data set.")] = "",
    evaluation: Annotated[str, typer.Option(help="Only this evaluation.")] = "",
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write all numbers here.")
    ] = None,
) -> None:
    """Test the first method against each other one on the same test items: differences, intervals, p values."""
    from xdcbench.results.statistics.compare import compare
    from xdcbench.results.statistics.verdict import verdict_lines, write_verdict

    blocks = compare(names, source or [OUT], metric=metric, dataset=dataset, evaluation=evaluation)
    _say(verdict_lines(blocks))
    if json is not None:
        write_verdict(blocks, json)


@app.command("list")
def list_(what: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """List what a suite can be made of."""
    from xdcbench.library import rows

    listed = rows(what)
    width = max(22, *(len(name) for name, _ in listed))
    _say([f"{name:<{width}} {title}" for name, title in listed])


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Key of a run, or the beginning of its hash.")],
    out: OutOption = OUT,
) -> None:
    """Show a run: what it is, its numbers and files; or the error and log of each failed attempt."""
    from xdcbench.report import run_lines

    _say(run_lines(run, out))


@app.command()
def prune(
    out: OutOption = OUT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would go.")] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Keys or names of runs of which nothing goes, e.g. 'xdc/*'."),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0, help="Age from which an interrupted build is given up.")
    ] = 24.0,
    encoders: Annotated[
        bool, typer.Option("--encoders", help="Also encoders of rounds that a later round has gone on from.")
    ] = False,
) -> None:
    """Remove what no kept result needs: old builds, features of finished evaluations. Records stay."""
    from xdcbench.prune import prune_lines

    _say(prune_lines(out, dry_run=dry_run, keep=keep or (), hours=hours, encoders=encoders))


@app.command("verify-results")
def verify_results_(
    results: Annotated[
        list[Path] | None, typer.Option("--results", metavar="DIR", help="Results folders to verify.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move damaged runs to runs/.damaged, so that `run` makes them again."),
    ] = False,
) -> None:
    """Verify every file of every run by its hash. Exits 1 where one is damaged."""
    from xdcbench.results.verification import verify_results

    lines, code = verify_results(results or [OUT], repair=repair)
    _say(lines)
    raise typer.Exit(code)


@app.command()
def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Key of a run, the beginning of it, METHOD or METHOD@DATA.")
    ],
    out: OutOption = OUT,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Folder to write; by default OUT/exports/KEY.")
    ] = None,
    trust: TrustOption = False,
) -> None:
    """Write the encoders of a run as weights, programs and a model card that others can use."""
    from xdcbench.models.export import export_lines
    from xdcbench.utils.code import Consent

    _say(export_lines(run, out, to, Consent(everything=trust)))


@app.command()
def clusters(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Key of a round, the beginning of its hash, or a method.")
    ],
    number: Annotated[
        int | None,
        typer.Option("--round", metavar="R", min=1, help="Another round that the run went through."),
    ] = None,
    nearest: Annotated[
        int, typer.Option(min=1, help="Items of each cluster, nearest to its centre first.")
    ] = 10,
    out: OutOption = OUT,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Folder to write; by default inside --out.")
    ] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Put pictures and sound into the page, up to 40 MB.")
    ] = False,
    data_root: DataRootOption = None,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    trust: TrustOption = False,
) -> None:
    """Write a page of a round's clusters to look at and listen to, ordered by purity."""
    from xdcbench.gallery.origin import find_round
    from xdcbench.gallery.page import write_gallery
    from xdcbench.utils.code import Consent

    consent = Consent(everything=trust)
    found = find_round(run, number, out, data_root=data_root, stores=tuple(store or ()), consent=consent)
    _say(
        write_gallery(
            found,
            to or out / "clusters" / found.run.name,
            nearest=nearest,
            single_file=single_file,
            device=device,
            workers=workers or 0,
        )
    )


@app.command("report")
def report_page(
    source: Annotated[
        list[Path] | None, typer.Option("--from", metavar="DIR", help="Results folders, read as one.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Another results folder, to show what moved.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE|DIR", help="Page to write; by default inside the first --from."),
    ] = None,
) -> None:
    """Write a page of results: tables, learning curves, clusters over rounds, data, cost, and every run."""
    from xdcbench.pages.report.page import write_report

    folders = source or [OUT]
    _say(write_report(folders, beside, out or folders[0] / "report"))


@app.command()
def doctor(
    data_root: DataRootOption = None,
    speed: Annotated[
        bool, typer.Option("--speed", help="Also time reading, encoding and training, for `run --dry-run`.")
    ] = False,
    device: DeviceOption = "auto",
    out: OutOption = OUT,
) -> None:
    """Show versions, devices, decoders and which data sets are here."""
    from xdcbench.doctor import lines

    _say(lines(data_root))
    if speed:
        from xdcbench.costs.rates import speed_lines

        _say(speed_lines(device, out))


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    use_utf8()
    hide_in_tracebacks()
    leave_when_asked()
    wait_briefly()
    fit_cores()
    with standard_output():
        _main()


def _main() -> None:
    try:
        check_environment()
        others, own = (logging.WARNING, logging.INFO) if leads() else (logging.ERROR, logging.ERROR)
        terminal = logging.StreamHandler(sys.stderr)
        terminal.addFilter(HideSecrets())
        terminal.addFilter(VisibleFilter())
        logging.basicConfig(level=others, format="%(message)s", handlers=[terminal])
        logging.getLogger("xdcbench").setLevel(own)
        app()
    except (UserError, MediaError) as error:
        typer.echo(shown(f"xdcbench: {error}"), err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        typer.echo(
            shown(f"xdcbench: {error.filename!s:.100}... is too long a path. Try: a shorter one"), err=True
        )
        sys.exit(2)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of an interruption
            typer.echo("xdcbench: interrupted; the same command goes on from here", err=True)
        if end.code == REQUEUE and leads():
            typer.echo("xdcbench: asked to end; the same command goes on from here", err=True)
        raise


def _request(**values: Any) -> Any:
    from xdcbench.launch import Request

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
    if leads():
        for line in lines:
            typer.echo(shown(str(line)))
