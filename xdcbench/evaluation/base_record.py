"""What every record of a stage has in common."""

from pathlib import Path

from xdcbench.config.base import Modality
from xdcbench.data.context import Context, elapsed
from xdcbench.data.index import Index
from xdcbench.data.validation.verify import verified_counts
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.results.records import Record
from xdcbench.utils.distributed import world_size
from xdcbench.utils.precision import Precision
from xdcbench.utils.provenance import commit, versions

ARCHITECTURE = {"video": "R(2+1)D-18", "audio": "ResNet-18 (audio)"}


def base_record(
    index: Index,
    metadata: EncoderMetadata,
    work: Path,
    context: Context,
    *,
    modality: Modality | None,
    precision: Precision,
    config_hash: str,
) -> Record:
    """A record of ``metadata``'s encoders on ``index`` without its number; fill in by ``model_copy``.

    Args:
        index: the dataset.
        metadata: the encoders.
        work: the run directory that will hold the record.
        context: of the stage.
        modality: the encoder that is measured; None for both.
        precision: of the forward pass, resolved.
        config_hash: of the number.
    """
    video = metadata.models.video.input
    frames = {"frames": video.frames, "size": video.size} if modality != "audio" else {}
    return Record(
        run=work.name,
        suite=context.suite,
        method=metadata.method,
        pretrain_data=metadata.pretrain_data,
        pretrain_items=metadata.pretrain_items,
        pretrain_subset=metadata.pretrain_subset,
        config_hash=config_hash,
        architecture=" + ".join(
            architecture(metadata, m) for m in metadata.encoders if modality in (None, m)
        ),
        evaluation="",
        protocol="",
        evaluation_version=0,
        dataset=index.name,
        world="synthetic" if index.world else "real",
        fingerprint=index.fingerprint,
        shards=index.shards,
        verified=verified_counts(context.cache.parent / "data", index),
        subset=index.subset,
        items_expected=0,
        items_used=0,
        items_failed=0,
        failed_items=(),
        train_items_used=0,
        train_items_failed=0,
        split="",
        official_splits=index.official,
        pretrain_seed=metadata.seed,
        seed=0,
        metric="",
        value=0.0,
        unit="",
        higher_is_better=True,
        selection="last",
        hyperparameters={**metadata.hyperparameters, **frames},
        epochs=0,
        seconds=elapsed(context),
        device=context.device,
        precision=precision,
        world_size=world_size(),
        versions=versions(),
        commit=commit(),
    )


def architecture(metadata: EncoderMetadata, modality: Modality) -> str:
    """The encoder's name; a reduced one says its width and blocks, since it is not the paper's."""
    if modality in metadata.sources:
        return metadata.sources[modality]
    model = metadata.models.video if modality == "video" else metadata.models.audio
    name = ARCHITECTURE[modality]
    if (model.width, model.blocks) == (64, (2, 2, 2, 2)):
        return name
    return f"{name}, width {model.width}, blocks {'-'.join(map(str, model.blocks))}"
