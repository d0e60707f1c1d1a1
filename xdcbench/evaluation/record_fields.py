"""What every record of a stage has in common."""

from pathlib import Path
from typing import Any

from xdcbench.config.base import Modality
from xdcbench.data.context import Context, elapsed
from xdcbench.data.index import Index
from xdcbench.data.validation.verify import verified_counts
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.utils.distributed import world_size
from xdcbench.utils.provenance import commit, versions

ARCHITECTURE = {"video": "R(2+1)D-18", "audio": "ResNet-18 (audio)"}


def record_fields(
    index: Index, metadata: EncoderMetadata, work: Path, context: Context, modality: Modality | None
) -> dict[str, Any]:
    """Fields of every record of ``metadata``'s encoders on ``index``: all but the number, its items and its settings.

    The encoder of ``modality`` is measured; None: both.
    """
    video = metadata.models.video.input
    several = {"processes": metadata.processes} if metadata.processes > 1 else {}
    frames = {"frames": video.frames, "size": video.size} if modality != "audio" else {}
    return {
        "run": work.name,
        "suite": context.suite,
        "method": metadata.method,
        "pretrain_data": metadata.pretrain_data,
        "pretrain_items": metadata.pretrain_items,
        "pretrain_subset": metadata.pretrain_subset,
        "pretrain_seed": metadata.seed,
        "architecture": " + ".join(
            architecture(metadata, m) for m in metadata.encoders if modality in (None, m)
        ),
        "dataset": index.name,
        "world": "synthetic" if index.world else "real",
        "fingerprint": index.fingerprint,
        "shards": index.shards,
        "verified": verified_counts(context.cache.parent / "data", index),
        "subset": index.subset,
        "official_splits": index.official,
        "hyperparameters": {**metadata.hyperparameters, **several, **frames, **index.strengths},
        "seconds": elapsed(context),
        "device": context.device,
        "world_size": world_size(),
        "versions": versions(),
        "commit": commit(),
    }


def architecture(metadata: EncoderMetadata, modality: Modality) -> str:
    """The encoder's name; a reduced one says its width and blocks, since it is not the paper's."""
    if modality in metadata.sources:
        return metadata.sources[modality]
    model = metadata.models.by_modality[modality]
    name = ARCHITECTURE[modality]
    if (model.width, model.blocks) == (64, (2, 2, 2, 2)):
        return name
    return f"{name}, width {model.width}, blocks {'-'.join(map(str, model.blocks))}"
