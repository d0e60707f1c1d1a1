"""A stage in words: what it is, and what came of it."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from xdcbench.config.stages import FeaturesStage, IndexStage, RoundStage
from xdcbench.data.context import INDEX_ITEMS
from xdcbench.pipeline.graph import Stage
from xdcbench.results.records import Record, read_file
from xdcbench.utils.format import number

METRICS = {"top1": "top-1", "nmi": "NMI", "cluster_accuracy": "cluster accuracy"}
"""Metrics whose names in words are others."""


def stage_title(stage: Stage, *, seeds: bool) -> str:
    """What a stage is: ``xdc · kinetics400 · round 2``; ``seeds`` says whether its pretraining seed is told."""
    parts = stage.name.split("/")
    words = [_part(part) for part in parts if seeds or not _numbered(part, "seed")]
    return " · ".join(words or parts)


def _numbered(part: str, word: str) -> bool:
    return part.startswith(word) and part[len(word) :].isdecimal()


def _part(part: str) -> str:
    word = next((word for word in ("seed", "round") if _numbered(part, word)), "")
    return f"{word} {part[len(word) :]}" if word else part


def result_words(stage: Stage, run: Path) -> list[str]:
    """What came of a stage that is done, most important first; of some kinds there is nothing to tell."""
    match stage.config:
        case IndexStage():
            return list(_index_words(run))
        case FeaturesStage():
            return list(_features_words(run))
    path = run / "records.json"
    records = read_file(path) if path.exists() else []
    if isinstance(stage.config, RoundStage):
        return list(_round_words(stage.config, records))
    return list(_evaluation_words(records))


def _index_words(run: Path) -> Iterator[str]:
    if (run / INDEX_ITEMS).exists() and (run / "index.json").exists():
        from xdcbench.utils.mapped_table import map_batch

        items = map_batch(run / INDEX_ITEMS).num_rows
        classes = json.loads((run / "index.json").read_text(encoding="utf-8"))["classes"]
        yield f"{items:,} items, {len(classes)} classes"


def _features_words(run: Path) -> Iterator[str]:
    if (run / "features.npy").exists():
        import numpy as np

        items, clips, width = np.load(run / "features.npy", mmap_mode="r", allow_pickle=False).shape
        failed = len(json.loads((run / "failed.json").read_text(encoding="utf-8")))
        unread = f", {failed:,} unreadable" if failed else ""
        yield f"{items:,} items, {clips} {'clip' if clips == 1 else 'clips'} each, {width} features{unread}"


def _round_words(config: RoundStage, records: Sequence[Record]) -> Iterator[str]:
    """The loss of the last epoch beside that of a uniform guess, and the NMI of each clustering with the classes."""
    metrics = {record.metric: record.value for record in records}
    if "loss" in metrics:
        sources = [source for heads in config.heads.values() for source in heads]
        ks = [config.clusterings[source].k for source in sources if source in config.clusterings]
        chance = f" (chance {sum(map(math.log, ks)):.2f})" if len(ks) == len(sources) else ""
        yield f"loss {metrics['loss']:.2f}{chance}"
    agreed = [record for record in records if record.metric == "nmi_class"]
    if agreed:
        yield "NMI " + ", ".join(f"{r.hyperparameters['clustering']} {r.value:.2f}" for r in agreed)


def _evaluation_words(records: Sequence[Record]) -> Iterator[str]:
    """The first metric, beside what a guess gets; the mean of several draws, for each variant or number of shots."""
    if not records:
        return
    metric, unit = records[0].metric, records[0].unit
    cases: dict[str, list[float]] = {}
    for record in (record for record in records if record.metric == metric):
        told = [
            str(record.hyperparameters[name]) for name in ("shots", "variant", "k") if _varies(name, records)
        ]
        cases.setdefault(" ".join(told), []).append(record.value)
    chance = records[0].outcomes.get("chance")
    guess = f" (chance {number(chance, unit)}{_sign(unit)})" if isinstance(chance, float) else ""
    values = ", ".join(
        f"{number(fmean(of), unit)}{_sign(unit)}" + (f" ({case})" if case else "")
        for case, of in cases.items()
    )
    yield f"{METRICS.get(metric, metric.replace('_at_', '@').replace('_', ' '))} {values}{guess}"
    nmi = next((record.value for record in records if record.metric == "nmi" != metric), None)
    if nmi is not None:
        yield f"NMI {nmi:.2f}"


def _varies(name: str, records: Sequence[Record]) -> bool:
    """Whether a setting, which all records of the first metric have, differs between them."""
    found = {r.hyperparameters.get(name) for r in records if r.metric == records[0].metric}
    return len(found) > 1 and None not in found


def _sign(unit: str) -> str:
    return f" {unit}" if unit else ""
