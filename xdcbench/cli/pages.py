"""The commands that write pages, and ``doctor``. Each imports its code when it runs, which keeps ``--help`` fast."""

from pathlib import Path
from typing import Annotated

import typer

from xdcbench.cli.completion import complete_runs
from xdcbench.cli.examples import examples
from xdcbench.cli.options import (
    RESULTS,
    RUN_HELP,
    DataRootOption,
    DeviceOption,
    NumWorkersOption,
    ResultsFoldersOption,
    ResultsOption,
    ShardsOption,
    TrustOption,
    require_run,
    say,
)
from xdcbench.errors import UserError

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog=examples(
        "xdcbench clusters xdc",
        "xdcbench clusters xdc sdc",
        "xdcbench clusters xdc --round 1 --round 3",
    )
)
def clusters(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN [RUN]",
            help=f"{RUN_HELP} Two are shown side by side.",
            autocompletion=complete_runs,
        ),
    ],
    numbers: Annotated[
        list[int] | None,
        typer.Option(
            "--round",
            metavar="R",
            min=1,
            help="Show an earlier round of the same pretraining; given twice, two rounds side by side.",
        ),
    ] = None,
    nearest: Annotated[
        int, typer.Option(min=1, help="Items to show per cluster, nearest to its center first.")
    ] = 10,
    results: ResultsOption = RESULTS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Folder to write. Default: clusters/KEY, or clusters/KEY--KEY, in the results folder.",
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
    """Write an HTML page of the clusters of one or two rounds. Videos and audio play; two rounds stand side by side."""
    wanted: list[int] | list[None] = numbers or [None]
    asked = [(run, number) for run in runs for number in wanted]
    if len(asked) > 2:
        raise UserError(
            f"{len(asked)} rounds are named, and a page shows one or two. Try: two runs, or one with two of --round"
        )
    for run in runs:
        require_run(run, results)
    from xdcbench.reports.clusters.origin import find_round
    from xdcbench.reports.clusters.page import write_gallery
    from xdcbench.utils.code import Consent

    consent, given = Consent(everything=trust_code), tuple(shards or ())
    found = [
        find_round(run, number, results, data_root=data_root, shards=given, consent=consent)
        for run, number in asked
    ]
    say(
        write_gallery(
            found,
            output or results / "clusters" / "--".join(one.run.name for one in found),
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
        "xdcbench report --leaderboard --results results",
    ),
)
def report_page(
    results: ResultsFoldersOption = None,
    leaderboard: Annotated[
        bool,
        typer.Option("--leaderboard", help="Write the leaderboard: one row per encoder, ranked."),
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results folder to compare with; the page lists what moved."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Page to write. Default: report/index.html, or report/leaderboard.html, in the first results "
            "folder.",
        ),
    ] = None,
) -> None:
    """Write an HTML page of all results. Shows tables, learning curves, clusters, data, cost and runs."""
    from xdcbench.results.run_store import RunStore

    folders = results or [RESULTS]
    for folder in folders:
        RunStore.existing(folder)  # tells a mistake before what draws is imported
    from xdcbench.reports.leaderboard.page import write_leaderboard
    from xdcbench.reports.results.page import write_report

    if leaderboard:
        if baseline is not None:
            raise UserError(
                f"--leaderboard compares with no folder, and --baseline names {baseline}. Try: one of both"
            )
        say(write_leaderboard(folders, output or folders[0] / "report"))
        return
    say(write_report(folders, baseline, output or folders[0] / "report"))


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
    """Show versions, devices, decoders and datasets here."""
    from xdcbench.cli.doctor import lines

    say(lines(data_root), wrap=True)
    if speed:
        from xdcbench.pipeline.costs.rates import speed_lines

        say(speed_lines(device, results))
