"""Tables that no file states: one per dataset, with a column for each of its evaluations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from xdcbench.config.base import Modality
from xdcbench.config.evaluation import Clusters, CrossRetrieval, LowShot, Retrieval
from xdcbench.config.stages import EvaluationStage
from xdcbench.config.table import Column, Table
from xdcbench.results.records import Record
from xdcbench.utils.format import natural

WORDS = {"top1": "top-1", "cluster_accuracy": "cluster accuracy"}
RECALL = "recall_at_"


@dataclass(frozen=True)
class Measurement:
    """A number in per cent that speaks for an evaluation, on one split; ``shots`` as records of low-shot have them."""

    dataset: str
    evaluation: str
    protocol: str
    modality: Modality
    metric: str
    split: str
    shots: str = ""


def measurements_of_stage(config: EvaluationStage, dataset: str) -> Iterator[Measurement]:
    """What an evaluation will yield: top-1, accuracy of clusters, or recall at the smallest depth."""
    settings, metric = config.settings, "top1"
    if isinstance(settings, Retrieval | CrossRetrieval):
        metric = f"{RECALL}{min(settings.ks)}"
    elif isinstance(settings, Clusters):
        metric = "cluster_accuracy"
    for shots in settings.shots if isinstance(settings, LowShot) else ("",):
        yield Measurement(dataset, config.name, settings.kind, settings.modality, metric, config.split, shots)


def measurements_of_records(records: Iterable[Record]) -> Iterator[Measurement]:
    """What evaluations have yielded, sorted by dataset and evaluation; `measurements_of_stage` says which numbers."""
    found = {
        Measurement(
            r.dataset,
            r.evaluation,
            r.protocol,
            "video" if "frames" in r.hyperparameters else "audio",  # audio has no frames
            r.metric,
            r.split,
            str(r.hyperparameters.get("shots", "")),
        )
        for r in records
        if r.protocol != "round" and (r.metric in WORDS or r.metric.startswith(RECALL))
    }
    first: dict[tuple[str, str, str], str] = {}
    for one in sorted(found, key=_order):
        if first.setdefault((one.dataset, one.evaluation, one.protocol), one.metric) == one.metric:
            yield one


def _order(one: Measurement) -> tuple[object, ...]:
    """Smaller depths and numbers first, shares after numbers of items."""
    names = one.dataset, one.evaluation, one.metric
    return *map(natural, names), one.shots.endswith("%"), natural(one.shots), one.protocol, natural(one.split)


def default_tables(measurements: Iterable[Measurement], methods: Iterable[str] = ()) -> dict[str, Table]:
    """A table of each dataset, as ``dataset-NAME``; several splits make a mean.

    Args:
        measurements: what has a column, in the order of the columns.
        methods: order of the rows.
    """
    splits: dict[Measurement, dict[str, None]] = defaultdict(dict)
    for one in measurements:
        splits[replace(one, split="")][one.split] = None
    columns: dict[str, list[Column]] = defaultdict(list)
    for one, some in splits.items():
        columns[one.dataset].append(_column(one, split="mean" if len(some) > 1 else next(iter(some))))
    return {
        f"dataset-{name}": Table(title=f"Results on {name} (%)", methods=tuple(methods), columns=tuple(of))
        for name, of in columns.items()
    }


def _column(one: Measurement, *, split: str) -> Column:
    name = one.evaluation if one.modality in one.evaluation else f"{one.evaluation} ({one.modality})"
    shots = f"{one.shots} of the items" if one.shots.endswith("%") else f"{one.shots} per class"
    metric = WORDS.get(one.metric) or one.metric.replace(RECALL, "R@")
    return Column(
        title=", ".join([name, *([shots] if one.shots else []), metric]),
        evaluation=one.evaluation,
        protocol=one.protocol,
        dataset=one.dataset,
        split=split,
        metric=one.metric,
        hyperparameters={"shots": one.shots} if one.shots else {},
    )
