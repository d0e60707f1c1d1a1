"""Comparisons in words and numbers, and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from xdcbench.results.statistics.compare import Block, Comparison
from xdcbench.results.statistics.intervals import FEW_GROUPS, REPLICATES, Interval
from xdcbench.results.statistics.intervals import LEVEL as COVERAGE
from xdcbench.results.statistics.paired import Overall, PairedResult
from xdcbench.results.statistics.significance import LEVEL, p_text, seeds_needed, smallest_p
from xdcbench.utils.documents import write_json
from xdcbench.utils.io import writing

SCHEMA_VERSION = 3
"""Version of the JSON file."""


def verdict_lines(blocks: Sequence[Block]) -> Iterator[str]:
    """Lines per evaluation and dataset: each pair of runs, then their mean."""
    for block in blocks:
        if block.comparisons:
            world = "" if block.world == "real" else ", synthetic"
            yield f"{block.name}, {block.metric} (data {block.fingerprint[:8]}{world})"
        for comparison in block.comparisons:
            yield from (f"  {line}" for line in _comparison(comparison, block))


def notes(blocks: Sequence[Block]) -> Iterator[str]:
    """What to bear in mind, each once; what is not true of all evaluations names those of which it is."""
    where: dict[str, list[str]] = {}
    for block in blocks:
        for note in _block_notes(block):
            where.setdefault(note, []).append(block.name)
    for note, names in where.items():
        yield f"{note}." if len(names) == len(blocks) else f"{note}: {', '.join(names)}."


def write_verdict(blocks: Sequence[Block], path: Path) -> None:
    """Write all numbers as JSON, at full precision; a UserError where the file cannot be written."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "coverage": COVERAGE,
        "level": LEVEL,
        "replicates": REPLICATES,
        "blocks": [asdict(block) for block in blocks],
    }
    with writing(path, "give another file with --output"):
        write_json(path, content)


def _comparison(comparison: Comparison, block: Block) -> Iterator[str]:
    a, b, mean = comparison.a, comparison.b, comparison.overall
    one_seed = len({one.seed for one in comparison.duels}) == 1
    for one in comparison.duels:
        place = f"{block.title} split {one.split}" + ("" if one_seed else f", seed {one.seed}")
        yield f"{_said(a, b, one.difference, one.p_holm)} on {place} ({_duel(one)})"
        yield f"  {_items(one, a, b)}"
    if mean is not None:
        seeds = "" if len(mean.seeds) == 1 else f"{len(mean.seeds)} seeds and "
        place = f"{seeds}{'split' if len(mean.splits) == 1 else 'splits'} {', '.join(mean.splits)}"
        yield f"{_said(a, b, mean.difference, mean.p_holm)} over {place} of {block.title} ({_overall(mean)})"


def _said(a: str, b: str, difference: float, p: float) -> str:
    points = f"{abs(difference):.1f} points"
    if points == "0.0 points":
        return f"{a} is level with {b}"
    doubt = "" if p < LEVEL else ", not significantly,"
    return f"{a} is {points} {'above' if difference > 0 else 'below'} {b}{doubt}"


def _duel(one: PairedResult) -> str:
    test = "McNemar by group" if one.groups < one.items else "McNemar"
    return f"{one.a:.1f} and {one.b:.1f} %; {_interval(one.interval)}; {test} {_p(one.p, one.p_holm)}"


def _items(one: PairedResult, a: str, b: str) -> str:
    groups = f" in {one.groups} groups" if one.groups < one.items else ""
    text = f"{one.items} items{groups}: {one.a_alone} right for {a} alone, {one.b_alone} for {b} alone"
    unread = [f"{n} unreadable for {name} alone" for name, n in ((a, one.unread_a), (b, one.unread_b)) if n]
    return "; ".join([text, *(f"left out: {said}" for said in unread)])


def _overall(mean: Overall) -> str:
    parts = [f"{mean.a:.1f} and {mean.b:.1f} %", _interval(mean.interval)]
    if mean.deviation is not None:
        parts.insert(1, f"± {mean.deviation:.1f} over seeds")
    if mean.bootstrap is not None:
        parts.append(f"hierarchical bootstrap {mean.bootstrap.low:.1f} to {mean.bootstrap.high:.1f}")
    test = "sign flips over seeds" if len(mean.seeds) > 1 else "McNemar by group over splits"
    parts.append(f"{test} {_p(mean.p, mean.p_holm)}")
    return "; ".join(parts)


def _block_notes(block: Block) -> Iterator[str]:
    """What to bear in mind, each once; what is not true of all comparisons names those of which it is."""
    against: dict[str, list[str]] = {}
    first_alone = len({comparison.a for comparison in block.comparisons}) == 1
    for comparison in block.comparisons:
        pair = comparison.b if first_alone else f"{comparison.b} ({comparison.a})"
        for note in _notes(comparison, len(block.comparisons)):
            against.setdefault(note, []).append(pair)
    for note, names in against.items():
        yield note if len(names) == len(block.comparisons) else f"against {', '.join(names)}: {note}"
    if block.absent:
        yield f"not measured for {', '.join(block.absent)}"


def _notes(comparison: Comparison, comparisons: int) -> Iterator[str]:
    if comparison.pretrainings == 1:
        yield "1 pretraining seed: says nothing about other seeds"
    seeds = 0 if comparison.overall is None else len(comparison.overall.seeds)
    if seeds > 1 and comparisons * smallest_p(seeds) > LEVEL:
        yield (
            f"too few seeds: sign flips of {seeds} cannot give a p below {smallest_p(seeds):.2g}, after Holm "
            f"{min(1.0, comparisons * smallest_p(seeds)):.2g}; {LEVEL:g} takes {seeds_needed(comparisons)} seeds"
        )
    if any(one.groups < FEW_GROUPS for one in comparison.duels):
        yield f"fewer than {FEW_GROUPS} groups of test items in a split, so an interval is too narrow"
    if comparison.settings:
        yield f"they differ in {'; '.join(comparison.settings)}"
    if not comparison.duels:
        yield "no split and seed in common"
    if comparison.unmatched:
        yield f"left out, without a counterpart: {', '.join(comparison.unmatched)}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "too few groups for an interval"
    by = " by t" if interval.method == "t" else ""
    return f"{100 * COVERAGE:.0f} %{by} {interval.low:.1f} to {interval.high:.1f}"


def _p(p: float, p_holm: float) -> str:
    text = p_text(p)
    return f"p {text if text.startswith('<') else f'= {text}'}, Holm {p_text(p_holm)}"
