"""Tables as CSV in long form: one line per number, with all that is needed to judge it."""

import csv
import io

from xdcbench.results.tables.grid import Cell, Grid
from xdcbench.results.tables.texts import flat

_CELL = (
    *("metric", "value", "unit", "low", "high", "spread", "n", "seeds", "split", "runs"),
    *("items_of", "items_used", "items_expected", "items_failed", "dataset", "fingerprint", "subset"),
    *("status", "source", "differs", "rank", "p", "chance", "most_frequent_class"),
    *("published", "published_status", "published_source", "delta", "reason"),
)


def tidy(grid: Grid) -> str:
    """One line per number, or per number not available here; lists within a field are separated by spaces."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["group", *grid.fields, "setting", "column", *_CELL])
    for group in grid.groups:
        for row in group.rows:
            for column, cell in zip(grid.columns, row.cells, strict=True):
                if cell.value is not None or cell.absent:
                    names = (group.title, *row.labels, row.setting, column)
                    writer.writerow([*map(_name, names), *_values(cell)])
    return file.getvalue()


def _name(text: str) -> str:
    """A name on one line that no spreadsheet takes for a formula."""
    on_a_line = flat(text)
    return f"'{on_a_line}" if on_a_line.startswith(("=", "+", "-", "@")) else on_a_line


def _values(cell: Cell) -> list[str | float | int | None]:
    beside = cell.reference
    split, seeds, runs = (_name(" ".join(values)) for values in (cell.splits, cell.seeds, cell.runs))
    return [
        *(cell.metric, cell.value, cell.unit, *(cell.interval or (None, None)), cell.spread, cell.n),
        *(seeds, split, runs, cell.counted if cell.runs else ""),
        *(cell.items_used, cell.items_expected, cell.items_failed),
        *map(_name, (cell.dataset, cell.fingerprint, cell.subset)),
        *(
            cell.status or "unavailable",
            _name(cell.source),
            _name(cell.differs),
            cell.rank,
            cell.p,
            *(cell.guesses or (None, None)),
        ),
        *((beside.value, beside.status, _name(beside.source)) if beside else (None, "", "")),
        None if cell.delta is None else round(cell.delta, 6),
        _name(cell.absent),
    ]
