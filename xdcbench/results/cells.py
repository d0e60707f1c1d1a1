"""The cell: one number of a table with all that is needed to judge it, and the grid that holds cells."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any, Literal, TypeVar

from xdcbench.results.published import MARKS, Published, Status
from xdcbench.results.records import Record
from xdcbench.schema import Column

NOTHING = "—"

Item = TypeVar("Item", Record, Published)
_Part = tuple[str, list[tuple[int, Item]]]

# Settings that keep numbers of one method apart: a mean over different ones would hide a factor.
_RECORD_SETTINGS = (
    *("architecture", "pretrain_items", "protocol", "evaluation_version", "dataset", "fingerprint"),
    *("subset", "pretrain_subset", "selection", "epochs", "precision", "unit", "recipe"),
)
REPETITION = "draw"
"""The factor that is no setting: which training items a low-shot probe happened to learn from."""
# What a fit finds out differs between seeds and folds; it is no setting.
_PUBLISHED_SETTINGS = ("architecture", "pretrain_size", "factors.k", "selection")


@dataclass(frozen=True)
class Cell:
    """A number, or nothing (``value`` None), with its origin.

    ``spread`` is the sample standard deviation over the ``n`` seeds, None below two. Item counts are
    sums over splits, each with its worst seed. ``splits_missing`` are the data set's splits that some
    seed lacks. ``interval`` holds the ends of the 95 % interval from the test items, where it was asked for
    and there is one. ``source`` is the id of a published row, ``status`` "" where there is no number.
    """

    value: float | None = None
    spread: float | None = None
    n: int = 0
    interval: tuple[float, float] | None = None
    unit: str = ""
    splits: tuple[str, ...] = ()
    splits_missing: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    items_used: int | None = None
    items_expected: int | None = None
    items_failed: int | None = None
    status: Status | Literal["measured", ""] = ""
    source: str = ""
    higher_is_better: bool = True
    dataset: str = ""
    fingerprint: str = ""
    subset: str = ""
    bold: bool = False

    @property
    def digits(self) -> int:
        """Decimals shown: one for per cent, three for measures between 0 and 1."""
        return 1 if self.unit == "%" else 3

    @property
    def text(self) -> str:
        """What a reader sees: ``74.2 ± 0.3 [71.0, 77.1]`` or ``74.2†``; emphasis is the renderer's."""
        if self.value is None or self.status == "":
            return NOTHING
        spread = "" if self.spread is None else f" ± {self.spread:z.{self.digits}f}"
        mark = "" if self.status == "measured" else MARKS[self.status]
        ends = (
            "" if self.interval is None else " [{:z.{d}f}, {:z.{d}f}]".format(*self.interval, d=self.digits)
        )
        return f"{self.value:z.{self.digits}f}{spread}{ends}{mark}"


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns, under the labels that name the row.

    ``setting`` tells rows of equal labels apart ("" where there is one).
    """

    labels: tuple[str, ...]
    setting: str
    cells: tuple[Cell, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """Labels, the first with the setting in brackets."""
        return (f"{self.labels[0]} ({self.setting})", *self.labels[1:]) if self.setting else self.labels


@dataclass(frozen=True)
class Group:
    """Rows that may be compared with each other."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Grid:
    """A finished table, before it takes a format; ``fields`` name the labels, ``columns`` the cells."""

    title: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    footnotes: tuple[str, ...]


def seed_name(record: Record) -> str:
    """The seed in words: ``0``, or ``0/1`` where pretraining and evaluation had different ones."""
    same = record.pretrain_seed == record.seed
    return str(record.seed) if same else f"{record.pretrain_seed}/{record.seed}"


Intervals = Callable[[Sequence[Record]], tuple[float, float] | None]
"""From the records of a cell to the ends of its interval."""


def measured_cell(records: Sequence[Record], intervals: Intervals | None = None) -> Cell:
    """One cell from the records of one setting, over its seeds and splits.

    The value is the mean of per-seed means. Evaluation seeds below one pretraining seed are no
    independent repetitions of the method, so they count as seeds only where there is one pretraining.
    """
    first = records[0]
    pretrainings = {record.pretrain_seed for record in records}
    by_seed: dict[int, list[float]] = defaultdict(list)
    by_split: dict[str, list[Record]] = defaultdict(list)
    splits_of: dict[str, set[str]] = defaultdict(set)
    for record in records:
        by_seed[record.pretrain_seed if len(pretrainings) > 1 else record.seed].append(record.value)
        by_split[record.split].append(record)
        splits_of[seed_name(record)].add(record.split)
    means = [fmean(values) for _, values in sorted(by_seed.items())]
    common = set.intersection(*splits_of.values())
    available = {split for record in records for split in record.splits_official}
    return Cell(
        value=fmean(means),
        spread=stdev(means) if len(means) > 1 else None,
        n=len(means),
        interval=intervals(records) if intervals else None,
        unit=first.unit,
        splits=tuple(sorted(by_split)),
        splits_missing=tuple(sorted(available - common)),
        seeds=tuple(sorted(splits_of)),
        runs=tuple(sorted({record.run for record in records})),
        items_used=sum(min(r.items_used for r in part) for part in by_split.values()),
        items_expected=sum(max(r.items_expected for r in part) for part in by_split.values()),
        items_failed=sum(max(r.items_failed for r in part) for part in by_split.values()),
        status="measured",
        higher_is_better=first.higher_is_better,
        dataset=first.dataset,
        fingerprint=first.fingerprint,
        subset=first.subset,
    )


def published_cell(rows: Sequence[Published]) -> Cell:
    """One cell from published rows that state the same number; a verified row speaks for the others."""
    row = next((row for row in rows if row.status == "verified"), rows[0])
    return Cell(
        value=row.value,
        n=1,
        unit="%",
        splits=(row.split,),
        status=row.status,
        source=row.id,
        dataset=row.dataset,
    )


def embolden(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with the best number of each column in bold, and all that read the same.

    A column with one number, or with numbers on different test items, has no best.
    """
    columns = [_embolden_column(column) for column in zip(*(row.cells for row in rows), strict=True)]
    return tuple(replace(row, cells=tuple(column[i] for column in columns)) for i, row in enumerate(rows))


def _embolden_column(column: Sequence[Cell]) -> list[Cell]:
    numbers = {i: round(c.value, c.digits) for i, c in enumerate(column) if c.value is not None}
    if len(numbers) < 2 or len({(column[i].fingerprint, column[i].subset) for i in numbers}) > 1:
        return list(column)
    higher = column[next(iter(numbers))].higher_is_better
    best = (max if higher else min)(numbers.values())
    return [replace(cell, bold=numbers.get(i) == best) for i, cell in enumerate(column)]


# ------------------------------------------------------------------------------ what may share a cell


def field(item: Record | Published, name: str) -> Any:
    """A field, or with ``factors.`` a factor; None where the item does not state it."""
    if not name.startswith("factors."):
        return getattr(item, name, None)
    factor = name.removeprefix("factors.")
    if isinstance(item, Record):
        return item.factors.get(factor)
    return {"k": item.k, "frames": item.frames}.get(factor)


def said(value: Any) -> str:
    """A value as a label, "" for None."""
    return "" if value is None else str(value)


def split_settings(entries: Sequence[tuple[int, Item]], columns: Sequence[Column]) -> list[_Part[Item]]:
    """Entries (column index, item) of one row by the settings in which they differ, "" where they agree.

    Two numbers that agree in all settings, and in seed and split, are told apart by suite (published
    ones: source), then by run (id); no mean is ever taken over them.
    """
    measured = isinstance(entries[0][1], Record)
    cells = defaultdict(list)
    for i, item in entries:
        cells[i].append(item)
    varying = {
        name
        for i, items in cells.items()
        if measured or not _one_number(items)
        for name in _settings(items, columns[i])
        if len({json.dumps(field(item, name), default=str) for item in items}) > 1
    }
    names = sorted(varying)
    for last in ("suite", "run") if measured else ("source", "id"):
        parts = _partition(entries, names)
        if all(_one_number([item for at, item in part if at == i]) for _, part in parts for i in cells):
            return parts
        names.append(last)
    return _partition(entries, names)


def _settings(items: Sequence[Record | Published], column: Column) -> set[str]:
    if isinstance(items[0], Published):
        return set(_PUBLISHED_SETTINGS)
    names = {name for item in items if isinstance(item, Record) for name in item.factors}
    factors = {f"factors.{name}" for name in names - {REPETITION}}
    return {*_RECORD_SETTINGS, *factors, *(() if column.split == "mean" else ("split",))}


def _one_number(items: Sequence[Record | Published]) -> bool:
    """Whether items of equal settings may share a cell: seeds, splits and draws of one, or one printed value."""
    repetitions = [(r.split, seed_name(r), r.factors.get(REPETITION)) for r in items if isinstance(r, Record)]
    printed = {row.value for row in items if isinstance(row, Published)}
    return len(set(repetitions)) == len(repetitions) and len(printed) <= 1


def _partition(entries: Sequence[tuple[int, Item]], names: Sequence[str]) -> list[_Part[Item]]:
    parts: dict[str, _Part[Item]] = {}
    for i, item in entries:
        values = [field(item, name) for name in names]
        words = ["not stated" if value is None else said(value) or "none" for value in values]
        text = ", ".join(f"{n.removeprefix('factors.')} {word}" for n, word in zip(names, words, strict=True))
        # Keyed by values, since different ones may read the same.
        parts.setdefault(json.dumps(values, default=str), (text, []))[1].append((i, item))
    return list(parts.values())
