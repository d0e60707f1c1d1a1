"""The entry point of ``xdcbench``: its commands, and what becomes of their errors."""

import errno
import logging
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

from xdcbench import __version__
from xdcbench.cli import bench, data, encoders, jobs, new, pages, results, submission, suites
from xdcbench.cli.examples import examples
from xdcbench.errors import MediaError, UserError
from xdcbench.utils.distributed import check_environment, is_main_process
from xdcbench.utils.output import standard_output, use_utf8
from xdcbench.utils.process_setup import set_up_process
from xdcbench.utils.secrets import hide_in_tracebacks
from xdcbench.utils.shown import safe_text
from xdcbench.utils.signals import REQUEUE, exit_on_signal
from xdcbench.utils.terminal import TerminalHandler, tell_from

app = typer.Typer(
    rich_markup_mode=None,
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


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"xdcbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmarks for self-supervised learning from audio and video."""


for commands in (suites, jobs, encoders, results, pages, submission, new):
    app.add_typer(commands.app)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    use_utf8()
    hide_in_tracebacks()
    exit_on_signal()
    set_up_process()
    with standard_output():
        _main()


def _refuse_empty(words: Sequence[str]) -> None:
    """See that no word is empty: ``--filter "$STAGE"`` of an unset variable would otherwise mean every stage.

    Raises:
        UserError: names the option.
    """
    for before, word in pairwise(("xdcbench", *words)):
        if not word or re.fullmatch(r"--[\w-]+=", word):
            where = word.rstrip("=") or before
            raise UserError(f"the word after {where} is empty. Try: give it a value, or leave it out")


def _main() -> None:
    try:
        check_environment()
        others, own = (
            (logging.WARNING, logging.DEBUG) if is_main_process() else (logging.ERROR, logging.ERROR)
        )
        logging.basicConfig(level=others, format="%(message)s", handlers=[TerminalHandler()])
        logging.getLogger("xdcbench").setLevel(own)
        tell_from(logging.INFO)
        _refuse_empty(sys.argv[1:])
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
