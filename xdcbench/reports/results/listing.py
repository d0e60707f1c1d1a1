"""The list of runs: each with its settings, inputs, records and curves, where links from numbers lead."""

from collections.abc import Collection
from typing import Any

from xdcbench.reports.results.costs import device
from xdcbench.reports.results.gather import Results, Run
from xdcbench.reports.results.pretrainings import curves
from xdcbench.reports.results.words import hyperparameters, settings, shown
from xdcbench.results.statistics.counterparts import varying
from xdcbench.utils.format import duration

HEADLINES = ("top1", "mAP", "recall_at_1", "cluster_accuracy", "nmi_class")
"""The metric that stands for a run in the list: the first of these that it has."""


def listing(results: Results, keys: Collection[str], *, anchor: str) -> list[dict[str, Any]]:
    """The runs ``keys`` by name, as the template shows them; ``anchor`` goes before their keys in links."""
    runs = sorted((results.runs[key] for key in keys), key=lambda run: (run.name, run.key))
    return [_view(run, keys, anchor) for run in runs]


def _view(run: Run, listed: Collection[str], anchor: str) -> dict[str, Any]:
    facts, telling = run.facts, varying(run.records)
    by_metric = {record.metric: record for record in reversed(run.records)}
    headline = next((by_metric[metric] for metric in HEADLINES if metric in by_metric), None)
    return {
        "anchor": f"{anchor}-{run.key}",
        "key": run.key,
        "kind": run.kind,
        "name": run.name,
        "suite": facts["suite"],
        "headline": headline and {"of": headline, "text": shown(headline)},
        "seconds": run.seconds,
        "duration": duration(run.seconds),
        "device": device(run),
        "commit": facts["commit"],
        "settings": settings(facts["science"]),
        "inputs": [
            {"name": name, "key": key, "there": key in listed, "anchor": f"{anchor}-{key}"}
            for name, key in facts["inputs"].items()
        ],
        "records": [
            {"metric": r.metric, "value": shown(r), "unit": r.unit, "told": hyperparameters(r, telling)}
            for r in run.records
        ],
        "first": next(iter(run.records), None),
        "curves": curves([(int(row["epoch"]), row) for row in run.epochs]),
    }
