"""Two results folders side by side: which numbers moved, and whether more than chance would move them."""

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from xdcbench.errors import UserError
from xdcbench.reports.results.gather import Results
from xdcbench.results.records import Record
from xdcbench.results.statistics.intervals import Interval
from xdcbench.results.statistics.paired import Unit, overall, paired_result
from xdcbench.results.statistics.predictions import Pairs, is_share, load_predictions, pair
from xdcbench.results.statistics.significance import LEVEL, holm, smallest_p
from xdcbench.results.tables.cells import REPETITION, seed_name

ALIKE = ("fingerprint", "subset", "evaluation_version", "unit")
"""Fields in which two numbers must agree to be subtracted."""
_Name = tuple[str, ...]
_Side = dict[tuple[str, str], Record]


@dataclass(frozen=True)
class ResultChange:
    """One number of both folders, a mean over the splits and seeds that both have.

    Attributes:
        name: method, pretraining data, evaluation, dataset, metric, and the hyperparameters that tell it apart.
        unit: of the values.
        here: value of the folder that is reported.
        there: value of the folder beside it.
        units: number of splits and seeds.
        items: test items used, here and there, summed over ``units``.
        interval: of the difference, 95 %, where predictions allow one.
        p: after Holm's correction, where predictions allow one and the seeds suffice for one below ``LEVEL``.
        runs: keys here and there.
        settings: what else differs, in words.
        why: why there is neither interval nor p, "" where there is.
    """

    name: _Name
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
    unlike: tuple[tuple[_Name, str], ...]
    only_here: tuple[_Name, ...]
    only_there: tuple[_Name, ...]


def result_changes(here: Results, there: Results) -> Comparison:
    """Pair the numbers of two folders by what they are called, and subtract.

    Numbers of pretraining itself (protocol ``round``) are paired as all others; only shares of test items
    have an interval and a p value, which Holm's correction takes as one family.
    """
    ours, theirs = _by_name(here.records), _by_name(there.records)
    moves: list[ResultChange] = []
    unlike: list[tuple[_Name, str]] = []
    for name in sorted(ours.keys() & theirs.keys()):
        found = _move(name, ours[name], theirs[name], (here, there))
        if isinstance(found, str):
            unlike.append((name, found))
        else:
            moves.append(found)
    changed = [move for move in moves if move.difference]
    return Comparison(
        moved=tuple(sorted(_corrected(changed), key=_rank)),
        same=len(moves) - len(changed),
        unlike=tuple(unlike),
        only_here=tuple(sorted(ours.keys() - theirs.keys())),
        only_there=tuple(sorted(theirs.keys() - ours.keys())),
    )


def _rank(move: ResultChange) -> tuple[Any, ...]:
    return -bool(move.significant), move.p is None, move.unit != "%", -abs(move.difference), move.name


def _by_name(records: Sequence[Record]) -> dict[_Name, list[Record]]:
    """Records by what they are called; hyperparameters count that tell the numbers of one run apart."""
    of_run: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of_run[record.run].append(record)
    found: dict[_Name, list[Record]] = defaultdict(list)
    for several in of_run.values():
        names = sorted({name for record in several for name in record.hyperparameters} - {REPETITION})
        inner = [
            n for n in names if n == "round" or len({str(r.hyperparameters.get(n)) for r in several}) > 1
        ]
        for r in several:
            told = ", ".join(f"{n} {r.hyperparameters[n]}" for n in inner if n in r.hyperparameters)
            found[r.method, r.pretrain_data, r.evaluation, r.dataset, r.metric, told].append(r)
    return found


def _move(
    name: _Name, ours: Sequence[Record], theirs: Sequence[Record], sides: tuple[Results, Results]
) -> ResultChange | str:
    """The difference, or in words why there is none."""
    recipes = {record.config_hash for record in ours} & {record.config_hash for record in theirs}
    if recipes:  # what only one side has tried is no counterpart
        ours, theirs = ([r for r in side if r.config_hash in recipes] for side in (ours, theirs))
    left, right = _by_unit(ours), _by_unit(theirs)
    if left is None or right is None:
        return "one of the folders has several settings of it"
    shared = _balanced(left.keys() & right.keys())
    if not shared:
        return "no split that all common seeds have"
    for field in ALIKE:
        pairs = ((getattr(left[at], field), getattr(right[at], field)) for at in shared)
        if unequal := next((pair for pair in pairs if pair[0] != pair[1]), None):
            return f"{field.replace('_', ' ')} {' and '.join(str(one)[:12] or 'none' for one in unequal)}"
    a, b = [left[at] for at in shared], [right[at] for at in shared]
    move = ResultChange(
        name=name,
        unit=a[0].unit,
        higher_is_better=a[0].higher_is_better,
        here=_mean(left, shared),
        there=_mean(right, shared),
        units=len(shared),
        items=(sum(r.items_used for r in a), sum(r.items_used for r in b)),
        runs=(tuple(dict.fromkeys(r.run for r in a)), tuple(dict.fromkeys(r.run for r in b))),
        settings=tuple(_settings(a, b)),
    )
    return _tested(move, left, right, shared, sides) if move.difference else move


def _by_unit(records: Sequence[Record]) -> _Side | None:
    """Records by split and seed (with the draw); None where two are of the same."""
    found: _Side = {}
    for record in records:
        draw = record.hyperparameters.get(REPETITION)
        at = record.split, seed_name(record) + ("" if draw is None else f" draw {draw}")
        if at in found:
            return None
        found[at] = record
    return found


def _balanced(shared: Set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those splits and seeds whose split every seed has, sorted."""
    seeds = {seed for _, seed in shared}
    return sorted(at for at in shared if all((at[0], seed) in shared for seed in seeds))


def _mean(side: _Side, shared: Sequence[tuple[str, str]]) -> float:
    """Mean over seeds of means over splits."""
    seeds: dict[str, list[float]] = defaultdict(list)
    for split, seed in shared:
        seeds[seed].append(side[split, seed].value)
    return fmean(fmean(values) for values in seeds.values())


def _settings(a: Sequence[Record], b: Sequence[Record]) -> list[str]:
    names = ("config_hash", "architecture", "precision", "device", "commit", "versions")
    return [
        name for name in names if {str(getattr(r, name)) for r in a} != {str(getattr(r, name)) for r in b}
    ]


# ------------------------------------------------------------------------------------------- significance


def _tested(
    move: ResultChange,
    left: _Side,
    right: _Side,
    shared: Sequence[tuple[str, str]],
    sides: tuple[Results, Results],
) -> ResultChange:
    """The move with its interval and p value, or with the reason that there is none."""
    if not is_share(move.name[4]):
        return replace(move, why="no share of test items")
    pretrainings = {left[at].pretrain_seed for at in shared}
    pairs: dict[Unit, Pairs] = {}
    try:
        for at in shared:
            a, b = left[at], right[at]
            both = (load_predictions(r, side.stores) for r, side in zip((a, b), sides, strict=True))
            repetition = str(a.pretrain_seed) if len(pretrainings) > 1 else at[1]
            pairs[Unit(*at, repetition=repetition)] = pair(*both, names=(a.run, b.run))
    except UserError as error:
        return replace(move, why=sides[0].placeless(sides[1].placeless(str(error))))
    if len(pairs) == 1:
        (unit, only), *_ = pairs.items()
        one = paired_result(unit, (left[shared[0]].run, right[shared[0]].run), only)
        return replace(move, interval=one.interval, p=one.p)
    mean = overall(pairs)
    if mean is None:
        return replace(move, why="no split that all common seeds have")
    able = smallest_p(len(mean.seeds)) <= LEVEL  # of few seeds, sign flips cannot find anything
    return replace(move, interval=mean.interval, p=mean.p if able else None)


def _corrected(moves: Sequence[ResultChange]) -> list[ResultChange]:
    """Holm's correction over all moves that have a p value."""
    corrected = iter(holm([move.p for move in moves if move.p is not None]))
    return [move if move.p is None else replace(move, p=next(corrected)) for move in moves]
