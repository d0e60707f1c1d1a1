"""The model card of exported encoders, in Markdown: what they are, what they learned from, how they did."""

import html
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tabulate import tabulate

from xdcbench.config import load_dataset
from xdcbench.models.encoders import Card
from xdcbench.models.exported import CARD, MANIFEST, Export, Exported
from xdcbench.resources import folder, names
from xdcbench.results.records import Record, read_records
from xdcbench.results.statistics.predictions import cell_interval
from xdcbench.schema import Dataset, VideoInput
from xdcbench.store import Store, read_json

INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
"""Control characters, and those that turn the direction of what follows them."""


@dataclass(frozen=True)
class Score:
    """One cell: the mean over the splits that were measured, and its 95 % interval over test items."""

    records: tuple[Record, ...]
    interval: tuple[float, float] | None

    @property
    def value(self) -> float:
        """Mean over splits, in the records' unit."""
        return fmean(record.value for record in self.records)


@dataclass(frozen=True)
class Data:
    """What was learned from: its declaration, where one is known, and whether a synthetic world took its place."""

    name: str
    dataset: Dataset | None
    synthetic: bool = False


def data_of(about: dict[str, Any], card: Card, store: Store) -> Data:
    """The pretraining data of a run: as its index has it, else by name from the library.

    Args:
        about: the run's ``run.json``.
        card: of its encoders.
        store: that holds the run.
    """
    index = store.path(about["inputs"].get("data", "-")) / "run.json"
    if index.is_file():
        found = read_json(index)
        return Data(
            card.pretrain_data, Dataset.model_validate(found["config"]["dataset"]), "world" in found["inputs"]
        )
    known = card.pretrain_data in names(folder("configs") / "datasets")
    return Data(card.pretrain_data, load_dataset(card.pretrain_data) if known else None)


def scores_of(key: str, store: Store) -> list[Score]:
    """All that the results folder's evaluations have found of the encoders of one run.

    Raises:
        UserError: predictions that cannot be read.
    """
    inputs = {k: read_json(store.path(k) / "run.json")["inputs"] for k in store.keys()}  # noqa: SIM118
    features = {k for k, of in inputs.items() if k.startswith("features-") and of.get("encoders") == key}
    measured = [
        k
        for k, of in inputs.items()
        if of.get("features") in features or (of.get("encoders") == key and not k.startswith("round-"))
    ]
    cells: dict[str, list[Record]] = defaultdict(list)
    for record in read_records([store], measured):
        if record.unit not in ("%", ""):  # sizes and bits describe clusters, not the encoders
            continue
        cell = (record.evaluation, record.dataset, record.metric, record.recipe, record.seed, record.factors)
        cells[json.dumps(cell, sort_keys=True)].append(record)
    scores = []
    for _, records in sorted(cells.items()):
        found = cell_interval(records, [store])
        scores.append(Score(tuple(records), (found.low, found.high) if found else None))
    return scores


def card_text(export: Export, *, data: Data, scores: list[Score], about: dict[str, Any]) -> str:
    """The model card.

    Args:
        export: the folder's manifest.
        data: what was learned from.
        scores: found by evaluations.
        about: the run's ``run.json``, for how its encoders were made.
    """
    sections = {
        "Encoders": _encoders(export),
        "Method": _method(export, about),
        "Data": _data(export, data),
        "Scores": _scores(scores),
        "Intended use": USE,
        "Files": FILES,
        "Provenance": _provenance(export),
    }
    title = plain(f"{export.method}, {export.pretrain_data}, seed {export.seed}, round {export.round}")
    return "\n\n".join([f"# {title}", *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"


def plain(text: object) -> str:
    """A string of the user's as Markdown that shows it as it is, on one line, whatever it holds."""
    flat = INVISIBLE.sub(" ", str(text)).strip()
    return html.escape(re.sub(r"([\\`*\[\]|$~#!]|(?<!\w)_|_(?!\w))", r"\\\1", flat), quote=False)


def _encoders(export: Export) -> str:
    rows = [
        [m, plain(e.architecture), f"{e.parameters:,}", e.features, plain(_input(e))]
        for m, e in export.encoders.items()
    ]
    text = _table(rows, ["modality", "architecture", "parameters", "features", "takes"])
    lacking = [
        f"\n\nThere is no program of the {m} encoder: torch.export cannot trace it ({plain(e.untraced)})."
        for m, e in export.encoders.items()
        if e.program is None
    ]
    return text + "".join(lacking)


def _input(encoder: Exported) -> str:
    of = encoder.input
    if isinstance(of, VideoInput):
        return f"{of.frames} RGB frames of {of.size} x {of.size} at {of.rate:g} per second"
    return f"{of.seconds:g} s of mono sound at {of.rate} Hz, as {of.mels} x {of.frames} log-mel"


def _method(export: Export, about: dict[str, Any]) -> str:
    made = about["config"]
    if about["kind"] == "init":
        return f"Random weights, drawn from seed {export.seed}: nothing was learned."
    if about["kind"] == "given":
        parts = {m: part for m in export.encoders if (part := made["given"].get(m))}
        lines = [
            f"- {m}: {plain(part['source'])}, {plain(Path(part['weights'] or 'no weights').name)}"
            for m, part in parts.items()
        ]
        return "\n".join(["Not trained by this suite.", "", *lines]).rstrip()
    lines = []
    for modality, sources in made["heads"].items():
        said = [_labels(source, made["clusterings"].get(source)) for source in sources]
        lines.append(f"- The {modality} encoder predicts {' and '.join(said)}.")
    head = f"{plain(export.method)}: rounds {export.round}, epochs in all {export.epochs}."
    return "\n".join([head, "", *lines])


def _labels(source: str, clustering: dict[str, Any] | None) -> str:
    if clustering is None:
        return f"{plain(source)}"
    return f"{clustering['k']} clusters of {' and '.join(clustering['features'])} features"


def _data(export: Export, data: Data) -> str:
    if data.name == "none":
        return "None."
    of = data.dataset
    said = [f"- Name: {plain(f'{of.title} ({data.name})' if of else data.name)}"]
    said += [f"- Items: {export.pretrain_items:,}"] if export.pretrain_items else []
    said += [f"- Subset: {plain(export.pretrain_subset)}"] if export.pretrain_subset else []
    if data.synthetic:
        said += [
            "- A synthetic world that xdcbench wrote in this data set's layout: no file of the data set was seen."
        ]
        return "\n".join(said)
    said += [
        f"- Licence of the data: {plain((of and of.licence) or 'not stated; ask whoever gave them to you')}"
    ]
    said += [f"- Source: {plain(of.source)}"] if of and of.source else []
    return "\n".join(said)


def _scores(scores: list[Score]) -> str:
    if not scores:
        return (
            "None yet: no evaluation of these encoders is in the results folder that they were exported from."
        )
    rows = []
    for score in scores:
        first = score.records[0]
        alike = [s.records[0].factors for s in scores if s.records[0].evaluation == first.evaluation]
        telling = {k: v for k, v in first.factors.items() if any(other.get(k) != v for other in alike)}
        ends = f"{score.interval[0]:.1f} to {score.interval[1]:.1f}" if score.interval else ""
        rows.append(
            [
                plain(first.evaluation),
                plain(first.dataset) + (" (synthetic)" if first.world == "synthetic" else ""),
                plain(", ".join(record.split for record in score.records)),
                plain(" ".join([first.metric, *(f"{k}={v}" for k, v in telling.items())])),
                f"{score.value:.2f} {first.unit}".strip(),
                ends,
                sum(record.items_used for record in score.records),
                " ".join(f"`{record.run}`" for record in score.records),
            ]
        )
    head = ["evaluation", "data set", "splits", "metric", "value", "95 % interval", "test items", "runs"]
    note = (
        "Means over the splits named. Intervals say what other test items would have given, not other seeds."
    )
    return f"{_table(rows, head)}\n\n{note}"


def _provenance(export: Export) -> str:
    facts = {
        "run": export.run,
        "stage": export.name,
        "suite": export.suite,
        "recipe": export.recipe,
        "commit": export.commit or "not known",
        "made with": ", ".join(f"{name} {version}" for name, version in export.versions.items()),
        "exported with": f"torch {export.exported_with['torch']}",
    }
    return "\n".join(f"- {name}: {plain(value)}" for name, value in facts.items())


def _table(rows: list[list[Any]], head: list[str]) -> str:
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)


USE = """\
Research: features for probing, retrieval and clustering of video or sound, and a start for finetuning. Nothing was
measured but what stands above, so nothing is known of other data, of other lengths of clips, or of how the encoders
treat people whom the data show. They inherit what their data got wrong, and are not for decisions about people."""

FILES = f"""\
- `<modality>.safetensors`: weights; `{CARD}`: architecture and input, as xdcbench reads them.
- `{MANIFEST}`: all of this for programs, with the SHA-256 of each file.
- `<modality>.pt2`: `torch.export.load(file).module()(batch)` gives features without xdcbench; the input is stated in
  `{MANIFEST}`. torch may unpickle parts of such a file: load it only from whom you trust. The other files are read
  without running anything they hold.

In a suite: `encoders: {{mine: {{run: FOLDER}}}}`. From torch.hub: `xdc_video_encoder(pretraining=FOLDER)` and
`xdc_audio_encoder(pretraining=FOLDER)`."""
