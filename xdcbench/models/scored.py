"""What evaluations have found of the encoders of one run, as its model card tells it."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from xdcbench.models.markdown import plain, table
from xdcbench.results.cells import REPETITION, measured_cell
from xdcbench.results.facts import read_facts
from xdcbench.results.grid import Cell
from xdcbench.results.records import Record, read_records
from xdcbench.results.statistics.predictions import cell_interval
from xdcbench.store import Store

INTERVALS = (
    "Means over the splits named. Intervals say what other test items would have given, not other seeds. The runs' "
    "records hold more measures and all settings."
)

MEASURES = ("nmi",)
"""What is told beside shares in %; the other measures of clusters are in the records."""


@dataclass(frozen=True)
class Score:
    """One number, over splits, draws and evaluation seeds, with its 95 % interval, and one of its records."""

    first: Record
    cell: Cell
    draws: int


def scores_of(key: str, store: Store) -> list[Score]:
    """All that the results folder's evaluations have found of the encoders of one run.

    Raises:
        UserError: predictions that cannot be read.
    """
    inputs = {k: read_facts(store.path(k))["inputs"] for k in store.keys()}  # noqa: SIM118
    features = {k for k, of in inputs.items() if k.startswith("features-") and of.get("encoders") == key}
    measured = [
        k
        for k, of in inputs.items()
        if of.get("features") in features or (of.get("encoders") == key and not k.startswith("round-"))
    ]
    cells: dict[str, list[Record]] = defaultdict(list)
    for record in read_records([store], measured):
        if record.unit == "%" or record.metric in MEASURES:
            settings = {name: value for name, value in record.factors.items() if name != REPETITION}
            cell = (record.evaluation, record.dataset, record.metric, record.recipe, settings)
            cells[json.dumps(cell, sort_keys=True)].append(record)
    found = [
        Score(
            records[0],
            measured_cell(records, lambda some: _ends(some, store)),
            len({record.factors.get(REPETITION) for record in records}),
        )
        for records in cells.values()
    ]
    return sorted(found, key=lambda s: (s.first.evaluation, s.first.dataset, _natural(s.first.metric)))


def scores_text(scores: list[Score]) -> str:
    """Scores as Markdown: a table, one row each, and what its intervals mean."""
    if not scores:
        return (
            "None yet: no evaluation of these encoders is in the results folder that they were exported from."
        )
    rows = []
    for score in scores:
        first, cell = score.first, score.cell
        alike = [s.first.factors for s in scores if s.first.evaluation == first.evaluation]
        telling = [
            f"{name}={value}"
            for name, value in first.factors.items()
            if name != REPETITION and any(other.get(name) != value for other in alike)
        ]
        draws = [f"mean of {score.draws} draws"] if score.draws > 1 else []
        rows.append(
            [
                plain(first.evaluation),
                plain(first.dataset) + (" (synthetic)" if first.world == "synthetic" else ""),
                plain(", ".join(cell.splits)),
                plain(", ".join([first.metric, *telling, *draws])),
                f"{cell.value:.2f} {cell.unit}".strip(),
                f"{cell.interval[0]:.1f} to {cell.interval[1]:.1f}" if cell.interval else "",
                cell.items_used,
                " ".join(f"`{run}`" for run in cell.runs),
            ]
        )
    head = ["evaluation", "data set", "splits", "metric", "value", "95 % interval", "test items", "runs"]
    return f"{table(rows, head)}\n\n{INTERVALS}"


def _natural(metric: str) -> list[tuple[bool, int, str]]:
    """Sorting key in which recall at 5 comes before recall at 10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", metric)]


def _ends(records: Sequence[Record], store: Store) -> tuple[float, float] | None:
    found = cell_interval(records, [store])
    return (found.low, found.high) if found else None
