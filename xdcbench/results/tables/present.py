"""Tables of results folders, written in every format."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

from xdcbench.config.load import load_table, read
from xdcbench.config.models import PretrainedEncoders
from xdcbench.config.paths import folder
from xdcbench.config.paths import names as library_names
from xdcbench.config.released import registry, release_of
from xdcbench.config.table import Table
from xdcbench.results.published import load_published
from xdcbench.results.records import Record
from xdcbench.results.tables.build import Names, build
from xdcbench.results.tables.cells import CellStatistics
from xdcbench.results.tables.default import default_tables, measurements_of_records
from xdcbench.results.tables.grid import Grid
from xdcbench.results.tables.render import Format, render
from xdcbench.results.tables.texts import Look
from xdcbench.results.tables.titles import dataset_titles
from xdcbench.results.tables.unavailable import UnavailableResult
from xdcbench.utils.io import atomic_write, writing

SUPERVISED = "supervised"
"""The family of methods that published.csv calls by this one name, whatever they have learned from."""
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Named:
    """What a suite or results folder names beside the library.

    ``methods`` are titles of methods and ``datasets`` of all datasets (`dataset_titles`), ``encoders`` a suite's
    encoders from elsewhere.
    """

    methods: Mapping[str, str] = field(default_factory=dict)
    encoders: Mapping[str, PretrainedEncoders] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dataset_titles)


def load_tables(names: Iterable[str]) -> dict[str, Table]:
    """Tables of the library by name, and files by path, each under the name of its file."""
    return {Path(name).stem: load_table(name) for name in names}


def measured_alone(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Tables without published numbers."""
    return {name: table.model_copy(update={"published": ()}) for name, table in tables.items()}


def all_grids(
    records: Sequence[Record],
    statistics: CellStatistics | None = None,
    *,
    titles: Mapping[str, str] | None = None,
    published: bool = True,
) -> dict[str, Grid]:
    """Every table of the library, then default ones of the numbers that stand in none of those.

    ``titles`` are those of datasets; ``published`` says whether published numbers stand beside the measured ones.
    """
    named = Named() if titles is None else Named(datasets=titles)
    tables = load_tables(library_names(folder("tables")))
    beside = tables if published else measured_alone(tables)
    library = grids(beside, records, named=named, statistics=statistics)
    shown = frozenset().union(*(grid.runs for grid in library.values()))
    unshown = measurements_of_records(r for r in records if r.run not in shown)
    rest = default_tables(unshown, titles=named.datasets)
    return library | grids(rest, records, named=named, statistics=statistics)


def grids(
    tables: Mapping[str, Table],
    records: Sequence[Record],
    *,
    named: Named | None = None,
    statistics: CellStatistics | None = None,
    lacks: Sequence[UnavailableResult] = (),
) -> dict[str, Grid]:
    """Tables by name, filled with ``records`` and what was published beside them.

    ``named`` is what they call what is not in the library; ``lacks`` as in ``build``.
    """
    named = named or Named()
    published = load_published(folder("baselines") / "published.csv")
    known = registry()
    pretrained = {name: one.title for name, one in named.encoders.items() if one.title}
    released = {name: release.title for name, release in known.items()}
    printed_as = {name: release.method for name, release in known.items()}
    for name, given in named.encoders.items():
        for part in given.by_modality.values():
            if release := release_of(part):
                printed_as[name] = release.method
    printed_as |= {name: SUPERVISED for name, tree in _methods().items() if tree.get("family") == SUPERVISED}
    called = Names(
        {SUPERVISED: "Supervised", **released, **method_titles(), **pretrained, **named.methods},
        printed_as,
        named.datasets,
    )
    return {
        name: build(
            table,
            records,
            published,
            names=called,
            statistics=statistics,
            lacks=lacks,
        )
        for name, table in tables.items()
    }


def method_titles() -> dict[str, str]:
    """Display name of each method of the library."""
    return {name: str(tree["title"]) for name, tree in _methods().items()}


@cache
def _methods() -> Mapping[str, Mapping[str, Any]]:
    """The methods of the library; reading them takes a tenth of a second."""
    return {path.stem: read(path) for path in sorted((folder("baselines") / "methods").glob("*.yaml"))}


def write_tables(tables: dict[str, Grid], out: Path, look: Look | None = None) -> list[Path]:
    """Write each table as ``<out>/<name>.<format>`` in every format, and its figure as SVG and PDF if it has one.

    A folder that cannot be written is a UserError.
    """
    written = []
    with writing(f"tables to {out}", "give another folder with --output"):
        out.mkdir(parents=True, exist_ok=True)
        for name, grid in tables.items():
            contents: dict[str, bytes] = {fmt: render(grid, fmt, look).encode() for fmt in FORMATS}
            if grid.chart is not None:
                from xdcbench.results.tables.figures import FIGURE_FORMATS, draw

                drawn = {fmt: draw(grid, grid.chart, fmt) for fmt in FIGURE_FORMATS}
                contents |= {fmt: content for fmt, content in drawn.items() if content is not None}
            for suffix, content in contents.items():
                path = out / f"{name}.{suffix}"
                with atomic_write(path) as part:
                    part.write_bytes(content)
                written.append(path)
    return written
