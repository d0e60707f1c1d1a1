"""Tables that no file states: one per dataset, with a column for each of its evaluations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from xdcbench.config.base import Modality
from xdcbench.config.evaluation import (
    KNN,
    PLAIN,
    Clusters,
    CrossRetrieval,
    Evaluation,
    Fusion,
    LowShot,
    Retrieval,
    Temporal,
    shot_names,
)
from xdcbench.config.stages import EvaluationStage
from xdcbench.config.table import Column, Table
from xdcbench.results.records import Record
from xdcbench.results.tables.titles import dataset_titles
from xdcbench.utils.format import natural

WORDS = {"top1": "top-1", "mAP": "mAP", "cluster_accuracy": "cluster accuracy"}
RECALL = "recall_at_"

KINDS = ("shots", "neighbors", "modalities", "variant")
"""Hyperparameters by which several numbers of one evaluation are told apart."""


Kinds = tuple[tuple[str, str | int], ...]


@dataclass(frozen=True)
class Measurement:
    """A number in per cent that speaks for an evaluation, on one split.

    ``modality`` is empty for an evaluation of both. ``kinds`` are names and values of `KINDS`, in that order.
    """

    dataset: str
    evaluation: str
    protocol: str
    modality: Modality | Literal[""]
    metric: str
    split: str
    kinds: Kinds = ()


def measurements_of_stage(
    config: EvaluationStage, dataset: str, *, multi_label: bool
) -> Iterator[Measurement]:
    """What an evaluation will yield: top-1, mAP, accuracy of clusters, or recall at the smallest depth.

    ``multi_label``: whether items of the dataset have several classes each.
    """
    settings, metric = config.settings, "mAP" if multi_label else "top1"
    if depths := _depths(settings):
        metric = f"{RECALL}{min(depths)}"
    elif isinstance(settings, Clusters):
        metric = "cluster_accuracy"
    modality = "" if isinstance(settings, Fusion) else settings.modality
    for kinds in _kinds_of(settings):
        yield Measurement(dataset, config.name, settings.kind, modality, metric, config.split, kinds)


def _depths(settings: Evaluation) -> tuple[int, ...]:
    """At which recall is measured; none by other evaluations."""
    match settings:
        case Retrieval() | CrossRetrieval() | Fusion(by="retrieval"):
            return settings.ks
    return ()


def _kinds_of(settings: Evaluation) -> list[Kinds]:
    match settings:
        case LowShot():
            return _shots(settings)
        case KNN():
            return [(("neighbors", k),) for k in settings.ks]
        case Fusion():
            several = _shots(settings) if settings.by == "low_shot" else [()]
            return [(*one, ("modalities", name)) for one in several for name in ("audio", "video", "fused")]
        case Temporal():
            return [(("variant", name),) for name in (PLAIN, *settings.variants)]
    return [()]


def _shots(settings: LowShot | Fusion) -> list[Kinds]:
    return [(("shots", name),) for name in shot_names(settings.per_class, settings.fractions)]


def measurements_of_records(records: Iterable[Record]) -> Iterator[Measurement]:
    """What evaluations have yielded, sorted by dataset and evaluation; `measurements_of_stage` says which numbers."""
    found = {
        Measurement(r.dataset, r.evaluation, r.protocol, modality_of(r), r.metric, r.split, _kinds(r))
        for r in records
        if r.protocol != "round" and (r.metric in WORDS or r.metric.startswith(RECALL))
    }
    first: dict[tuple[str, str, str], str] = {}
    for one in sorted(found, key=_order):
        if first.setdefault((one.dataset, one.evaluation, one.protocol), one.metric) == one.metric:
            yield one


def modality_of(record: Record) -> Modality | Literal[""]:
    """The modality whose encoder a record measures; empty for both."""
    if "modalities" in record.hyperparameters:
        return ""
    return "video" if "frames" in record.hyperparameters else "audio"  # audio has no frames


def _kinds(record: Record) -> Kinds:
    named = record.hyperparameters
    return tuple((name, named[name]) for name in KINDS if named.get(name) is not None)


def _order(one: Measurement) -> tuple[object, ...]:
    """Smaller depths and numbers first, shares after numbers of items."""
    names, values = (one.dataset, one.evaluation, one.metric), [str(value) for _, value in one.kinds]
    kinds = [(value.endswith("%"), natural(value)) for value in values]
    return *map(natural, names), kinds, one.protocol, natural(one.split)


def default_tables(
    measurements: Iterable[Measurement],
    methods: Iterable[str] = (),
    titles: Mapping[str, str] | None = None,
) -> dict[str, Table]:
    """A table of each dataset, as ``dataset-NAME``; several splits make a mean.

    Args:
        measurements: what has a column, in the order of the columns.
        methods: order of the rows.
        titles: of datasets, by name; None: those of the library.
    """
    splits: dict[Measurement, dict[str, None]] = defaultdict(dict)
    for one in measurements:
        splits[replace(one, split="")][one.split] = None
    columns: dict[str, list[Column]] = defaultdict(list)
    for one, some in splits.items():
        columns[one.dataset].append(_column(one, split="mean" if len(some) > 1 else next(iter(some))))
    titles = dataset_titles() if titles is None else titles
    return {
        f"dataset-{name}": Table(
            title=f"Results on {titles.get(name, name)} (%)", methods=tuple(methods), columns=tuple(of)
        )
        for name, of in columns.items()
    }


def _column(one: Measurement, *, split: str) -> Column:
    told = not one.modality or one.modality in one.evaluation
    name = one.evaluation if told else f"{one.evaluation} ({one.modality})"
    metric = WORDS.get(one.metric) or one.metric.replace(RECALL, "R@")
    return Column(
        title=", ".join([name, *(_words(*kind) for kind in one.kinds), metric]),
        evaluation=one.evaluation,
        protocol=one.protocol,
        dataset=one.dataset,
        split=split,
        metric=one.metric,
        hyperparameters=dict(one.kinds),
    )


def _words(name: str, value: str | int) -> str:
    match name:
        case "shots":
            return f"{value} of the items" if str(value).endswith("%") else f"{value} per class"
        case "neighbors":
            return f"k = {value}"
        case _:
            return str(value)
