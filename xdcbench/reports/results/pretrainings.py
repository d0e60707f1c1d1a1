"""Pretraining as one sees it: learning curves, and the health of the clusters, over the rounds of each chain."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xdcbench.reports.gather import Results, Run
from xdcbench.reports.results.charts import Chart, Point, Series, XAxis, chart
from xdcbench.reports.results.learning import HEAD
from xdcbench.reports.results.overlays import STYLES, modality_in
from xdcbench.reports.words import shown
from xdcbench.results.records import Record
from xdcbench.results.tables.present import method_titles
from xdcbench.utils.format import duration

MEASURES = {"nmi_class": "NMI with class", "nmi_previous": "NMI with round before", "purity": "Purity"}
SIZES = ("clusters_size_min", "clusters_size_median", "clusters_size_max")


def pretrainings(
    results: Results, chains: Iterable[Sequence[Run]], pages: Mapping[str, str], *, charts: bool
) -> list[dict[str, Any]]:
    """Each pretraining with its numbers and, where wanted, its charts, by method, then data, then seed.

    ``pages`` are links to pages of clusters by the key of their round.
    """
    views = [_view(chain, results, pages, charts=charts) for chain in chains]
    return sorted(views, key=lambda view: (view["method"], view["name"], view["key"]))


def chains_of(results: Results) -> Iterator[list[Run]]:
    """The rounds of each pretraining, in their order: from one that no other continues from, back to the first."""
    rounds = {key: run for key, run in results.runs.items() if run.kind == "round"}
    gone_on = {run.facts["inputs"].get("encoders") for run in rounds.values()}
    for key in sorted(rounds.keys() - gone_on):
        chain, at = [rounds[key]], rounds[key]
        while (before := at.facts["inputs"].get("encoders")) in rounds:
            at = rounds[before]
            chain.append(at)
        yield chain[::-1]


def _view(
    rounds: Sequence[Run], results: Results, pages: Mapping[str, str], *, charts: bool
) -> dict[str, Any]:
    last, science = rounds[-1], rounds[-1].facts["config"]
    styles = {name: STYLES[modality_in(c["features"])] for name, c in science["clusterings"].items()}
    origins = {name: ", ".join(c["features"]) for name, c in science["clusterings"].items()}
    origins |= dict.fromkeys(science.get("assignments", {}), "of an earlier run")
    records = [record for run in rounds for record in run.records]
    return {
        "method": method_titles().get(science["method"], science["method"]),
        "name": re.sub(r"/round\d+$", "", last.name),
        "key": last.key,
        "data": results.title(records[0].pretrain_data) if records else "",
        "seed": science["seed"],
        "seconds": duration(sum(run.seconds for run in rounds)),
        "rounds": [
            {"number": run.facts["config"]["round"], "key": run.key, "page": pages.get(run.key)}
            for run in rounds
        ],
        "clusterings": origins,
        "charts": [*_learning(rounds), *(one for one in _health(records, styles) if one)] if charts else [],
        "last": _last(records),
        "table": _table(records),
    }


def _learning(rounds: Sequence[Run]) -> list[Chart]:
    """Loss and accuracy by head over all epochs; a round begins where a line does."""
    starts, rows = [], list[tuple[int, dict[str, Any]]]()
    for run in rounds:
        before = rows[-1][0] if rows else 0
        starts.append(before)
        rows += [(before + int(row["epoch"]), row) for row in run.epochs]
    return curves(rows, breaks=[start + 0.5 for start in starts[1:] if start])


def curves(
    rows: Sequence[tuple[int, dict[str, Any]]], *, modality: str = "", breaks: Sequence[float] = ()
) -> list[Chart]:
    """Charts of loss and accuracy of what was trained, one line per head, held-out items thin behind.

    ``rows`` are epochs with the row of ``metrics.jsonl`` that sums each up, of an encoder of ``modality`` where
    they name no heads; at ``breaks`` a round ends.
    """
    x = XAxis("epoch", breaks=tuple(breaks))
    drawn = (
        chart("Loss", list(_lines(rows, "loss", modality)), x, may_log=True),
        chart("Accuracy on its labels", list(_lines(rows, "accuracy", modality)), x, y_range=(0.0, 1.0)),
    )
    return [one for one in drawn if one]


def _lines(rows: Sequence[tuple[int, dict[str, Any]]], measure: str, modality: str) -> Iterator[Series]:
    """Lines of the training part and of the held-out one; heads of one encoder have its color."""
    names = dict.fromkeys(name for _, row in rows for name in row)
    heads = [found.groups() for name in names if (found := HEAD.fullmatch(name)) and found[4] == measure]
    whole = [(part, modality, "", measure) for part in ("", "val_")]
    counts = Counter[tuple[str | None, str]]()
    for part, of, labels, _ in heads or whole:
        counts[part, of] += 1
        said = f"{of}, labels {labels}" if labels else "training"
        name = f"{part or ''}{of}_{labels}_{measure}" if labels else f"{part or ''}{measure}"
        yield Series(
            f"{said}, held out" if part else said,
            tuple(Point(epoch, row[name]) for epoch, row in rows if isinstance(row.get(name), int | float)),
            style=STYLES[of],
            faint=bool(part),
            variant=counts[part, of],
        )


def _last(records: Sequence[Record]) -> str:
    """NMI of the last clusterings with the classes, in words."""
    found = [
        record
        for record in records
        if record.metric == "nmi_class" and "clustering" in record.hyperparameters
    ]
    last = max((int(record.hyperparameters["round"]) for record in found), default=0)
    of = (r for r in found if r.hyperparameters["round"] == last)
    said = ", ".join(f"{r.hyperparameters['clustering']} {r.value:.2f}" for r in of)
    return f"NMI {said}" if said else ""


def _health(records: Sequence[Record], styles: dict[str, int]) -> Iterator[Chart | None]:
    sizes = [
        Series(f"clusters {name}", _sizes(records, name), style=style, band=True)
        for name, style in styles.items()
    ]
    most = [point.high or point.y for one in sizes for point in one.points]
    yield chart("Cluster size, least to most", sizes, XAxis("round"), y_range=(0.0, max(most, default=1.0)))
    for metric, title in MEASURES.items():
        lines = [
            Series(f"clusters {name}", tuple(Point(*at) for at in _over_rounds(records, metric, name)), style)
            for name, style in styles.items()
        ]
        yield chart(title, lines, XAxis("round"), y_range=(0.0, 1.0))


def _sizes(records: Sequence[Record], name: str) -> tuple[Point, ...]:
    low, middle, high = (dict(_over_rounds(records, metric, name)) for metric in SIZES)
    return tuple(Point(n, middle[n], low.get(n), high.get(n)) for n in sorted(middle))


def _over_rounds(records: Sequence[Record], metric: str, clustering: str) -> list[tuple[int, float]]:
    return sorted(
        (int(record.hyperparameters["round"]), record.value)
        for record in records
        if record.metric == metric and record.hyperparameters.get("clustering") == clustering
    )


def _table(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row per round and clustering, with the run that each is of."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for record in records:
        if "clustering" in record.hyperparameters:
            at = int(record.hyperparameters["round"]), str(record.hyperparameters["clustering"])
            row = rows.setdefault(at, {"round": at[0], "clustering": at[1], "key": record.run})
            row[record.metric] = shown(record)
    return [row for _, row in sorted(rows.items())]
