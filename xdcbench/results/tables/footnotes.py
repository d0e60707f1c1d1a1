"""What a table says under itself: for readers, what its numbers are; as details, where they come from."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xdcbench.config.table import Column
from xdcbench.results.published import LEGEND, MARKS, Published
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import seed_name
from xdcbench.results.tables.grid import ABSENT, NOTHING, Cell, Group, Row

INTERVALS = "In brackets: 95 % interval over test items."
SHARED = "Trained by several processes, each of which normalizes over its share of a batch:"
DELTA = "In parentheses: measured minus published, in points, where all settings agree."


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


def number_notes(groups: Sequence[Group], columns: Sequence[Column], titles: Mapping[str, str]) -> list[str]:
    """Item counts, missing splits and numbers of seeds of the measured cells; ``titles`` are those of datasets."""
    items: dict[str, dict[str, None]] = defaultdict(dict)
    missing: dict[str, list[str]] = defaultdict(list)
    seeds: dict[int, list[str]] = defaultdict(list)
    for group, row, column, cell in _measured(groups, columns):
        items[cell.counted][_items_in_short(cell, titles)] = None
        if cell.n > 1:
            seeds[cell.n].append(f"{' '.join(row.shown)} / {column.title}")
        if column.split == "mean" and cell.splits_missing:
            missing[_missing_in_words(cell, column, group.title)].append(" ".join(row.shown))
    notes = [f"{kind.capitalize()} items: {'; '.join(some)}." for kind, some in sorted(items.items())]
    notes += [f"{text}: {', '.join(rows)}." for text, rows in missing.items()]
    for n, places in sorted(seeds.items()):
        where = "" if len(seeds) == 1 else f": {', '.join(places)}"
        notes.append(f"± is the sample standard deviation over n = {n} seeds{where}.")
    return notes


def number_details(
    groups: Sequence[Group], columns: Sequence[Column], titles: Mapping[str, str], *, synthetic: str
) -> list[str]:
    """Items, splits and data of the measured cells, then the runs behind each.

    ``titles`` are those of datasets, ``synthetic`` is that of the group whose numbers come from synthetic worlds.
    """
    items: dict[str, None] = {}
    runs: list[str] = []
    for group, row, column, cell in _measured(groups, columns):
        items[_items_in_words(cell, titles, synthetic=group.title == synthetic)] = None
        keys = " ".join(cell.runs)
        runs.append(f"{' '.join(row.shown)} / {column.title}: seeds {', '.join(cell.seeds)}; runs {keys}.")
    return [*items, *runs]


def _measured(
    groups: Sequence[Group], columns: Sequence[Column]
) -> Iterator[tuple[Group, Row, Column, Cell]]:
    for group in groups:
        for row in group.rows:
            for column, cell in zip(columns, row.cells, strict=True):
                if cell.status == "measured":
                    yield group, row, column, cell


def _splits(cell: Cell) -> str:
    return f"{'split' if len(cell.splits) == 1 else 'splits'} {', '.join(cell.splits)}"


def _items_in_short(cell: Cell, titles: Mapping[str, str]) -> str:
    whole = "" if cell.items_used == cell.items_expected else f" of {cell.items_expected}"
    subset = f" (subset: {cell.subset})" if cell.subset else ""
    return f"{titles.get(cell.dataset, cell.dataset)}{subset}, {_splits(cell)}: {cell.items_used}{whole}"


def _items_in_words(cell: Cell, titles: Mapping[str, str], *, synthetic: bool) -> str:
    world = ", synthetic" if synthetic else ""
    subset = f", subset: {cell.subset}" if cell.subset else ""
    title = titles.get(cell.dataset, cell.dataset)
    return (
        f"{title}{world} (data {cell.fingerprint[:8]}{subset}), {_splits(cell)}: {cell.items_used} of "
        f"{cell.items_expected} {cell.counted} items used, {cell.items_failed} failed{_guesses_in_words(cell)}."
    )


def _guesses_in_words(cell: Cell) -> str:
    if cell.guesses is None:
        return ""
    chance, frequent = cell.guesses
    return f"; chance {chance:.1f} %" + (
        "" if frequent is None else f", the most frequent class {frequent:.1f} %"
    )


def _missing_in_words(cell: Cell, column: Column, group: str) -> str:
    available = len({*cell.splits, *cell.splits_missing})
    some = " for some seed" if set(cell.splits) & set(cell.splits_missing) else ""
    return (
        f"{column.title}, {group}: mean over {available - len(cell.splits_missing)} of {available} splits "
        f"(missing{some}: {', '.join(cell.splits_missing)})"
    )


def record_notes(records: Sequence[Record], titles: Mapping[str, str]) -> list[str]:
    """Seeds, and what a reader must know of the training behind what is shown; ``titles`` are those of datasets."""
    if not records:
        return []
    subsets = sorted(
        {
            (f"Encoders of {titles.get(r.pretrain_data, r.pretrain_data)}", r.pretrain_subset)
            for r in records
            if r.pretrain_subset
        }
    )
    stopped = sum(record.outcomes.get("converged") is False for record in records)
    return [
        f"Seeds: {_listed(seed_name(r) for r in records)}.",
        *(f"{name} learned from a subset: {words}." for name, words in subsets),
        *([f"Fits that stopped before they converged: {stopped} of {len(records)} runs."] if stopped else []),
    ]


def record_details(records: Sequence[Record], titles: Mapping[str, str]) -> list[str]:
    """Selection, epochs, suites, schema, prepared shards and numbers of processes of what is shown.

    ``titles`` are those of datasets.
    """
    if not records:
        return []
    epochs: dict[str, set[int]] = defaultdict(set)
    for record in records:
        epochs[record.evaluation].add(record.epochs)
    in_words = {"last": "last epoch", "val-best": "best epoch on held-out training items"}
    processes = [r.hyperparameters["processes"] for r in records if "processes" in r.hyperparameters]
    return [
        *([f"{SHARED} {_listed(processes)} ({len(processes)} of {len(records)} runs)."] if processes else []),
        *dict.fromkeys(_shards_in_words(record, titles) for record in records if record.shards),
        f"Selection: {_listed(in_words[r.selection] for r in records)}. "
        f"Epochs: {'; '.join(f'{name} {_listed(some)}' for name, some in sorted(epochs.items()))}. "
        f"Suites: {_listed(r.suite for r in records)}. "
        f"Record schema: {_listed(r.schema_version for r in records)}.",
    ]


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, sorted(set(values))))


def _shards_in_words(record: Record, titles: Mapping[str, str]) -> str:
    shards = record.shards or {}
    settings = ", ".join(f"{name} {value}" for name, value in shards["settings"].items())
    title = titles.get(record.dataset, record.dataset)
    return (
        f"{title} read from prepared shards (data {shards['fingerprint'][:8]}, made from "
        f"{shards['source_fingerprint'][:8]}; {settings})."
    )


def published_notes(rows: Sequence[Published]) -> list[str]:
    """The legend of marks, then the sources of the published numbers."""
    if not rows:
        return []
    sources = "; ".join(dict.fromkeys(row.source for row in rows))
    statuses = {row.status for row in rows}
    marks = [f"{MARKS[status]} {LEGEND[status]}." for status in LEGEND if status in statuses]
    return [*marks, f"Published numbers from: {sources}."]


def published_details(rows: Sequence[Published]) -> list[str]:
    """Selection and remarks of the published numbers."""
    if not rows:
        return []
    remarks: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        if row.note:
            remarks[row.note][row.method] = None
    selection = ", ".join(sorted({row.selection for row in rows}))
    return [
        f"Selection of published numbers: {selection}.",
        *(f"{note}: {', '.join(who)}." for note, who in remarks.items()),
    ]
