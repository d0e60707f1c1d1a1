"""The model card of exported encoders, in Markdown: what they are, what they learned from, how they did."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdcbench.config.data import Dataset
from xdcbench.config.load import load_dataset
from xdcbench.config.models import VideoInput
from xdcbench.config.paths import folder, names
from xdcbench.export.markdown import plain, table
from xdcbench.export.scores import Score, scores_text
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.models.pretrained.exported import MANIFEST, METADATA_FILE, Export, Exported
from xdcbench.models.pretrained.origins import OWN
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import RUN_AGAIN, check


@dataclass(frozen=True)
class Data:
    """What was learned from: its declaration, where one is known, and whether a synthetic world took its place."""

    name: str
    dataset: Dataset | None
    synthetic: bool = False


def data_of(about: RunFacts, metadata: EncoderMetadata, store: RunStore) -> Data:
    """The pretraining data of a run: as its index has it, else by name from the library.

    Args:
        about: the run's ``run.json``.
        metadata: of its encoders.
        store: that holds the run.
    """
    index = about["inputs"].get("data", "-")
    if store.complete(index):
        found = read_facts(store.path(index))
        stated, place = found["config"].get("dataset"), f"{store.path(index) / 'run.json'}: config.dataset"
        dataset: Dataset = check(Dataset, stated, place, fix=RUN_AGAIN)
        return Data(metadata.pretrain_data, dataset, "world" in found["inputs"])
    known = metadata.pretrain_data in names(folder("configs") / "datasets")
    return Data(metadata.pretrain_data, load_dataset(metadata.pretrain_data) if known else None)


def card_text(export: Export, *, data: Data, scores: list[Score], about: RunFacts) -> str:
    """The model card.

    Args:
        export: the folder's manifest.
        data: what was learned from.
        scores: found by evaluations.
        about: the run's ``run.json``, for how its encoders were made.
    """
    sections = {
        "Use": _use(export),
        "Encoders": _encoders(export),
        "Method": _method(export, about),
        "Data": _data(export, data),
        "Scores": scores_text(scores),
        "Intended use": USE,
        "Files": FILES,
        "Provenance": _provenance(export),
    }
    title = f"# {plain(f'{export.method} on {data.name}' if data.name != 'none' else export.method)}"
    parts = [title, _lead(export, data), *(f"## {name}\n\n{text}" for name, text in sections.items())]
    return "\n\n".join(parts) + "\n"


def _lead(export: Export, data: Data) -> str:
    """What this is, in a sentence or two, for whoever knows nothing of it."""
    both = " and ".join({"video": "a video encoder", "audio": "an audio encoder"}[m] for m in export.encoders)
    learned = plain(data.dataset.title if data.dataset else data.name)
    if data.synthetic:
        learned = f"a small synthetic world in the layout of {learned}: a trial, of no use for real media"
    made = "not trained" if data.name == "none" else f"pretrained on {learned}"
    return (
        f"{both.capitalize()}, {made}. Made and measured by xdcbench, a benchmark of learning from audio and video "
        "after XDC ([Alwassel et al., NeurIPS 2020](https://arxiv.org/abs/1911.12667))."
    )


def _use(export: Export) -> str:
    """Lines to copy: without this package, from torch.hub, in a suite."""
    lines = ["import torch", ""]
    for modality, encoder in export.encoders.items():
        if encoder.program:
            batch = "frames" if modality == "video" else "samples"
            lines += [
                f"# {batch}: {encoder.program.takes}",
                f'{modality} = torch.export.load("{encoder.program.file}").module()',
                f"features = {modality}({batch})  # float32 (B, {encoder.features})",
            ]
    own = [m for m, encoder in export.encoders.items() if encoder.source == OWN[m == "audio"]]
    if own:
        lines += ["# from a clone of xdcbench, to finetune"]
        lines += [
            f'{m} = torch.hub.load(CLONE, "xdc_{m}_encoder", source="local", pretraining=FOLDER)' for m in own
        ]
    code = "\n".join(lines) if len(lines) > 2 else ""
    suite = "In a suite of xdcbench: `encoders: {mine: {run: FOLDER}}`. FOLDER is where this file lies."
    return f"```python\n{code}\n```\n\n{suite}" if code else suite


def _encoders(export: Export) -> str:
    rows = [
        [m, plain(e.architecture), f"{e.parameters:,}", e.features, plain(_input(e))]
        for m, e in export.encoders.items()
    ]
    text = table(rows, ["modality", "architecture", "parameters", "features", "takes"])
    lacking = [
        f"\n\nThere is no program of the {m} encoder: torch.export cannot trace it ({plain(e.untraced)})."
        for m, e in export.encoders.items()
        if e.program is None
    ]
    return text + "".join(lacking)


def _input(encoder: Exported) -> str:
    of = encoder.input
    if isinstance(of, VideoInput):
        return f"{of.frames} RGB frames of {of.size} x {of.size} at {of.fps:g} per second"
    return f"{of.seconds:g} s of mono audio at {of.sample_rate} Hz, as {of.n_mels} x {of.frames} log-mel"


def _method(export: Export, about: RunFacts) -> str:
    made = about["config"]
    if about["kind"] == "init":
        return f"Random weights, drawn from seed {export.seed}: nothing was learned."
    if about["kind"] == "pretrained":
        parts = {m: part for m in export.encoders if (part := made["encoders"].get(m))}
        lines = [
            f"- {m}: {plain(part['source'])}, {plain(Path(part['weights'] or 'no weights').name)}"
            for m, part in parts.items()
        ]
        return "\n".join(["Not trained by this suite.", "", *lines]).rstrip()
    lines = []
    for modality, sources in made["heads"].items():
        said = [_labels(source, made["clusterings"].get(source)) for source in sources]
        lines.append(f"- The {modality} encoder predicts {' and '.join(said)}.")
    labeled = any("labels" in sources for sources in made["heads"].values())
    head = (
        f"{plain(export.method)}, with{'' if labeled else 'out'} labels: {_count(export.round, 'round')}, "
        f"{_count(export.epochs, 'epoch')} in all, seed {export.seed}."
    )
    return "\n".join([head, "", *lines])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _labels(source: str, clustering: dict[str, Any] | None) -> str:
    if clustering is None:
        return "the dataset's labels"
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
            "- A synthetic world that xdcbench wrote in this dataset's layout: no file of the dataset was seen."
        ]
        return "\n".join(said)
    said += [
        f"- License of the data: {plain((of and of.license) or 'not stated; ask whoever gave them to you')}"
    ]
    said += [f"- Source: {plain(of.source)}"] if of and of.source else []
    return "\n".join(said)


def _provenance(export: Export) -> str:
    facts = {
        "run": export.run,
        "stage": export.name,
        "suite": export.suite,
        "config_hash": export.config_hash,
        "commit": export.commit or "not known",
        "made with": ", ".join(f"{name} {version}" for name, version in export.versions.items()),
        "exported with": f"torch {export.exported_with['torch']}",
    }
    return "\n".join(f"- {name}: {plain(value)}" for name, value in facts.items())


USE = """\
Research: features for probing, retrieval and clustering of video or audio, and a start for finetuning. Nothing was
measured but what stands above, so nothing is known of other data, of other lengths of clips, or of how the encoders
treat people whom the data show. They inherit what their data got wrong, and are not for decisions about people."""

FILES = f"""\
- `<modality>.safetensors`: weights; `{METADATA_FILE}`: architecture and input, as xdcbench reads them.
- `{MANIFEST}`: all of this for programs, with the SHA-256 of each file.
- `<modality>.pt2`: an ExportedProgram, which gives features without xdcbench. torch may unpickle parts of such a file:
  load it only from whom you trust. The other files are read without running anything they hold."""
