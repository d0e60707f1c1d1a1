"""The commands that share numbers. Each imports its code only when it runs, which keeps ``--help`` fast."""

from pathlib import Path
from typing import Annotated

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import RESULTS, ResultsOption, say

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog=examples(
        "xdcbench publish xdc@kinetics400 --output submission",
        "xdcbench publish finetune-0123456789ab --output submission",
    )
)
def publish(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Key of an evaluation, its beginning, METHOD or METHOD@DATA.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder to write; new or empty.")],
    results: ResultsOption = RESULTS,
) -> None:
    """Publish numbers as a folder that others can check.

    Writes records, predictions, settings, environment, a model card and a manifest with the SHA-256 of each file.
    """
    from xdcbench.results.run_store import RunStore

    RunStore.existing(results)  # tells a mistake before what publishes is imported
    from xdcbench.export.publish import publish_lines

    say(publish_lines(run, results, output))


@app.command(
    "verify-submission",
    epilog=examples(
        "xdcbench verify-submission submission", "xdcbench verify-submission downloads/submission"
    ),
)
def verify_submission_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `publish` wrote.")],
) -> None:
    """Recompute the numbers of a published folder. Exit code 1: refused.

    Names every file, value and recomputed value that do not fit, and what cannot be recomputed.
    """
    from xdcbench.results.submission import read_submission

    read_submission(folder)  # tells a mistake before what recomputes is imported
    from xdcbench.export.verify_submission import verify_submission

    lines, code = verify_submission(folder)
    say(lines)
    raise typer.Exit(code)
