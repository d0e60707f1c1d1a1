"""The commands that read a results folder. Each imports its code only when it runs, which keeps ``--help`` fast."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from xdcbench.cli.completion import complete_measured, complete_runs, complete_tables
from xdcbench.cli.examples import examples
from xdcbench.cli.options import (
    RESULTS,
    RUN_HELP,
    ResultsFoldersOption,
    ResultsOption,
    TrustOption,
    require_run,
    say,
    terminal_width,
)
from xdcbench.errors import UserError

app = typer.Typer(rich_markup_mode=None)

FormatName = Literal["md", "tex", "csv", "html", "txt"]
MatrixFormat = Literal["txt", "md", "tex"]
Order = Literal["time", "method", "kind"]
Listed = Literal["methods", "suites", "datasets", "evaluations", "tables", "weights"]


@app.command(
    epilog=examples(
        "xdcbench table table1 --format md",
        "xdcbench table table1 --format tex --no-published --caption 'Ours.' --label t",
        "xdcbench table --results results --results more --output tables",
    )
)
def table(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Tables to print. Default: all with a measured number.",
            autocompletion=complete_tables,
        ),
    ] = None,
    results: ResultsFoldersOption = None,
    format_: Annotated[FormatName, typer.Option("--format", help="Format to print.")] = "txt",
    published: Annotated[
        bool | None,
        typer.Option(
            "--published/--no-published",
            help="Also print tables without a measured number; or leave all published numbers out.",
            show_default="beside measured ones",
        ),
    ] = None,
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals",
            help="Add 95 % confidence intervals over test items to all numbers, not only to those of few items.",
        ),
    ] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Add runs, data, epochs and what was left out.")
    ] = False,
    caption: Annotated[
        str, typer.Option(metavar="LATEX", help="LaTeX: caption. Without it and a label, no float.")
    ] = "",
    label: Annotated[str, typer.Option(metavar="NAME", help="LaTeX: label.")] = "",
    notes: Annotated[bool, typer.Option("--notes", help="LaTeX: put the footnotes below the table.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Also write every format, and the records, to this folder."
        ),
    ] = None,
) -> None:
    """Print tables of measured and published numbers."""
    from xdcbench.cli.output import TableRequest, table_lines
    from xdcbench.results.tables.latex import open_latex
    from xdcbench.results.tables.texts import Look

    if open_latex(caption):
        raise UserError(
            f"--caption {caption!r}: LaTeX takes a bare % for a comment, and braces must pair. Try: write \\% for a "
            "per cent sign"
        )
    look = Look(details, width=terminal_width(), notes=notes, caption=caption, label=label)
    request = TableRequest(names or (), format_, output, intervals, published, look)
    say(table_lines(request, results or [RESULTS]))


@app.command(
    epilog=examples(
        "xdcbench compare xdc sdc",
        "xdcbench compare xdc cdc mdc sdc --all-pairs --figure ranks.svg",
        "xdcbench compare xdc@audioset xdc@kinetics400 --details",
    )
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            help="Methods, METHOD@PRETRAINING_DATA, or run keys.",
            autocompletion=complete_measured,
        ),
    ],
    results: ResultsFoldersOption = None,
    metric: Annotated[
        str, typer.Option(help="Metric. It must be a share of test items, such as top1 or recall_at_1.")
    ] = "top1",
    dataset: Annotated[str, typer.Option(help="Compare only on this dataset.")] = "",
    evaluation: Annotated[str, typer.Option(help="Compare only by this evaluation.")] = "",
    all_pairs: Annotated[
        bool,
        typer.Option(
            "--all-pairs", help="Compare every pair of methods, not only the first with each of the others."
        ),
    ] = False,
    format_: Annotated[MatrixFormat, typer.Option("--format", help="Format to print.")] = "txt",
    details: Annotated[
        bool, typer.Option("--details", help="Add each pair of runs: items, intervals, p values.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Also write all numbers to this JSON file."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            metavar="FILE",
            help="Also draw mean ranks with their critical difference, as .svg or .pdf.",
        ),
    ] = None,
) -> None:
    """Test methods against each other on the same test items.

    Prints a matrix of numbers and differences. A star marks a difference with p < 0.05 after Holm's correction.
    """
    from xdcbench.results.statistics.compare import compare
    from xdcbench.results.statistics.matrix import matrix_text
    from xdcbench.results.statistics.mean_ranks import mean_ranks
    from xdcbench.results.statistics.rank_figure import require_suffix, write_figure
    from xdcbench.results.statistics.verdict import write_verdict

    if figure is not None:
        require_suffix(figure)
    blocks = compare(
        names,
        results or [RESULTS],
        metric=metric,
        dataset=dataset,
        evaluation=evaluation,
        all_pairs=all_pairs,
    )
    say(matrix_text(blocks, names, format_, details=details, width=terminal_width()).split("\n"))
    if output is not None:
        write_verdict(blocks, output)
    if figure is not None:
        write_figure(mean_ranks(blocks, names), figure)


@app.command("list", epilog=examples("xdcbench list suites", "xdcbench list weights"))
def list_(what: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """List suites, methods, datasets, tables and more."""
    from xdcbench.pipeline.catalog import rows

    listed = rows(what)
    width = max(22, *(len(name) for name, _ in listed))
    say([f"{name:<{width}} {title}" for name, title in listed], wrap=True)


@app.command(epilog=examples("xdcbench runs", "xdcbench runs '*finetune*' --sort method"))
def runs(
    pattern: Annotated[
        str,
        typer.Argument(metavar="GLOB", help="Keys, names or suites of the runs to list.", show_default="all"),
    ] = "*",
    sort: Annotated[Order, typer.Option(help="Newest last, or by method or kind.")] = "time",
    results: ResultsOption = RESULTS,
) -> None:
    """List the runs of a results folder.

    Shows when each was made, its key, how long it took and its name.
    """
    from xdcbench.results.listing import listed_runs, run_rows
    from xdcbench.results.run_store import RunStore

    say(run_rows(listed_runs(RunStore.existing(results), pattern, order=sort)), wrap=True)


@app.command(
    epilog=examples(
        "xdcbench show xdc", "xdcbench show round-0123456789ab", "xdcbench show 0123 --results more"
    )
)
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, autocompletion=complete_runs)],
    results: ResultsOption = RESULTS,
) -> None:
    """Show a run: settings, numbers, files; why it failed."""
    from xdcbench.cli.show import run_lines

    say(run_lines(run, results), wrap=True)


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
    """Remove files that no kept result needs. Records stay.

    Old builds and features of finished evaluations go.
    """
    from xdcbench.pipeline.prune import prune_lines

    say(prune_lines(results, dry_run=dry_run, keep=keep or (), older_than=older_than, encoders=encoders))


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
    say(lines)
    raise typer.Exit(code)


@app.command(epilog=examples("xdcbench export xdc", "xdcbench export xdc@kinetics400 --output exported"))
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, autocompletion=complete_runs)],
    results: ResultsOption = RESULTS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Folder to write. Default: exports/KEY in the results folder."
        ),
    ] = None,
    trust_code: TrustOption = False,
) -> None:
    """Export the encoders of a run. Writes weights, torch.export programs and a model card."""
    require_run(run, results)
    from xdcbench.export.export import export_lines
    from xdcbench.utils.code import Consent

    say(export_lines(run, results, output, Consent(everything=trust_code)))
