"""What a table says under itself: items, splits, seeds, settings and sources of the numbers shown."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from xdcbench.config.table import Column
from xdcbench.results.published import LEGEND, MARKS, Published
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import seed_name
from xdcbench.results.tables.grid import ABSENT, NOTHING, Cell, Group

INTERVALS = "In brackets: 95 % interval of what other test items would have given, groups kept together."
SHARED = "Trained by several processes, each of which normalizes over its share of a batch:"
DELTA = (
    "In parentheses: measured minus published, in points, where method, architecture, pretraining data, dataset, "
    "protocol, split and frames agree."
)


def cell_notes(groups: Sequence[Group], columns: Sequence[Column]) -> list[str]:
    """What brackets, parentheses and cells without a number mean, as far as the table has them."""
    cells = [
        (column, cell)
        for group in groups
        for row in group.rows
        for column, cell in zip(columns, row.cells, strict=True)
    ]
    absent: dict[str, dict[str, None]] = defaultdict(dict)
    for column, cell in cells:
        if cell.value is None and cell.absent:
            absent[cell.absent][column.title] = None
    return [
        *([INTERVALS] if any(cell.interval for _, cell in cells) else []),
        *([DELTA] if any(cell.reference for _, cell in cells) else []),
        *(f"{ABSENT} not available here ({', '.join(where)}): {why}." for why, where in absent.items()),
        *([f"{NOTHING} missing."] if absent and any(c.text == NOTHING for _, c in cells) else []),
    ]


def number_notes(groups: Sequence[Group], columns: Sequence[Column], *, synthetic: str) -> list[str]:
    """Item counts, missing splits and numbers of seeds of the measured cells.

    ``synthetic`` is the title of the group whose numbers come from synthetic worlds.
    """
    items: dict[str, None] = {}
    missing: dict[str, list[str]] = defaultdict(list)
    seeds: dict[int, list[str]] = defaultdict(list)
    for group in groups:
        for row in group.rows:
            for column, cell in zip(columns, row.cells, strict=True):
                if cell.status != "measured":
                    continue
                items[_items_in_words(cell, synthetic=group.title == synthetic)] = None
                if cell.n > 1:
                    seeds[cell.n].append(f"{' '.join(row.shown)} / {column.title}")
                if column.split == "mean" and cell.splits_missing:
                    missing[_missing_in_words(cell, column, group.title)].append(" ".join(row.shown))
    notes = list(items)
    notes += [f"{text}: {', '.join(rows)}." for text, rows in missing.items()]
    for n, places in sorted(seeds.items()):
        where = "" if len(seeds) == 1 else f": {', '.join(places)}"
        notes.append(f"± is the sample standard deviation over n = {n} seeds{where}.")
    return notes


def _items_in_words(cell: Cell, *, synthetic: bool) -> str:
    world = ", synthetic" if synthetic else ""
    subset = f", subset: {cell.subset}" if cell.subset else ""
    splits = f"{'split' if len(cell.splits) == 1 else 'splits'} {', '.join(cell.splits)}"
    return (
        f"{cell.dataset}{world} (data {cell.fingerprint[:8]}{subset}), {splits}: {cell.items_used} of "
        f"{cell.items_expected} test items used, {cell.items_failed} failed{_guesses_in_words(cell)}."
    )


def _guesses_in_words(cell: Cell) -> str:
    if cell.guesses is None:
        return ""
    return "; chance {:.1f} %, the most frequent class {:.1f} %".format(*cell.guesses)


def _missing_in_words(cell: Cell, column: Column, group: str) -> str:
    available = len({*cell.splits, *cell.splits_missing})
    some = " for some seed" if set(cell.splits) & set(cell.splits_missing) else ""
    return (
        f"{column.title}, {group}: mean over {available - len(cell.splits_missing)} of {available} splits "
        f"(missing{some}: {', '.join(cell.splits_missing)})"
    )


def record_notes(records: Sequence[Record]) -> list[str]:
    """Seeds, selection, epochs, suites, schema, prepared shards and numbers of processes of what is shown."""
    if not records:
        return []
    epochs: dict[str, set[int]] = defaultdict(set)
    for record in records:
        epochs[record.evaluation].add(record.epochs)
    in_words = {"last": "last epoch", "val-best": "best epoch on held-out training items"}

    def listed(values: Iterable[Any]) -> str:
        return ", ".join(map(str, sorted(set(values))))

    subsets = sorted(
        {(f"Encoders of {r.pretrain_data}", r.pretrain_subset) for r in records if r.pretrain_subset}
    )
    processes = [r.hyperparameters["processes"] for r in records if "processes" in r.hyperparameters]
    stopped = sum(record.outcomes.get("converged") is False for record in records)
    return [
        *([f"Fits that stopped before they converged: {stopped} of {len(records)} runs."] if stopped else []),
        *([f"{SHARED} {listed(processes)} ({len(processes)} of {len(records)} runs)."] if processes else []),
        *(f"{name} learned from a subset: {words}." for name, words in subsets),
        *dict.fromkeys(_shards_in_words(record) for record in records if record.shards),
        f"Seeds: {listed(seed_name(r) for r in records)}. "
        f"Selection: {listed(in_words[r.selection] for r in records)}. "
        f"Epochs: {'; '.join(f'{name} {listed(some)}' for name, some in sorted(epochs.items()))}. "
        f"Suites: {listed(r.suite for r in records)}. "
        f"Record schema: {listed(r.schema_version for r in records)}.",
    ]


def _shards_in_words(record: Record) -> str:
    shards = record.shards or {}
    settings = ", ".join(f"{name} {value}" for name, value in shards["settings"].items())
    return (
        f"{record.dataset} read from prepared shards (data {shards['fingerprint'][:8]}, made from "
        f"{shards['source_fingerprint'][:8]}; {settings})."
    )


def published_notes(rows: Sequence[Published]) -> list[str]:
    """The legend of marks, then sources, selection and remarks of the published numbers."""
    if not rows:
        return []
    sources = "; ".join(dict.fromkeys(row.source for row in rows))
    selection = ", ".join(sorted({row.selection for row in rows}))
    remarks: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        if row.note:
            remarks[row.note][row.method] = None
    marks = [
        f"{MARKS[status]} {LEGEND[status]}." for status in LEGEND if status in {row.status for row in rows}
    ]
    about = f"Published numbers from: {sources}. Their selection: {selection}."
    return [*marks, about, *(f"{note}: {', '.join(who)}." for note, who in remarks.items())]
