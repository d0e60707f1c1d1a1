"""Whether the numbers of a submission follow from its predictions, and its hashes from its settings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from xdcbench.config.keys import key_of
from xdcbench.errors import UserError
from xdcbench.evaluation.recompute import Stored, contradictions, derived, fits, recomputed
from xdcbench.export.publish import config_content
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.results.records import Record, read_file
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.statistics.predictions import own_rows
from xdcbench.results.submission import (
    CONFIG,
    MANIFEST,
    PREDICTIONS,
    SCORES,
    Mismatch,
    file_mismatches,
    read_submission,
)
from xdcbench.utils.arrays import read_table
from xdcbench.utils.documents import read_json
from xdcbench.utils.io import file_hash

ROWS = 10_000_000
"""Rows of a table; more are refused before they are read."""

NAMED = 3
"""Items of one kind of contradiction that are named; the rest are counted."""

CLASS_TOLERANCE = 1e-4
"""Difference of the precision or AUC of a class that keeping scores as float32 explains."""


@dataclass
class Verdict:
    """What was found of a submission: lines about what fits, and everything that does not."""

    lines: list[str] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def say(self, kind: str, text: str, *, count: int = 1) -> None:
        """Add a line, and count what it names by its kind."""
        self.lines.append(f"{kind:<15} {text}")
        self.counts[kind] += count


def verify_submission(folder: Path) -> tuple[list[str], int]:
    """Hash every file of a submission, and compute its numbers, hashes and counts again from what it holds.

    Returns:
        Lines for the user, and the exit code: 0 where something was recomputed and all of it fits, else 1.

    Raises:
        UserError: the folder is no submission, its manifest is damaged or of another schema, or it holds what no
            submission may.
    """
    submission = read_submission(folder)
    verdict = Verdict(mismatches=list(file_mismatches(folder, submission)))
    for key in submission.runs:
        try:
            _verify_run(folder, key, verdict)
        except UserError as error:
            verdict.mismatches.append(Mismatch(key, "run", "readable", str(error)))
    counts = verdict.counts
    if not counts["fits"] and not verdict.mismatches:
        verdict.mismatches.append(Mismatch(MANIFEST, "numbers", "recomputable", "none"))
    refused = [f"{'refused':<15} {mismatch}" for mismatch in verdict.mismatches]
    total = (
        f"{folder}: {counts['fits']} numbers fit, {counts['not recomputed']} values not recomputed, "
        f"{len(refused)} mismatches; {MANIFEST} has sha256 {file_hash(folder / MANIFEST)}"
    )
    return [*verdict.lines, *refused, total], 1 if refused else 0


def _verify_run(folder: Path, key: str, verdict: Verdict) -> None:
    run = folder / key
    for name in (PREDICTIONS, "classes.parquet"):
        _check_table(run / name)
    records, facts, stored = read_file(run / "records.json"), read_facts(run), Stored.read(run)
    if not records:
        raise UserError(f"{run / 'records.json'} holds no record")
    verdict.mismatches += [
        *_settings(run, facts, records),
        *_items(key, records, stored),
        *_columns(key, stored),
        *_classes(run, stored),
    ]
    for record in records:
        _verify_number(key, record, stored, verdict)
    for name, value in derived(stored).items() if any(record.metric == "top1" for record in records) else ():
        verdict.say("derived", f"{key}: {name} {value:.2f} %")
    if found := sorted({name for record in records for name in record.outcomes}):
        said = f"{key}: outcomes {', '.join(found)}"
        verdict.say("not recomputed", said, count=len(found))


def _check_table(path: Path) -> None:
    """Refuse a table of too many rows, by its own word, before room is made for them, and text that is no UTF-8."""
    if not path.is_file():
        return
    try:
        rows = pq.read_metadata(path).num_rows
        if rows <= ROWS:
            pq.read_table(path).validate(full=True)
    except Exception as error:  # of Arrow, of many kinds
        raise UserError(f"{path} is no readable table ({str(error).splitlines()[0]})") from error
    if rows > ROWS:
        raise UserError(f"{path} has {rows:,} rows, more than {ROWS:,}")


def _verify_number(key: str, record: Record, stored: Stored, verdict: Verdict) -> None:
    told = ", ".join(
        f"{name} {record.hyperparameters[name]}" for name in stored.table if name in record.hyperparameters
    )
    name = f"{record.metric} ({told})" if told else record.metric
    value = recomputed(record, stored)
    if value is None:
        verdict.say("not recomputed", f"{key}: {name} {record.value:.6g} {record.unit}".rstrip())
    elif fits(record, value):
        unit = f" {record.unit}" if record.unit else ""
        verdict.say("fits", f"{key}: {name} {record.value:.4f}{unit} over {record.items_used} items")
    else:
        verdict.mismatches.append(
            Mismatch(f"{key}/records.json", name, f"{record.value:.6f}", f"{value:.6f}")
        )


def _settings(run: Path, facts: RunFacts, records: Sequence[Record]) -> Iterator[Mismatch]:
    """Where keys and hashes do not follow from settings, or records do not agree with their run."""
    content = {"kind": facts["kind"], "version": facts["version"]}
    made = key_of(facts["kind"], {**content, "config": facts["science"], "inputs": facts["inputs"]})
    if not run.name == facts["key"] == made:
        yield Mismatch(f"{run.name}/run.json", "key of its settings", facts["key"], made)
    stated, metadata = read_json(run / CONFIG), load_encoder_metadata(run)
    digest = key_of("config", stated) if isinstance(stated, dict) else "none"
    proven = config_content(facts, metadata, records[0].fingerprint)
    if stated != proven:
        yield Mismatch(f"{run.name}/{CONFIG}", "settings", digest, key_of("config", proven))
    for record in records:
        yield from _record_fields(run.name, record, _expected(facts, digest, metadata.model_dump()))


def _expected(facts: RunFacts, digest: str, encoders: dict[str, Any]) -> dict[str, Any]:
    """Fields of a record that its run and its encoders state too."""
    settings = facts["science"]
    shared = ("method", "pretrain_data", "pretrain_items", "pretrain_subset")
    return {
        "run": facts["key"],
        "config_hash": digest,
        "protocol": facts["kind"],
        "evaluation_version": facts["version"],
        "evaluation": settings.get("name"),
        "split": settings.get("split"),
        "seed": settings.get("seed"),
        "pretrain_seed": encoders["seed"],
        **{name: encoders[name] for name in shared},
        **{name: facts[name] for name in ("suite", "device", "world_size", "versions", "commit")},
    }


def _record_fields(key: str, record: Record, expected: dict[str, Any]) -> Iterator[Mismatch]:
    for name, value in expected.items():
        if (stated := getattr(record, name)) != value:
            yield Mismatch(f"{key}/records.json", f"{name} of {record.metric}", stated, value)


def _items(key: str, records: Sequence[Record], stored: Stored) -> Iterator[Mismatch]:
    """Where test items are missing, named twice, told apart from themselves, or behind no record."""
    file, table = f"{key}/{PREDICTIONS}", stored.table
    columns = {str(name): table[name].to_numpy() for name in table}
    behind = np.zeros(len(table), dtype=bool)
    seen: dict[tuple[str, int], None] = {}
    for record in records:
        own = own_rows(record, columns)
        behind |= own
        count, ids = int(own.sum()), table["id"][own]
        if "over" not in record.hyperparameters and count != record.items_used:
            seen[f"items of {record.metric}, records say {record.items_used}", count] = None
        if twice := ids[ids.duplicated()].tolist():
            yield Mismatch(file, "item", f"{twice[0]!r} once", f"{len(twice) + 1} rows")
            return
        if record.items_used + record.items_failed > record.items_expected:
            used = f"{record.items_used} used and {record.items_failed} failed"
            yield Mismatch(f"{key}/records.json", "items", f"{record.items_expected} expected", used)
    for what, count in seen:
        yield Mismatch(file, "number of items", what, count)
    if not behind.all():
        yield Mismatch(file, "rows", "each behind a record", f"{int((~behind).sum())} behind none")
    yield from _one_label(file, stored)


def _one_label(file: str, stored: Stored) -> Iterator[Mismatch]:
    for name in ("label", "group"):
        several = stored.table.groupby("id")[name].nunique()
        if (several > 1).any():
            yield Mismatch(file, name, f"one of {several[several > 1].index[0]!r}", int(several.max()))


def _columns(key: str, stored: Stored) -> Iterator[Mismatch]:
    """The first contradictions among stored columns, and how many more there are."""
    found = list(contradictions(stored))
    for item, column, value, other in found[:NAMED]:
        yield Mismatch(f"{key}/{PREDICTIONS}", f"{column} of {item!r}", value, other)
    if len(found) > NAMED:
        yield Mismatch(f"{key}/{PREDICTIONS}", "other items", "without contradiction", len(found) - NAMED)


def _classes(run: Path, stored: Stored) -> Iterator[Mismatch]:
    """Classes whose ranking is not what scores give."""
    path, found = run / "classes.parquet", stored.by_class
    if not path.is_file():
        return
    if found is None:
        yield Mismatch(f"{run.name}/{path.name}", "classes", "there", f"no {SCORES} of several classes")
        return
    table = read_table(path)
    for name, values in vars(found).items():
        stated = table[name].to_numpy(dtype=float) if name in table else np.empty(0)
        if stated.shape != values.shape:
            yield Mismatch(f"{run.name}/{path.name}", name, len(stated), len(values))
        elif not np.allclose(stated, values, rtol=0, atol=CLASS_TOLERANCE, equal_nan=True):
            at = int(np.nanargmax(np.abs(stated - values)))
            yield Mismatch(f"{run.name}/{path.name}", f"{name} of class {at}", stated[at], values[at])
