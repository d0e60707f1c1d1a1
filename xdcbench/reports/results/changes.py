"""Two results folders side by side: which numbers moved, and whether more than chance would move them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

from xdcbench.errors import UserError
from xdcbench.reports.gather import Results
from xdcbench.reports.words import hyperparameters
from xdcbench.results.records import Record
from xdcbench.results.statistics.counterparts import (
    Place,
    counterparts,
    disagreement,
    paired_items,
    place_of,
    told_apart,
)
from xdcbench.results.statistics.intervals import Interval
from xdcbench.results.statistics.paired import overall, paired_result
from xdcbench.results.statistics.predictions import is_share
from xdcbench.results.statistics.significance import LEVEL, holm, smallest_p

ALIKE = ("fingerprint", "subset", "evaluation_version", "unit")
"""Fields in which two numbers must agree to be subtracted."""
_Both = dict[Place, tuple[Record, Record]]


class NumberName(NamedTuple):
    """What a number is called; ``told`` are the hyperparameters that tell it apart in its run, in words."""

    method: str
    pretrain_data: str
    evaluation: str
    dataset: str
    metric: str
    told: str

    def said(self, titles: Mapping[str, str]) -> str:
        """The name in words; ``titles`` are those of datasets."""
        measure = f"{self.metric}, {self.told}" if self.told else self.metric
        data, dataset = (titles.get(name, name) for name in (self.pretrain_data, self.dataset))
        return f"{self.method}@{data}: {self.evaluation} on {dataset}, {measure}"


@dataclass(frozen=True)
class ResultChange:
    """One number ``here``, in the folder that is reported, and ``there``, in the one beside it.

    Both are means over the ``units`` (splits and seeds) that both folders have, of ``runs`` by key and of test
    ``items``, summed over units. ``settings`` says what else differs. ``interval``, 95 %, is of the difference and
    ``p`` after Holm's correction, where predictions allow them and, for p, the seeds suffice for one below
    ``LEVEL``; ``why`` says why there is neither.
    """

    name: NumberName
    unit: str
    higher_is_better: bool
    here: float
    there: float
    units: int
    items: tuple[int, int]
    runs: tuple[tuple[str, ...], tuple[str, ...]]
    settings: tuple[str, ...]
    interval: Interval | None = None
    p: float | None = None
    why: str = ""

    @property
    def difference(self) -> float:
        """Here minus there, in the unit of both."""
        return self.here - self.there

    @property
    def significant(self) -> bool | None:
        """Whether it moved beyond chance, by p, else by the interval; None where that cannot be told."""
        if self.p is not None:
            return self.p < LEVEL
        return None if self.interval is None else not self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True)
class Comparison:
    """All numbers of two folders.

    ``moved`` are sorted by how sure and how large the change is, ``same`` counts numbers of equal value,
    ``unlike`` names those that cannot be subtracted and why, ``only_here`` and ``only_there`` what one lacks.
    """

    moved: tuple[ResultChange, ...]
    same: int
    unlike: tuple[tuple[NumberName, str], ...]
    only_here: tuple[NumberName, ...]
    only_there: tuple[NumberName, ...]


def result_changes(here: Results, there: Results) -> Comparison:
    """Pair the numbers of two folders by what they are called, and subtract.

    Numbers of pretraining itself (protocol ``round``) are paired as all others; only shares of test items
    have an interval and a p value, which Holm's correction takes as one family.
    """
    ours, theirs = _by_name(here.records), _by_name(there.records)
    both = counterparts(ours, theirs)
    found = {name: _move(name, sides, (here, there)) for name, sides in both.items()}
    moves = [move for move in found.values() if isinstance(move, ResultChange)]
    changed = [move for move in moves if move.difference]
    corrected = holm([move.p for move in changed])
    moved = [replace(move, p=p) for move, p in zip(changed, corrected, strict=True)]
    return Comparison(
        moved=tuple(sorted(moved, key=_rank)),
        same=len(moves) - len(changed),
        unlike=tuple((name, why) for name, why in found.items() if isinstance(why, str)),
        only_here=tuple(sorted(ours.keys() - theirs.keys())),
        only_there=tuple(sorted(theirs.keys() - ours.keys())),
    )


def _rank(move: ResultChange) -> tuple[Any, ...]:
    return -bool(move.significant), move.p is None, move.unit != "%", -abs(move.difference), move.name


def _by_name(records: Sequence[Record]) -> dict[NumberName, list[Record]]:
    """Records by what they are called; hyperparameters count that tell the numbers of one run apart."""
    found: dict[NumberName, list[Record]] = defaultdict(list)
    for r, names in told_apart(records):
        told = hyperparameters(r, {*names, "round"})
        found[NumberName(r.method, r.pretrain_data, r.evaluation, r.dataset, r.metric, told)].append(r)
    return found


def _move(
    name: NumberName, records: tuple[Sequence[Record], Sequence[Record]], results: tuple[Results, Results]
) -> ResultChange | str:
    """The difference, or in words why there is none."""
    ours, theirs = records
    recipes = {record.config_hash for record in ours} & {record.config_hash for record in theirs}
    if recipes:  # what only one side has tried is no counterpart
        ours, theirs = ([r for r in side if r.config_hash in recipes] for side in records)
    left, right = ({place_of(record): record for record in side} for side in (ours, theirs))
    if len(left) < len(ours) or len(right) < len(theirs):
        return "one of the folders has several settings of it"
    both = _balanced(counterparts(left, right))
    if not both:
        return "no split that all common seeds have"
    if unlike := disagreement(list(both.values()), ALIKE):
        field, *values = unlike
        return f"{field} {' and '.join(value[:12] for value in values)}"
    a, b = zip(*both.values(), strict=True)
    move = ResultChange(
        name=name,
        unit=a[0].unit,
        higher_is_better=a[0].higher_is_better,
        here=_mean(both.keys(), a),
        there=_mean(both.keys(), b),
        units=len(both),
        items=(sum(r.items_used for r in a), sum(r.items_used for r in b)),
        runs=(tuple(dict.fromkeys(r.run for r in a)), tuple(dict.fromkeys(r.run for r in b))),
        settings=tuple(_settings(a, b)),
    )
    return _tested(move, both, results) if move.difference else move


def _balanced(both: _Both) -> _Both:
    """Those splits and seeds whose split every seed has."""
    seeds = {seed for _, seed in both}
    return {at: pair for at, pair in both.items() if all((at[0], seed) in both for seed in seeds)}


def _mean(places: Iterable[Place], records: Iterable[Record]) -> float:
    """Mean over seeds of means over splits."""
    seeds: dict[str, list[float]] = defaultdict(list)
    for (_, seed), record in zip(places, records, strict=True):
        seeds[seed].append(record.value)
    return fmean(fmean(values) for values in seeds.values())


def _settings(a: Sequence[Record], b: Sequence[Record]) -> list[str]:
    names = ("config_hash", "architecture", "precision", "device", "commit", "versions")
    return [
        name for name in names if {str(getattr(r, name)) for r in a} != {str(getattr(r, name)) for r in b}
    ]


def _tested(move: ResultChange, both: _Both, results: tuple[Results, Results]) -> ResultChange:
    """The move with its interval and p value, or with the reason that there is none."""
    here, there = results
    if not is_share(move.name.metric):
        return replace(move, why="no share of test items")
    try:
        pairs = paired_items(both, (here.stores, there.stores))
    except UserError as error:
        return replace(move, why=here.placeless(there.placeless(str(error))))
    if len(pairs) == 1:
        ((unit, only),), ((a, b),) = pairs.items(), both.values()
        one = paired_result(unit, (a.run, b.run), only)
        return replace(move, interval=one.interval, p=one.p)
    mean = overall(pairs)
    if mean is None:
        return replace(move, why="no split that all common seeds have")
    able = smallest_p(len(mean.seeds)) <= LEVEL  # of few seeds, sign flips cannot find anything
    return replace(move, interval=mean.interval, p=mean.p if able else None)
