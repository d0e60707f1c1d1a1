"""Tables of results folders, written in every format."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from xdcbench.config import load_table, read
from xdcbench.errors import UserError
from xdcbench.resources import folder
from xdcbench.results.cells import Grid, Intervals
from xdcbench.results.published import load_published
from xdcbench.results.records import Record
from xdcbench.results.render import Format, render
from xdcbench.results.tables import build

FORMATS: tuple[Format, ...] = get_args(Format)


def grids(
    names: Sequence[str],
    records: Sequence[Record],
    *,
    titles: Mapping[str, str] | None = None,
    intervals: Intervals | None = None,
) -> dict[str, Grid]:
    """The tables ``names``, filled with ``records`` and what was published beside them.

    ``titles`` are display names of methods that are not in the library; ``intervals`` as in ``build``.
    """
    published = load_published(folder("baselines") / "published.csv")
    titles = {**method_titles(), **(titles or {})}
    return {
        Path(name).stem: build(load_table(name), records, published, titles=titles, intervals=intervals)
        for name in names
    }


def method_titles() -> dict[str, str]:
    """Display name of each method of the library."""
    return {
        path.stem: str(read(path)["title"])
        for path in sorted((folder("baselines") / "methods").glob("*.yaml"))
    }


def write_tables(tables: dict[str, Grid], out: Path, formats: Iterable[Format] = FORMATS) -> list[Path]:
    """Write each table as ``<out>/<name>.<format>``; returns the files.

    Raises:
        UserError: the folder cannot be written.
    """
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, grid in tables.items():
            for fmt in formats:
                path = out / f"{name}.{fmt}"
                path.write_text(render(grid, fmt), encoding="utf-8")
                written.append(path)
    except OSError as error:
        raise UserError(
            f"cannot write tables to {out}: {error.strerror}; give another folder with --out"
        ) from error
    return written
