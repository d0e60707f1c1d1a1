"""Options and small parts that commands share."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from xdcbench.errors import UserError
from xdcbench.utils.distributed import is_main_process
from xdcbench.utils.shown import safe_text
from xdcbench.utils.wrapping import wrapped

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
RESULTS = Path("results")
RUN_HELP = "METHOD or METHOD@DATA, the name of a stage, or a run key or its beginning; see `xdcbench runs`."
ResultsOption = Annotated[
    Path, typer.Option("--results", metavar="DIR", envvar="XDCBENCH_RESULTS", help="Results folder.")
]
ResultsFoldersOption = Annotated[
    list[Path] | None,
    typer.Option("--results", metavar="DIR", help="Results folder. Repeatable: several are read as one."),
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


def takes(
    options: Callable[..., Any], *without: str, **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that are the fields of a dataclass, of which it gets one as its first argument.

    Args:
        without: fields that are no options of this command.
        defaults: of fields whose options have another default here.
    """
    fields = signature(options).parameters.items()
    shared = {
        name: field.replace(default=defaults.get(name, field.default))
        for name, field in fields
        if name not in without
    }

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        own = dict(list(signature(command).parameters.items())[1:])

        @wraps(command)
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in shared}
            command(options(**given), **values)

        required = [option for option in own.values() if option.default is option.empty]
        taken = {option.name: option for option in (*required, *shared.values(), *own.values())}
        run.__signature__ = Signature(list(taken.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: option.annotation for name, option in taken.items()}
        return run

    return decorated


def words(text: str) -> tuple[str, ...]:
    """The values of a comma-separated option."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(text: str) -> tuple[int, ...]:
    """The seeds of ``--seeds``.

    Raises:
        UserError: one is no whole number.
    """
    found = words(text)
    for word in found:
        if not word.isdecimal():
            raise UserError(f"--seeds {text!r}: {word!r} is no whole number; give for example 0,1,2")
    return tuple(int(word) for word in found)


def say(lines: Iterable[object], *, wrap: bool = False) -> None:
    """Print lines; of several processes, the main process does. ``wrap`` breaks them between words on a terminal."""
    if is_main_process():
        width = terminal_width() if wrap and sys.stdout.isatty() else 0
        for line in lines:
            for part in wrapped(safe_text(str(line)), width):
                typer.echo(part)


def terminal_width() -> int:
    """Columns of the terminal that lines go to, or that COLUMNS states; 0 where neither is."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if known else 0


def require_run(name: str, results: Path) -> None:
    """Refuse a name of no run at once, before what would read it is loaded, which may take seconds.

    Raises:
        UserError: as `find_runs`.
    """
    from xdcbench.results.find_run import find_runs
    from xdcbench.results.run_store import RunStore

    find_runs(name, RunStore.existing(results))
