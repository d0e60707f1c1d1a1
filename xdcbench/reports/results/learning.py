"""What is drawn of all methods together: learning and clusters of pretrainings, learning of evaluations."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

import numpy as np

from xdcbench.data.index import Index
from xdcbench.reports.clusters.chance import chance_of
from xdcbench.reports.clusters.clusters import labels_of
from xdcbench.reports.gather import Results, Run
from xdcbench.reports.results.charts import XAxis
from xdcbench.reports.results.overlays import Panel, Quantity, figure, modality_in, variants_of
from xdcbench.results.records import Record
from xdcbench.results.statistics.counterparts import varying
from xdcbench.results.tables.default import modality_of
from xdcbench.results.tables.present import method_titles
from xdcbench.utils.arrays import read_table
from xdcbench.utils.documents import RUN_AGAIN

HEAD = re.compile(r"(val_)?(video|audio)_(.+)_(loss|accuracy)")
LEARNED = {
    "loss": "Loss",
    "accuracy": "Accuracy on its labels",
    "val_loss": "Loss, held-out items",
    "val_accuracy": "Accuracy on its labels, held-out items",
}
MEASURED = {
    "nmi_class": "NMI of clusters with the classes",
    "purity": "Purity of clusters",
    "nmi_previous": "NMI of clusters with those of the round before",
}
CHANCE_DRAWS = 20
"""Permutations behind the lines of chance; their mean moves little."""

Chain = Sequence[Run]
Panels = dict[str, dict[str, Panel]]
"""Panels by quantity, then modality."""


def overlays(results: Results, chains: Sequence[Chain]) -> dict[str, Any]:
    """Figures of pretrainings, and of each evaluation that learns, with the names of the lines.

    ``legend`` holds names and variants; ``pretraining`` figures; ``evaluations`` a title and figures each.
    """
    pretrained = _named([(chain, _first_record(chain)) for chain in chains], results.titles)
    by_evaluation = {key: _named(of, results.titles) for key, of in _evaluations(results).items()}
    names = [name for of in (pretrained, *by_evaluation.values()) for name in of]
    variants = variants_of(sorted(names))
    drawn = _pretraining_figures(results, pretrained, variants)
    evaluations = [
        {"title": f"{evaluation} on {results.title(dataset)}", "figures": _evaluation_figures(of, variants)}
        for (evaluation, dataset), of in sorted(by_evaluation.items())
    ]
    return {
        "legend": variants,
        "pretraining": [one for one in drawn if one],
        "evaluations": [one for one in evaluations if one["figures"]],
    }


def _first_record(chain: Chain) -> Record | None:
    return next((record for run in chain for record in run.records), None)


def _evaluations(results: Results) -> dict[tuple[str, str], list[tuple[Chain, Record | None]]]:
    """Runs with curves by evaluation and dataset, pretrainings left out."""
    found: dict[tuple[str, str], list[tuple[Chain, Record | None]]] = defaultdict(list)
    for run in results.runs.values():
        if run.epochs and run.records and run.kind != "round":
            first = run.records[0]
            found[first.evaluation, first.dataset].append(([run], first))
    return found


def _named(
    members: Iterable[tuple[Chain, Record | None]], titles: Mapping[str, str]
) -> dict[str, list[Chain]]:
    """Chains by the name of their line; seeds and splits of one setting share it.

    A name is the method, then as far as needed its pretraining data, the settings that differ, the config hash.
    ``titles`` are those of datasets.
    """
    found: dict[tuple[str, str, str], list[tuple[Chain, Record]]] = defaultdict(list)
    for chain, record in members:
        if record is not None:
            found[record.method, record.pretrain_data, record.config_hash].append((chain, record))
    named: dict[str, list[Chain]] = {}
    for method, of in groupby(sorted(found), key=lambda key: key[0]):
        keys = list(of)
        data = [titles.get(name, name) for _, name, _ in keys]
        firsts = [found[key][0][1] for key in keys]
        for name, key in zip(_names(method, data, firsts), keys, strict=True):
            named[name] = [chain for chain, _ in found[key]]
    return dict(sorted(named.items()))


def _names(method: str, data: Sequence[str], firsts: Sequence[Record]) -> Iterator[str]:
    title = method_titles().get(method, method)
    several = len(set(data)) > 1
    telling = sorted(varying(firsts) - {"round", "clustering"})
    plain = [
        ", ".join(
            [title, *([of] if several else []), *(f"{n} {first.hyperparameters.get(n)}" for n in telling)]
        )
        for of, first in zip(data, firsts, strict=True)
    ]
    for name, first in zip(plain, firsts, strict=True):
        yield name if plain.count(name) == 1 else f"{name}, config {first.config_hash[:8]}"


def _pretraining_figures(
    results: Results, named: Mapping[str, Sequence[Chain]], variants: Mapping[str, int]
) -> Iterator[dict[str, Any] | None]:
    panels: Panels = defaultdict(lambda: defaultdict(Panel))
    ends, indices = set(), _Indices(results)
    for name, chains in named.items():
        for chain in chains:
            ends.add(tuple(_add_learning(panels, name, chain)))
            _add_levels(panels, chain, indices)
            _add_clusters(panels, name, chain)
    _add_chance(panels, [chain for chains in named.values() for chain in chains], indices)
    breaks = next(iter(ends)) if len(ends) == 1 else ()
    epochs = XAxis("epoch", breaks=tuple(end + 0.5 for end in breaks[:-1]))
    for quantity, title in LEARNED.items():
        known = (0.0, 1.0) if quantity.endswith("accuracy") else None
        made = figure(Quantity(title, epochs, known), panels[quantity], variants)
        yield made and made | {"folded": quantity.startswith("val_")}
    for quantity, title in MEASURED.items():
        made = figure(Quantity(title, XAxis("round"), (0.0, 1.0)), panels[quantity], variants)
        yield made and made | {"folded": False}


def _add_learning(panels: Panels, name: str, chain: Chain) -> Iterator[int]:
    """Means over the label sources of each encoder, by epochs of all rounds; yields where each round ends."""
    before = 0
    for run in chain:
        for row in run.epochs:
            means: dict[tuple[str, str], list[float]] = defaultdict(list)
            for key, value in row.items():
                if (head := HEAD.fullmatch(key)) and isinstance(value, int | float):
                    means[f"{head[1] or ''}{head[4]}", head[2]].append(float(value))
            for (quantity, modality), values in means.items():
                panels[quantity][modality].add(name, before + int(row["epoch"]), fmean(values))
        before += int(run.epochs[-1]["epoch"]) if run.epochs else 0
        yield before


class _Indices:
    """Indices of the datasets that runs learned from, each read once."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._known: dict[str, Index] = {}

    def of(self, run: Run) -> Index | None:
        """The index of a run's data; None where it is not here."""
        key = run.facts["inputs"].get("data", "")
        if key not in self._results.runs:
            return None
        if key not in self._known:
            self._known[key] = Index.load(self._results.runs[key].folder)
        return self._known[key]


def _add_levels(panels: Panels, chain: Chain, indices: _Indices) -> None:
    """What a uniform guess among the labels of each encoder gets."""
    config, index = chain[-1].facts["config"], indices.of(chain[-1])
    for modality, sources in config.get("heads", {}).items():
        ks = [
            config["clusterings"][one]["k"] if one in config["clusterings"] else index and len(index.classes)
            for one in sources
            if one in config["clusterings"] or one == "labels"
        ]
        for quantity in (one for one in LEARNED if modality in panels[one]):
            for k in (k for k in ks if isinstance(k, int) and k > 0):
                level = math.log(k) if quantity.endswith("loss") else 1 / k
                panels[quantity][modality].levels[f"chance, {k} labels"] = level


def _add_clusters(panels: Panels, name: str, chain: Chain) -> None:
    """Measures of clusters by round, of several clusterings of one modality their mean."""
    of = {key: c["features"] for key, c in chain[-1].facts["config"]["clusterings"].items()}
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for record in (record for run in chain for record in run.records):
        features = of.get(str(record.hyperparameters.get("clustering")))
        if record.metric in MEASURED and features:
            modality = modality_in(features)
            found[record.metric, modality, int(record.hyperparameters["round"])].append(record.value)
    for (metric, modality, number), values in found.items():
        panels[metric][modality].add(name, number, fmean(values))


def _add_chance(panels: Panels, chains: Sequence[Chain], indices: _Indices) -> None:
    """Purity and NMI of the last clusters with permuted labels, by modality the mean over the pretrainings."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for last in (chain[-1] for chain in chains):
        index, path = indices.of(last), last.folder / "assignments.parquet"
        if index is None or not path.exists():
            continue
        table = read_table(path, fix=RUN_AGAIN).set_index("id").reindex(index.items["id"])
        labels, clusterings = labels_of(index), last.facts["config"]["clusterings"]
        for name in clusterings.keys() & set(table):
            chance = chance_of(table[name].to_numpy(dtype=np.float64), labels, seed=0, draws=CHANCE_DRAWS)
            if chance is not None:
                modality = modality_in(clusterings[name]["features"])
                found["purity", modality].append(chance.purity)
                found["nmi_class", modality] += [] if chance.nmi is None else [chance.nmi]
    for (quantity, modality), values in found.items():
        if values:
            panels[quantity][modality].levels["chance"] = fmean(values)


def _evaluation_figures(
    named: Mapping[str, Sequence[Chain]], variants: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Loss and accuracy of one evaluation by epoch, held-out items in figures of their own."""
    panels: Panels = defaultdict(lambda: defaultdict(Panel))
    for name, chains in named.items():
        for run in (run for chain in chains for run in chain):
            modality = modality_of(run.records[0])
            for row in run.epochs:
                for quantity in LEARNED.keys() & row.keys():
                    if isinstance(row[quantity], int | float):
                        panels[quantity][modality].add(name, int(row["epoch"]), float(row[quantity]))
            chance = run.records[0].outcomes.get("chance")
            if isinstance(chance, float):
                panels["accuracy"][modality].levels["chance"] = chance / 100
    drawn = (
        figure(
            Quantity(
                title.replace(" on its labels", ""), XAxis("epoch"), (0.0, 1.0) if "acc" in quantity else None
            ),
            panels[quantity],
            variants,
        )
        for quantity, title in LEARNED.items()
    )
    return [one for one in drawn if one]
