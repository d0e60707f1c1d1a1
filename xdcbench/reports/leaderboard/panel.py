"""What a number of the leaderboard opens: each of its records with all that is needed to judge it."""

from collections.abc import Mapping
from typing import Any

from xdcbench.reports.leaderboard.board import BoardCell, Heading
from xdcbench.reports.words import settings, shown
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import seed_name


def panel(
    anchor: str, name: str, heading: Heading, one: BoardCell, titles: Mapping[str, str]
) -> dict[str, Any]:
    """A number with its records, by split and seed; ``name`` is its row's, ``anchor`` where links lead.

    ``titles`` are those of datasets.
    """
    records = sorted(one.records, key=lambda r: (r.split, r.pretrain_seed, r.seed, r.run))
    return {
        "anchor": anchor,
        "name": name,
        "what": f"{heading.title} on {titles.get(heading.dataset, heading.dataset)}",
        "world": heading.world,
        **one.cell.parts,
        "unit": one.cell.unit,
        "seeds": one.cell.n,
        "records": [_record(record) for record in records],
    }


def _record(record: Record) -> dict[str, Any]:
    draw = record.hyperparameters.get("draw")
    return {
        "title": f"split {record.split}, seed {seed_name(record)}"
        + ("" if draw is None else f", draw {draw}"),
        "value": shown(record),
        "unit": record.unit,
        "run": record.run,
        "sections": {
            "Number": _number(record),
            "Test items": _items(record),
            "Encoder": _encoder(record),
            "Settings": settings(record.hyperparameters),
            "Found": settings(record.outcomes),
            "Environment": _environment(record),
        },
    }


def _number(record: Record) -> dict[str, str]:
    return {
        "run": record.run,
        "suite": record.suite,
        "config hash": record.config_hash,
        "protocol": f"{record.protocol}, version {record.evaluation_version}",
        "metric": record.metric,
        "value": f"{record.value:.10g} {record.unit}".rstrip(),
        "split": record.split,
        "seed": str(record.seed),
        "pretraining seed": str(record.pretrain_seed),
        "selection": record.selection,
        "epochs": str(record.epochs),
    }


def _items(record: Record) -> dict[str, str]:
    counts = {
        "used": record.items_used,
        "expected": record.items_expected,
        "failed": record.items_failed,
        "training items": record.train_items_used,
        "training items failed": record.train_items_failed,
    }
    failed = {"first failed": ", ".join(record.failed_items)} if record.failed_items else {}
    verified = settings({"data verify": record.verified}) if record.verified else {"data verify": "not run"}
    return {
        **{name: f"{count:,}" for name, count in counts.items()},
        **failed,
        "dataset": f"{record.dataset} ({record.world})",
        "subset": record.subset or "none",
        "fingerprint": record.fingerprint,
        "shards": "original files" if record.shards is None else "prepared shards",
        **verified,
    }


def _encoder(record: Record) -> dict[str, str]:
    return {
        "method": record.method,
        "architecture": record.architecture,
        "pretraining data": record.pretrain_data,
        "pretraining items": f"{record.pretrain_items:,}",
        "pretraining subset": record.pretrain_subset or "none",
    }


def _environment(record: Record) -> dict[str, str]:
    return {
        "device": record.device,
        "precision": record.precision,
        "processes": str(record.world_size),
        "seconds": f"{record.seconds:.1f}",
        "commit": record.commit or "not known",
        **record.versions,
    }
