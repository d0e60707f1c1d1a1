"""Which numbers stand under which columns, and what is left out and why."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from xdcbench.config.table import Column
from xdcbench.results.published import Published
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import Item, said, value_of

Placed: TypeAlias = list[tuple[int, Item]]
"""Items, each with the number of the column that it stands under."""

UNSTATED = {
    "protocol": ("as published", "protocol of its own"),
    "split": ("unstated", "split not stated"),
    "frames": (None, "frames not stated"),
}
"""What a published row may leave open and still be shown, apart from the others: as which value, and in words."""


def unique(records: Iterable[Record]) -> tuple[list[Record], int]:
    """Records without repetitions, in a canonical order, and how many repetitions differ in value."""
    found: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for r in records:
        hyperparameters = json.dumps(r.hyperparameters, sort_keys=True, default=str)
        seeds = str(r.pretrain_seed), str(r.seed)
        found[r.run, r.evaluation, r.dataset, r.split, r.metric, *seeds, hyperparameters].append(r)
    copies = [same for _, same in sorted(found.items())]
    for same in copies:
        if len(same) > 1:
            same.sort(key=lambda r: r.model_dump_json())
    clashes = sum(other.value != first.value for first, *others in copies for other in others)
    return [first for first, *_ in copies], clashes


def near(records: Iterable[Record], columns: Sequence[Column]) -> list[Record]:
    """Records of an evaluation, dataset and metric that some column holds; others belong to other tables."""
    held = {(column.evaluation, column.metric, column.dataset) for column in columns}
    return [r for r in records if any((r.evaluation, r.metric, some) in held for some in (r.dataset, ""))]


def place(items: Iterable[Item], columns: Sequence[Column]) -> tuple[Placed[Item], Counter[str]]:
    """Items under the columns that they fit, and counts of the others by their nearest miss, in words.

    A record of another evaluation, dataset, metric or factor belongs to another table: it is no miss.
    """
    placed: Placed[Item] = []
    missed: Counter[str] = Counter()
    for item in items:
        fits, (i, miss) = _fits(item, columns)
        placed += [(at, item) for at in fits]
        if not fits and (isinstance(item, Published) or miss.keys() <= {"protocol", "split", "frames"}):
            missed[_in_words(item, columns[i], miss)] += 1
    return placed, missed


def place_apart(
    rows: Iterable[Published], columns: Sequence[Column]
) -> tuple[list[Published], dict[str, Placed[Published]]]:
    """Published rows that do not state their protocol, split or frames, under the nearest columns.

    Returns:
        The other rows; and those, by what they leave open, in words.
    """
    others: list[Published] = []
    apart: dict[str, Placed[Published]] = defaultdict(list)
    for row in rows:
        fits, (i, miss) = _fits(row, columns)
        if not fits and all(name in UNSTATED and has == UNSTATED[name][0] for name, (has, _) in miss.items()):
            words = (words for name, (_, words) in UNSTATED.items() if name in miss)
            apart[", ".join(words)].append((i, row))
        else:
            others.append(row)
    return others, apart


def same_frames(
    printed: Placed[Published], measured: Placed[Record], columns: Sequence[Column]
) -> tuple[Placed[Published], Counter[str]]:
    """Published numbers whose frames are those of the real records in their column, and the others."""
    frames: dict[int, set[str]] = defaultdict(set)
    for i, record in measured:
        if record.world == "real":
            frames[i].add(str(record.hyperparameters.get("frames")))
    kept, missed = [], Counter[str]()
    for i, row in printed:
        if frames[i] <= {str(row.frames)}:
            kept.append((i, row))
        else:
            words = _in_words(row, columns[i], {"frames": (row.frames, None)})
            missed[f"{words}, measured with {', '.join(sorted(frames[i]))}"] += 1
    return kept, missed


_Miss = dict[str, tuple[Any, Any]]


def _fits(item: Record | Published, columns: Sequence[Column]) -> tuple[list[int], tuple[int, _Miss]]:
    """The columns that an item fits; and the nearest one, of equals one of all splits, with what it misses there."""
    misses = [_differences(column, item) for column in columns]
    nearest = min(
        enumerate(misses),
        key=lambda pair: ("dataset" in pair[1], len(pair[1]), columns[pair[0]].split != "mean"),
    )
    return [i for i, miss in enumerate(misses) if not miss], nearest


def _differences(column: Column, item: Record | Published) -> _Miss:
    """Where an item does not fit: (what it states, what the column wants) by name.

    A record may state what the column leaves open; a published row must agree exactly.
    """
    wanted = {name: getattr(column, name) for name in ("dataset", "metric", "protocol", "split")}
    wanted |= {
        f"hyperparameters.{name}": want
        for name, want in {"frames": column.frames, **column.hyperparameters}.items()
    }
    if isinstance(item, Record):
        wanted["evaluation"] = column.evaluation
        if column.split == "mean":
            del wanted["split"]
        wanted = {name: want for name, want in wanted.items() if want not in ("", None)}
    return {
        name.removeprefix("hyperparameters."): (value_of(item, name), want)
        for name, want in wanted.items()
        if value_of(item, name) != want
    }


def _in_words(item: Record | Published, column: Column, miss: Mapping[str, tuple[Any, Any]]) -> str:
    kind = "measured" if isinstance(item, Record) else "published"
    if "dataset" in miss:
        return f"{kind}, no column for {item.dataset}"
    pairs = (
        f"{name} {said(has) or 'not stated'} (column: {said(want) or 'not stated'})"
        for name, (has, want) in miss.items()
    )
    return f"{kind} under {column.title}, {', '.join(pairs)}"
