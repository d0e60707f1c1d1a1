"""The model card of exported encoders, in Markdown: what they are, what they learned from, how they did."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

from xdcbench.config.data import Dataset
from xdcbench.config.load import load_dataset
from xdcbench.config.models import VideoInput, Waveform
from xdcbench.config.paths import folder, names
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.models.pretrained.exported import MANIFEST, METADATA_FILE, Export, Exported
from xdcbench.models.pretrained.origins import OWN
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.predictions import cell_ends
from xdcbench.results.tables.cells import REPETITION, measured_cell
from xdcbench.results.tables.grid import Cell
from xdcbench.results.tables.render import escape_markdown
from xdcbench.utils.documents import RUN_AGAIN, check
from xdcbench.utils.format import natural

MEASURES = ("nmi",)
"""What is told beside shares in %; the other measures of clusters are in the records."""


@dataclass(frozen=True)
class Data:
    """What was learned from: its declaration, where one is known, and whether a synthetic world took its place."""

    name: str
    dataset: Dataset | None
    synthetic: bool = False


def data_of(about: RunFacts, metadata: EncoderMetadata, store: RunStore) -> Data:
    """The pretraining data of a run: as its index in ``store`` has it, else by name from the library."""
    index = about["inputs"].get("data", "-")
    if store.complete(index):
        found = read_facts(store.path(index))
        stated, place = found["config"].get("dataset"), f"{store.path(index) / 'run.json'}: config.dataset"
        dataset: Dataset = check(Dataset, stated, place, fix=RUN_AGAIN)
        return Data(metadata.pretrain_data, dataset, "world" in found["inputs"])
    known = metadata.pretrain_data in names(folder("configs") / "datasets")
    return Data(metadata.pretrain_data, load_dataset(metadata.pretrain_data) if known else None)


@dataclass(frozen=True)
class Score:
    """One number, over splits, draws and evaluation seeds, with its 95 % interval, and one of its records."""

    first: Record
    cell: Cell
    draws: int


def scores_of(key: str, store: RunStore) -> list[Score]:
    """All that the results folder's evaluations have found of the encoders of one run."""
    inputs = {k: read_facts(store.path(k))["inputs"] for k in store.keys()}  # noqa: SIM118
    features = {k for k, of in inputs.items() if k.startswith("features-") and of.get("encoders") == key}
    measured = [
        k
        for k, of in inputs.items()
        if of.get("features") in features or (of.get("encoders") == key and not k.startswith("round-"))
    ]
    return scores_from(read_records([store], measured), store)


def scores_from(records: Iterable[Record], store: RunStore) -> list[Score]:
    """The numbers of a card, from the records of one pair of encoders."""
    cells: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.unit == "%" or record.metric in MEASURES:
            settings = {name: value for name, value in record.hyperparameters.items() if name != REPETITION}
            cell = (record.evaluation, record.dataset, record.metric, record.config_hash, settings)
            cells[json.dumps(cell, sort_keys=True)].append(record)
    found = [
        Score(
            of[0],
            measured_cell(of, partial(cell_ends, stores=[store])),
            len({record.hyperparameters.get(REPETITION) for record in of}),
        )
        for of in cells.values()
    ]
    return sorted(found, key=lambda s: (s.first.evaluation, s.first.dataset, natural(s.first.metric)))


def card_text(export: Export, *, data: Data, scores: list[Score], about: RunFacts) -> str:
    """The model card of an export, whose run says ``about`` itself how its encoders were made."""
    kinds = {"video": "a video encoder", "audio": "an audio encoder"}
    return render_card(
        "model_card",
        export=export,
        data=data,
        about=about,
        kinds=[kinds[modality] for modality in export.encoders],
        encoders=_encoders(export),
        programs={m: encoder for m, encoder in export.encoders.items() if encoder.program},
        own=[m for m, encoder in export.encoders.items() if encoder.source == OWN[m == "audio"]],
        scores=score_table(scores),
        metadata_file=METADATA_FILE,
        manifest=MANIFEST,
    )


def render_card(name: str, **data: Any) -> str:
    """A card in Markdown from the template ``<name>.md.jinja``; its filter ``plain`` escapes names from data."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = escape_markdown
    return environment.get_template(f"{name}.md.jinja").render(**data)


def _encoders(export: Export) -> str:
    rows = [
        [m, escape_markdown(e.architecture), f"{e.parameters:,}", e.features, escape_markdown(_input(e))]
        for m, e in export.encoders.items()
    ]
    return _table(rows, ["modality", "architecture", "parameters", "features", "takes"])


def _input(encoder: Exported) -> str:
    of = encoder.input
    if isinstance(of, VideoInput):
        return f"{of.frames} RGB frames of {of.size} x {of.size} at {of.fps:g} per second"
    audio = f"{of.seconds:g} s of mono audio at {of.sample_rate} Hz"
    return audio if isinstance(of, Waveform) else f"{audio}, as {of.n_mels} x {of.frames} log-mel"


def score_table(scores: list[Score]) -> str:
    """Scores as a Markdown table, one row each; "" without any."""
    rows = []
    for score in scores:
        first, cell = score.first, score.cell
        alike = [s.first.hyperparameters for s in scores if s.first.evaluation == first.evaluation]
        telling = [
            f"{name}={value}"
            for name, value in first.hyperparameters.items()
            if name != REPETITION and any(other.get(name) != value for other in alike)
        ]
        draws = [f"mean of {score.draws} draws"] if score.draws > 1 else []
        rows.append(
            [
                escape_markdown(first.evaluation),
                escape_markdown(first.dataset) + (" (synthetic)" if first.world == "synthetic" else ""),
                escape_markdown(", ".join(cell.splits)),
                escape_markdown(", ".join([first.metric, *telling, *draws])),
                f"{cell.value:.2f} {cell.unit}".strip(),
                f"{cell.interval[0]:.1f} to {cell.interval[1]:.1f}" if cell.interval else "",
                cell.items_used,
                " ".join(f"`{run}`" for run in cell.runs),
            ]
        )
    head = ["evaluation", "dataset", "splits", "metric", "value", "95 % interval", "test items", "runs"]
    return _table(rows, head) if rows else ""


def _table(rows: list[list[Any]], head: list[str]) -> str:
    """A table; cells are Markdown already."""
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)
