"""The model card of exported encoders, in Markdown: what they are, what they learned from, how they did."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xdcbench.config.data import Dataset
from xdcbench.config.load import load_dataset
from xdcbench.config.models import VideoInput
from xdcbench.config.paths import folder, names
from xdcbench.export.scores import Score, markdown_table, scores_text
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.models.pretrained.exported import MANIFEST, METADATA_FILE, Export, Exported
from xdcbench.models.pretrained.origins import OWN
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.render import escape_markdown
from xdcbench.utils.documents import RUN_AGAIN, check


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


def card_text(export: Export, *, data: Data, scores: list[Score], about: RunFacts) -> str:
    """The model card of an export, whose run says ``about`` itself how its encoders were made."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = escape_markdown
    kinds = {"video": "a video encoder", "audio": "an audio encoder"}
    return environment.get_template("model_card.md.jinja").render(
        export=export,
        data=data,
        about=about,
        kinds=[kinds[modality] for modality in export.encoders],
        encoders=_encoders(export),
        programs={m: encoder for m, encoder in export.encoders.items() if encoder.program},
        own=[m for m, encoder in export.encoders.items() if encoder.source == OWN[m == "audio"]],
        scores=scores_text(scores),
        metadata_file=METADATA_FILE,
        manifest=MANIFEST,
    )


def _encoders(export: Export) -> str:
    rows = [
        [m, escape_markdown(e.architecture), f"{e.parameters:,}", e.features, escape_markdown(_input(e))]
        for m, e in export.encoders.items()
    ]
    return markdown_table(rows, ["modality", "architecture", "parameters", "features", "takes"])


def _input(encoder: Exported) -> str:
    of = encoder.input
    if isinstance(of, VideoInput):
        return f"{of.frames} RGB frames of {of.size} x {of.size} at {of.fps:g} per second"
    return f"{of.seconds:g} s of mono audio at {of.sample_rate} Hz, as {of.n_mels} x {of.frames} log-mel"
