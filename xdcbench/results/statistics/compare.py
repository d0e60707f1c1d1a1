"""Who is compared with whom: the first method against each other one, or all in pairs, wherever both were measured."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from xdcbench.config.table import Column
from xdcbench.errors import UserError
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_facts import flat, read_facts
from xdcbench.results.run_store import RunStore, keys_named
from xdcbench.results.statistics.counterparts import (
    MUST_AGREE,
    Place,
    counterparts,
    disagreement,
    paired_items,
    place_of,
    told_apart,
)
from xdcbench.results.statistics.paired import Overall, PairedResult, overall, paired_result
from xdcbench.results.statistics.predictions import is_share, run_folder
from xdcbench.results.statistics.significance import holm
from xdcbench.results.tables.cells import REPETITION, split_settings
from xdcbench.results.tables.titles import titles_in

_Key = tuple[str, str, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True)
class Comparison:
    """``a`` against ``b``, by the words that name them.

    ``pretrainings`` is the number of pretraining seeds, ``overall`` is None where there is but one duel,
    ``settings`` says what of the evaluation differs, ``unmatched`` what only one of them has.
    """

    a: str
    b: str
    pretrainings: int
    duels: tuple[PairedResult, ...]
    overall: Overall | None
    settings: tuple[str, ...]
    unmatched: tuple[str, ...]

    @property
    def whole(self) -> Overall | PairedResult | None:
        """The comparison as one: over seeds and splits, or of the one pair of runs; None without a common one."""
        return self.overall or next(iter(self.duels), None)


@dataclass(frozen=True)
class Block:
    """All comparisons by one evaluation on one dataset: the family of Holm's correction.

    ``title`` is the dataset's. ``hyperparameters`` tell the numbers of one run apart; ``absent`` names what was not
    measured so.
    """

    evaluation: str
    dataset: str
    title: str
    metric: str
    hyperparameters: dict[str, Any]
    world: str
    fingerprint: str
    comparisons: tuple[Comparison, ...]
    absent: tuple[str, ...]

    @property
    def name(self) -> str:
        """Evaluation, hyperparameters and dataset in words."""
        which = "".join(f" ({name} {of})" for name, of in self.hyperparameters.items())
        return f"{self.evaluation}{which} on {self.title}"

    @property
    def values(self) -> dict[str, float]:
        """Value of each method that was compared, in %, as its first comparison has it."""
        found: dict[str, float] = {}
        for one in self.comparisons:
            if one.whole:
                found = {one.a: one.whole.a, one.b: one.whole.b} | found
        return found


def compare(
    names: Sequence[str],
    folders: Sequence[Path],
    *,
    metric: str = "top1",
    dataset: str = "",
    evaluation: str = "",
    all_pairs: bool = False,
) -> list[Block]:
    """Compare the first of ``names`` with each other one, in results ``folders`` that are read as one.

    ``all_pairs`` compares each of them with each one after it.

    Names are methods, ``method@pretraining data``, or keys of runs (or their beginnings). ``metric`` is a share of
    test items; ``dataset`` and ``evaluation`` choose one, "" all.

    Raises:
        UserError: a name is unknown or ambiguous, nothing was measured for two of them alike, or their
            predictions do not belong together.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(
            f"compare needs two or more different methods or runs, not {', '.join(names) or 'none'}"
        )
    stores = [RunStore.existing(folder) for folder in folders]
    records = read_records(stores)
    for field, value in {"metric": metric, "dataset": dataset, "evaluation": evaluation}.items():
        known = sorted({str(getattr(record, field)) for record in records if is_share(record.metric)})
        if value and value not in known:
            raise UserError(
                f"no number to compare has {field} {value!r}. Try: {', '.join(known) or 'run a suite first'}"
            )
        records = [record for record in records if value in ("", getattr(record, field))]
    sides = {name: _by_block(_named(name, records)) for name in names}
    keys = sorted({key for side in sides.values() for key in side}, key=str)
    pairs = list(combinations(names, 2)) if all_pairs else [(names[0], name) for name in names[1:]]
    blocks = [
        _block(key, {name: side.get(key, []) for name, side in sides.items()}, pairs, stores) for key in keys
    ]
    if not any(block.comparisons for block in blocks):
        raise UserError(
            f"{names[0]} shares no evaluation on one dataset with {', '.join(names[1:])}; run one for both"
        )
    titles = titles_in(stores)
    return [replace(block, title=titles.get(block.dataset, block.dataset)) for block in blocks]


def _named(name: str, records: Sequence[Record]) -> list[Record]:
    method, at, data = name.partition("@")
    found = [r for r in records if r.method == method and (not at or r.pretrain_data == data)]
    if found:
        return found
    runs = keys_named(name, (record.run for record in records)) if name else []
    if len(runs) != 1:
        known = ", ".join(sorted({f"{record.method}@{record.pretrain_data}" for record in records}))
        many = f"matches {len(runs)} runs" if runs else "is not a method or run that can be compared here"
        raise UserError(f"{name!r} {many}. Try: one of {known}, or more of a run's key")
    return [record for record in records if record.run in runs]


def _by_block(records: Sequence[Record]) -> dict[_Key, list[Record]]:
    """Records by evaluation, dataset and the hyperparameters that tell the numbers of one run apart."""
    blocks: dict[_Key, list[Record]] = defaultdict(list)
    for record, names in told_apart(records):
        hyperparameters = tuple((name, record.hyperparameters.get(name)) for name in names)
        blocks[record.evaluation, record.dataset, hyperparameters].append(record)
    return blocks


def _by_place(name: str, records: Sequence[Record]) -> dict[Place, Record]:
    """The record of each split and seed; refused where records are of several settings, or two of one place."""
    column = Column(title="", evaluation=records[0].evaluation, split="mean")
    for draw in sorted({record.hyperparameters.get(REPETITION) for record in records}, key=str):
        drawn = [record for record in records if record.hyperparameters.get(REPETITION) == draw]
        parts = split_settings([(0, record) for record in drawn], [column])
        if len(parts) > 1:
            raise UserError(
                f"{name} has {len(parts)} settings of {drawn[0].evaluation} on {drawn[0].dataset} "
                f"({'; '.join(text for text, _ in parts[:4])}); choose one by {drawn[0].method}@DATA, by another "
                f"--results, or by the key of a run"
            )
    return {place_of(record): record for record in records}


def _block(
    key: _Key, sides: dict[str, list[Record]], pairs: Sequence[tuple[str, str]], stores: Sequence[RunStore]
) -> Block:
    comparisons = [
        _comparison((a, sides[a]), (b, sides[b]), stores) for a, b in pairs if sides[a] and sides[b]
    ]
    some = next(records[0] for records in sides.values() if records)
    return Block(
        evaluation=key[0],
        dataset=key[1],
        title=key[1],
        metric=some.metric,
        hyperparameters=dict(key[2]),
        world=some.world,
        fingerprint=some.fingerprint,
        comparisons=_corrected(comparisons),
        absent=tuple(name for name, records in sides.items() if not records),
    )


def _comparison(
    first: tuple[str, list[Record]], other: tuple[str, list[Record]], stores: Sequence[RunStore]
) -> Comparison:
    names = first[0], other[0]
    ours, theirs = _by_place(*first), _by_place(*other)
    shared = counterparts(ours, theirs)
    _must_agree(names, list(shared.values()))
    settings = dict.fromkeys(text for a, b in shared.values() for text in _differences(a, b, stores))
    pairs = paired_items(shared, (stores, stores))
    duels = [
        paired_result(unit, (a.run, b.run), both)
        for (unit, both), (a, b) in zip(pairs.items(), shared.values(), strict=True)
    ]
    return Comparison(
        *names,
        pretrainings=len({a.pretrain_seed for a, _ in shared.values()}),
        duels=tuple(duels),
        overall=overall(pairs) if pairs else None,
        settings=tuple(settings),
        unmatched=tuple(
            f"split {split}, seed {seed} of {names[(split, seed) in theirs]}"
            for split, seed in sorted(ours.keys() ^ theirs.keys())
        ),
    )


def _must_agree(names: tuple[str, str], pairs: Sequence[tuple[Record, Record]]) -> None:
    for a, b in pairs:
        if a.run == b.run:
            raise UserError(f"{names[0]} and {names[1]} both name the run {a.run}; compare different ones")
        if unlike := disagreement([(a, b)], MUST_AGREE):
            field, left, right = unlike
            raise UserError(
                f"{a.run} ({names[0]}) and {b.run} ({names[1]}) differ in {field} of {a.evaluation} on {a.dataset}: "
                f"{left} and {right}; measure both alike, or choose others with --results, --evaluation or --dataset"
            )


def _differences(a: Record, b: Record, stores: Sequence[RunStore]) -> list[str]:
    """Settings of the evaluation, and of what the encoders take in, in which two runs differ, in words."""
    left, right = (
        flat(read_facts(run_folder(stores, record.run))["config"].get("settings", {}))
        | record.hyperparameters
        | {"architecture": record.architecture}
        for record in (a, b)
    )
    names = sorted(left.keys() & right.keys())
    return [f"{name} {left[name]} and {right[name]}" for name in names if left[name] != right[name]]


def _corrected(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Holm's correction over all pairs of runs, and over all means over seeds."""
    of_runs = iter(holm([one.p for comparison in comparisons for one in comparison.duels]))
    of_means = iter(holm([one.overall.p for one in comparisons if one.overall]))
    return tuple(
        replace(
            comparison,
            duels=tuple(replace(one, p_holm=next(of_runs)) for one in comparison.duels),
            overall=comparison.overall and replace(comparison.overall, p_holm=next(of_means)),
        )
        for comparison in comparisons
    )
