"""What evaluations have found of the encoders of one run, as its model card tells it."""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

from tabulate import tabulate

from xdcbench.results.records import Record, read_records
from xdcbench.results.run_facts import read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.predictions import cell_ends
from xdcbench.results.tables.cells import REPETITION, measured_cell
from xdcbench.results.tables.grid import Cell
from xdcbench.results.tables.render import escape_markdown
from xdcbench.utils.format import natural

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


def scores_of(key: str, store: RunStore) -> list[Score]:
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
            settings = {name: value for name, value in record.hyperparameters.items() if name != REPETITION}
            cell = (record.evaluation, record.dataset, record.metric, record.config_hash, settings)
            cells[json.dumps(cell, sort_keys=True)].append(record)
    found = [
        Score(
            records[0],
            measured_cell(records, partial(cell_ends, stores=[store])),
            len({record.hyperparameters.get(REPETITION) for record in records}),
        )
        for records in cells.values()
    ]
    return sorted(found, key=lambda s: (s.first.evaluation, s.first.dataset, natural(s.first.metric)))


def scores_text(scores: list[Score]) -> str:
    """Scores as Markdown: a table, one row each, and what its intervals mean."""
    if not scores:
        return (
            "None yet: no evaluation of these encoders is in the results folder that they were exported from."
        )
    rows = []
    for score in scores:
        first, cell = score.first, score.cell
        alike = [s.first.hyperparameters for s in scores if s.first.evaluation == first.evaluation]
        telling = [
            f"{name}={value}"
            for name, value in first.hyperparameters.items()
            if name != REPETITION and any(other.get(name) != value for other in alike)
        ]
        draws = [f"mean of {score.draws} draws"] if score.draws > 1 else []
        rows.append(
            [
                escape_markdown(first.evaluation),
                escape_markdown(first.dataset) + (" (synthetic)" if first.world == "synthetic" else ""),
                escape_markdown(", ".join(cell.splits)),
                escape_markdown(", ".join([first.metric, *telling, *draws])),
                f"{cell.value:.2f} {cell.unit}".strip(),
                f"{cell.interval[0]:.1f} to {cell.interval[1]:.1f}" if cell.interval else "",
                cell.items_used,
                " ".join(f"`{run}`" for run in cell.runs),
            ]
        )
    head = ["evaluation", "dataset", "splits", "metric", "value", "95 % interval", "test items", "runs"]
    return f"{markdown_table(rows, head)}\n\n{INTERVALS}"


def markdown_table(rows: list[list[Any]], head: list[str]) -> str:
    """A table; cells are Markdown already."""
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)
