"""What all comparisons share: which numbers are counterparts, and their test items side by side."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.predictions import Predictions, load_predictions
from xdcbench.results.tables.cells import REPETITION, seed_name

Place = tuple[str, str]
"""Split and seed, in words, of a record; a draw of training items is part of the seed."""

MUST_AGREE = ("fingerprint", "subset", "protocol", "evaluation_version")
"""Numbers that differ in one of these fields are of other test items or of other code."""

Key = TypeVar("Key", bound=tuple[str, ...])
Value = TypeVar("Value")


class Unit(NamedTuple):
    """Split and seed of two runs that are paired; ``repetition`` is the seed that counts as one: of the
    pretraining, or of the evaluation below a single one.
    """

    split: str
    seed: str
    repetition: str


class Pairs(NamedTuple):
    """Items that two runs have in common: ``groups`` (str), scores ``a`` and ``b`` (float64), all (pairs,).

    ``only_a`` and ``only_b`` are the numbers of items that the other run could not read.
    """

    groups: np.ndarray
    a: np.ndarray
    b: np.ndarray
    only_a: int
    only_b: int


def place_of(record: Record) -> Place:
    """Where a record stands among those of one name."""
    draw = record.hyperparameters.get(REPETITION)
    return record.split, seed_name(record) + ("" if draw is None else f" draw {draw}")


def told_apart(records: Iterable[Record]) -> Iterator[tuple[Record, list[str]]]:
    """Records with the names of the hyperparameters, but for draws, that tell the numbers of their run apart."""
    of_run: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of_run[record.run].append(record)
    for several in of_run.values():
        names = sorted(varying(several) - {REPETITION})
        yield from ((record, names) for record in several)


def varying(records: Sequence[Record]) -> set[str]:
    """Names of the hyperparameters in which records differ."""
    names = {name for record in records for name in record.hyperparameters}
    return {name for name in names if len({str(r.hyperparameters.get(name)) for r in records}) > 1}


def counterparts(a: Mapping[Key, Value], b: Mapping[Key, Value]) -> dict[Key, tuple[Value, Value]]:
    """What both sides have, by key, sorted."""
    return {key: (a[key], b[key]) for key in sorted(a.keys() & b.keys())}


def disagreement(
    pairs: Sequence[tuple[Record, Record]], fields: Sequence[str]
) -> tuple[str, str, str] | None:
    """The first of ``fields`` in which counterparts differ, with both values, all in words."""
    for field in fields:
        for a, b in pairs:
            left, right = getattr(a, field), getattr(b, field)
            if left != right:
                return field.replace("_", " "), str(left) or "none", str(right) or "none"
    return None


def paired_items(
    both: Mapping[Place, tuple[Record, Record]], stores: tuple[Sequence[RunStore], Sequence[RunStore]]
) -> dict[Unit, Pairs]:
    """The test items of counterparts side by side; ``stores`` hold the runs of either side."""
    several = len({a.pretrain_seed for a, _ in both.values()}) > 1
    found = {}
    for (split, seed), (a, b) in both.items():
        unit = Unit(split, seed, repetition=str(a.pretrain_seed) if several else seed)
        left, right = load_predictions(a, stores[0]), load_predictions(b, stores[1])
        found[unit] = pair(left, right, names=(a.run, b.run))
    return found


def common_splits(pairs: Mapping[Unit, Pairs]) -> dict[Unit, Pairs]:
    """The pairs of the splits that every repetition has."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for unit in pairs:
        splits_of[unit.repetition].add(unit.split)
    splits = set.intersection(*splits_of.values())
    return {unit: both for unit, both in pairs.items() if unit.split in splits}


def pair(a: Predictions, b: Predictions, *, names: tuple[str, str]) -> Pairs:
    """The items of both runs side by side; those of one run alone are counted and left out.

    Raises:
        UserError: they have no item in common, or disagree about the label or group of one.
    """
    common, at_a, at_b = np.intersect1d(a.ids, b.ids, assume_unique=True, return_indices=True)
    if not len(common):
        raise UserError(
            f"{names[0]} and {names[1]} have no test item in common; compare runs on one test list"
        )
    for what, left, right in (("label", a.labels, b.labels), ("group", a.groups, b.groups)):
        differ = np.flatnonzero(left[at_a] != right[at_b])
        if len(differ):
            i = differ[0]
            raise UserError(
                f"item {common[i]!r} has {what} {left[at_a][i]} in {names[0]} and {right[at_b][i]} in "
                f"{names[1]}; make both from the same files"
            )
    alone = len(a.ids) - len(common), len(b.ids) - len(common)
    return Pairs(a.groups[at_a], a.scores[at_a], b.scores[at_b], *alone)
