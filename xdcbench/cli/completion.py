"""What a shell completes: names and keys, from YAML files and run.json alone, so that it answers at once."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from xdcbench.errors import UserError

Values = Callable[[typer.Context], Iterable[str]]
Completer = Callable[[typer.Context, str], list[str]]


def _completer(values: Values, *, separator: str = "") -> Completer:
    """A completer of ``values``, also of the last in a list; a mistake elsewhere on the line completes nothing."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        head, found, last = incomplete.rpartition(separator) if separator else ("", "", incomplete)
        with suppress(UserError, OSError):
            return [f"{head}{found}{value}" for value in values(ctx) if value.startswith(last)]
        return []

    return complete


def _suites(_: typer.Context) -> list[str]:
    return _names("suites")


def _datasets(_: typer.Context) -> list[str]:
    return _names("datasets")


def _tables(_: typer.Context) -> list[str]:
    return _names("tables")


def _worlds(_: typer.Context) -> list[str]:
    return _names("worlds")


def _executors(_: typer.Context) -> list[str]:
    return ["local", *_names("executors")]


def _names(part: Any) -> list[str]:
    from xdcbench.config.paths import folder

    above = folder("tables") if part == "tables" else folder("configs") / part
    return sorted(path.stem for path in above.glob("*.yaml"))


def _methods(ctx: typer.Context) -> list[str]:
    from xdcbench.config.load import load_suite

    return list(load_suite(ctx.params.get("suite") or "smoke").methods)


def _settings(ctx: typer.Context) -> list[str]:
    """Keys of settings, each with the ``=`` that follows it."""
    from xdcbench.config.load import load_suite
    from xdcbench.config.settings import setting_keys
    from xdcbench.config.suite import Suite

    suite = load_suite(ctx.params.get("suite") or "smoke")
    return [f"{key}=" for key in setting_keys(Suite, suite.model_dump(exclude_unset=True))]


def _runs(ctx: typer.Context) -> list[str]:
    from xdcbench.results.find_run import names_of_runs
    from xdcbench.results.run_store import RunStore

    return names_of_runs(RunStore.existing(Path(ctx.params.get("results") or "results")))


def _measured(ctx: typer.Context) -> list[str]:
    """Methods of the results folders, of which there may be several."""
    from xdcbench.results.listing import listed_runs
    from xdcbench.results.run_store import RunStore

    folders = ctx.params.get("results") or ["results"]
    runs = [run for folder in folders for run in listed_runs(RunStore.existing(Path(folder)))]
    return sorted({run.method for run in runs} - {""})


complete_suites = _completer(_suites)
complete_datasets = _completer(_datasets)
complete_tables = _completer(_tables)
complete_worlds = _completer(_worlds)
complete_executors = _completer(_executors)
complete_methods = _completer(_methods, separator=",")
complete_settings = _completer(_settings)
complete_runs = _completer(_runs)
complete_measured = _completer(_measured)
