"""The commands about jobs of a cluster. Each imports its code only when it runs, which keeps ``--help`` fast."""

from typing import Annotated

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import RESULTS, ResultsOption, say

app = typer.Typer(rich_markup_mode=None)

SuiteOption = Annotated[
    str, typer.Option("--suite", metavar="NAME", help="Only this suite. Default: all that were submitted.")
]


@app.command(epilog=examples("xdcbench status", "xdcbench status --results DIR --suite full"))
def status(results: ResultsOption = RESULTS, suite: SuiteOption = "") -> None:
    """Show the stages of submitted suites and their jobs.

    Exit code 0: all is done or on its way. 1: a stage failed, was cancelled, or waits for one that did.
    """
    from xdcbench.cli.cluster import status_lines

    lines, code = status_lines(results, suite)
    say(lines)
    raise typer.Exit(code)


@app.command(epilog=examples("xdcbench cancel", "xdcbench cancel --results DIR --suite full"))
def cancel(results: ResultsOption = RESULTS, suite: SuiteOption = "") -> None:
    """Cancel the jobs of submitted suites. Results stay."""
    from xdcbench.cli.cluster import cancel_jobs

    say([cancel_jobs(results, suite)])
