"""The list of runs: each with its settings, inputs, records and curves, where links from numbers lead."""

from collections.abc import Collection
from typing import Any

from xdcbench.reports.gather import Results, Run
from xdcbench.reports.results.costs import device
from xdcbench.reports.results.pretrainings import curves
from xdcbench.reports.words import hyperparameters, settings, shown
from xdcbench.results.statistics.counterparts import varying
from xdcbench.results.tables.default import modality_of
from xdcbench.utils.format import duration

HEADLINES = ("top1", "mAP", "recall_at_1", "cluster_accuracy", "nmi_class")
"""The metric that stands for a run in the list: the first of these that it has."""


DETAILED = 1000
"""Runs up to which each is shown with its settings, numbers and curves; of more, `show` tells them."""


def listing(results: Results, keys: Collection[str], *, anchor: str) -> list[dict[str, Any]]:
    """The runs ``keys`` by name, as the template shows them; ``anchor`` goes before their keys in links."""
    runs = sorted((results.runs[key] for key in keys), key=lambda run: (run.name, run.key))
    view = _line if len(runs) > DETAILED else _view
    return [view(run, keys, anchor) for run in runs]


def _line(run: Run, listed: Collection[str], anchor: str) -> dict[str, Any]:
    """What the list says of a run at first sight."""
    by_metric = {record.metric: record for record in reversed(run.records)}
    headline = next((by_metric[metric] for metric in HEADLINES if metric in by_metric), None)
    return {
        "anchor": f"{anchor}-{run.key}",
        "key": run.key,
        "kind": run.kind,
        "name": run.name,
        "suite": run.facts["suite"],
        "headline": headline and {"of": headline, "text": shown(headline)},
        "seconds": run.seconds,
        "duration": duration(run.seconds),
        "device": device(run),
        "detailed": False,
        "inputs": [
            {"name": name, "key": key, "there": key in listed, "anchor": f"{anchor}-{key}"}
            for name, key in run.facts["inputs"].items()
        ],
    }


def _view(run: Run, listed: Collection[str], anchor: str) -> dict[str, Any]:
    """A run with all that is known of it."""
    facts, telling = run.facts, varying(run.records)
    return _line(run, listed, anchor) | {
        "detailed": True,
        "commit": facts["commit"],
        "settings": settings(facts["science"]),
        "records": [
            {"metric": r.metric, "value": shown(r), "unit": r.unit, "told": hyperparameters(r, telling)}
            for r in run.records
        ],
        "first": next(iter(run.records), None),
        "curves": curves(
            [(int(row["epoch"]), row) for row in run.epochs],
            modality=modality_of(run.records[0]) if run.records else "",
        ),
    }
