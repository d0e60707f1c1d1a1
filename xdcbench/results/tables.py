"""From records and published rows to a grid: what stands where, and what was left out and why."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xdcbench.errors import UserError
from xdcbench.results.cells import (
    Cell,
    Grid,
    Group,
    Intervals,
    Item,
    Row,
    embolden,
    field,
    measured_cell,
    published_cell,
    said,
    split_settings,
)
from xdcbench.results.footnotes import number_notes, published_notes, record_notes
from xdcbench.results.published import Published, choose
from xdcbench.results.records import Record
from xdcbench.schema import Column, Table

INTERVALS = "In brackets: 95 % interval of what other test items would have given, groups kept together."
SYNTHETIC, REAL, PUBLISHED = "measured (synthetic world)", "measured", "published"


def build(
    table: Table,
    records: Sequence[Record],
    published: Sequence[Published],
    *,
    titles: Mapping[str, str] | None = None,
    intervals: Intervals | None = None,
) -> Grid:
    """Fill a table; the order of ``records`` does not matter.

    Numbers from synthetic worlds, from real data and from papers form separate groups. What comes close
    to a column but differs in protocol, split or frames is left out, and a footnote counts it.

    Args:
        table: rows, columns and the published rows that it asks for.
        records: of any number of results folders; a run that comes twice counts once.
        published: all published rows; ``table.published`` chooses among them.
        titles: display names of methods; others show as they are.
        intervals: gives measured cells their intervals; None leaves them without.

    Raises:
        UserError: the table names a record field or a published row that does not exist.
    """
    for name in (*table.rows, *table.where):
        if name not in Record.model_fields and not name.startswith("factors."):
            known = ", ".join(Record.model_fields)
            raise UserError(
                f"table {table.title!r}: no record has a field {name!r}; use factors.NAME or {known}"
            )
    unique, clashes = _unique(records)
    scoped = [r for r in unique if all(field(r, name) in some for name, some in table.where.items())]
    measured, unfit = _place(scoped, table.columns)
    printed, unfit_printed = _place(choose(published, table.published), table.columns)
    printed, other_frames = _same_frames(printed, measured, table.columns)

    names = titles or {}

    def cell(items: Sequence[Any]) -> Cell:
        if not items:
            return Cell()
        return measured_cell(items, intervals) if isinstance(items[0], Record) else published_cell(items)

    synthetic = _rows([(i, r) for i, r in measured if r.world != "real"], table, names, cell)
    real = _rows([(i, r) for i, r in measured if r.world == "real"], table, names, cell)
    groups = tuple(
        Group(title, rows)
        for title, rows in (
            (SYNTHETIC, embolden(synthetic)),
            (REAL, embolden(real)),
            (PUBLISHED, tuple(_rows(printed, table, names, cell))),
        )
        if rows
    )
    notes = [
        *table.footnotes,
        *(f"Only {name} {', '.join(map(str, some))}." for name, some in table.where.items()),
        *([INTERVALS] if intervals else []),
        *number_notes(groups, table.columns, synthetic=SYNTHETIC),
        *record_notes([record for _, record in measured]),
        *published_notes([row for _, row in printed]),
        *(
            f"Left out: {count} {why}."
            for why, count in sorted((unfit + unfit_printed + other_frames).items())
        ),
    ]
    if clashes:
        notes.append(
            f"Records that repeat a run's number with another value: {clashes}; one of each is shown."
        )
    if not groups:
        notes.append("No record fits this table.")
    return Grid(table.title, table.rows, tuple(c.title for c in table.columns), groups, tuple(notes))


# ----------------------------------------------------------------------------------- what stands where


def _unique(records: Iterable[Record]) -> tuple[list[Record], int]:
    """Records without repetitions, in a canonical order, and how many repetitions differ in value."""
    found: dict[str, Record] = {}
    clashes = 0
    for record in sorted(records, key=lambda r: (r.run, r.model_dump_json())):
        parts = ("run", "evaluation", "dataset", "split", "metric", "pretrain_seed", "seed", "factors")
        key = json.dumps([getattr(record, part) for part in parts], sort_keys=True, default=str)
        clashes += found.setdefault(key, record).value != record.value
    return list(found.values()), clashes


def _differences(column: Column, item: Record | Published) -> dict[str, tuple[Any, Any]]:
    """Where an item does not fit: (what it states, what the column wants) by name.

    A record may state what the column leaves open; a published row must agree exactly.
    """
    wanted = {name: getattr(column, name) for name in ("dataset", "metric", "protocol", "split")}
    wanted |= {f"factors.{name}": want for name, want in {"frames": column.frames, **column.factors}.items()}
    if isinstance(item, Record):
        wanted["evaluation"] = column.evaluation
        if column.split == "mean":
            del wanted["split"]
        wanted = {name: want for name, want in wanted.items() if want not in ("", None)}
    return {
        name.removeprefix("factors."): (field(item, name), want)
        for name, want in wanted.items()
        if field(item, name) != want
    }


def _place(items: Iterable[Item], columns: Sequence[Column]) -> tuple[list[tuple[int, Item]], Counter[str]]:
    """Items under the columns that they fit, and counts of the others by their nearest miss.

    A record of another evaluation, data set, metric or factor belongs to another table: it is no miss.
    """
    placed: list[tuple[int, Item]] = []
    missed: Counter[str] = Counter()
    for item in items:
        misses = [_differences(column, item) for column in columns]
        fits = [(i, item) for i, miss in enumerate(misses) if not miss]
        placed += fits
        i, miss = min(enumerate(misses), key=lambda pair: ("dataset" in pair[1], len(pair[1])))
        if fits or (isinstance(item, Record) and not miss.keys() <= {"protocol", "split", "frames"}):
            continue
        missed[_miss_in_words(item, columns[i], miss)] += 1
    return placed, missed


def _miss_in_words(item: Record | Published, column: Column, miss: Mapping[str, tuple[Any, Any]]) -> str:
    kind = "measured" if isinstance(item, Record) else "published"
    if "dataset" in miss:
        return f"{kind}, no column for {item.dataset}"

    pairs = (
        f"{name} {said(has) or 'not stated'} (column: {said(want) or 'not stated'})"
        for name, (has, want) in miss.items()
    )
    return f"{kind} under {column.title}, {', '.join(pairs)}"


def _same_frames(
    printed: Sequence[tuple[int, Published]],
    measured: Sequence[tuple[int, Record]],
    columns: Sequence[Column],
) -> tuple[list[tuple[int, Published]], Counter[str]]:
    """Published numbers whose frames are those of the real records in their column, and the others."""
    frames: dict[int, set[str]] = defaultdict(set)
    for i, record in measured:
        if record.world == "real":
            frames[i].add(str(record.factors.get("frames")))
    kept, missed = [], Counter[str]()
    for i, row in printed:
        if frames[i] <= {str(row.frames)}:
            kept.append((i, row))
        else:
            miss = {"frames": (row.frames, None)}
            missed[
                _miss_in_words(row, columns[i], miss) + f", measured with {', '.join(sorted(frames[i]))}"
            ] += 1
    return kept, missed


# ------------------------------------------------------------------------------------------------ rows


def _rows(
    placed: Sequence[tuple[int, Item]],
    table: Table,
    titles: Mapping[str, str],
    cell: Callable[[Sequence[Any]], Cell],
) -> list[Row]:
    by_labels: dict[tuple[str, ...], list[tuple[int, Item]]] = defaultdict(list)
    for i, item in placed:
        by_labels[tuple(said(field(item, name)) for name in table.rows)].append((i, item))
    rows: list[tuple[int, Row]] = []
    for labels, entries in by_labels.items():
        shown = tuple(
            titles.get(label, label) if name == "method" else label
            for name, label in zip(table.rows, labels, strict=True)
        )
        method = labels[table.rows.index("method")] if "method" in table.rows else ""
        rank = table.methods.index(method) if method in table.methods else len(table.methods)
        for setting, part in split_settings(entries, table.columns):
            cells = (cell([item for at, item in part if at == i]) for i in range(len(table.columns)))
            rows.append((rank, Row(shown, setting, tuple(cells))))
    if any(isinstance(item, Record) for _, item in placed):  # published rows keep the order of their file
        rows.sort(key=lambda pair: [_natural(text) for text in (*pair[1].labels, pair[1].setting)])
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts k=64 before k=128."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]
