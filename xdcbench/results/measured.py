"""What every record of a stage has in common."""

from pathlib import Path

from xdcbench.context import Context, elapsed
from xdcbench.data.audit.verify import verified_counts
from xdcbench.data.index import Index
from xdcbench.distributed import size
from xdcbench.models.encoders import Card
from xdcbench.provenance import commit, versions
from xdcbench.results.records import Record
from xdcbench.schema import Modality, Precision

ARCHITECTURE = {"video": "R(2+1)D-18", "audio": "ResNet-18 (audio)"}


def measured(
    index: Index,
    card: Card,
    work: Path,
    context: Context,
    *,
    modality: Modality | None,
    precision: Precision,
    recipe: str,
) -> Record:
    """A record of ``card``'s encoders on ``index`` without its number; fill in by ``model_copy``.

    Args:
        index: the data set.
        card: the encoders.
        work: the run directory that will hold the record.
        context: of the stage.
        modality: the encoder that is measured; None for both.
        precision: of the forward pass, resolved.
        recipe: of the number.
    """
    video = card.models.video.input
    frames = {"frames": video.frames, "size": video.size} if modality != "audio" else {}
    return Record(
        run=work.name,
        suite=context.suite,
        method=card.method,
        pretrain_data=card.pretrain_data,
        pretrain_items=card.pretrain_items,
        pretrain_subset=card.pretrain_subset,
        recipe=recipe,
        architecture=" + ".join(architecture(card, m) for m in card.encoders if modality in (None, m)),
        evaluation="",
        protocol="",
        evaluation_version=0,
        dataset=index.name,
        world="synthetic" if index.world else "real",
        fingerprint=index.fingerprint,
        store=index.store,
        verified=verified_counts(context.cache.parent / "data", index),
        subset=index.subset,
        items_expected=0,
        items_used=0,
        items_failed=0,
        failed_items=(),
        train_items_used=0,
        train_items_failed=0,
        split="",
        splits_official=index.official,
        pretrain_seed=card.seed,
        seed=0,
        metric="",
        value=0.0,
        unit="",
        higher_is_better=True,
        selection="last",
        factors={**card.factors, **frames},
        epochs=0,
        seconds=elapsed(context),
        device=context.device,
        precision=precision,
        world_size=size(),
        versions=versions(),
        commit=commit(),
    )


def architecture(card: Card, modality: Modality) -> str:
    """The encoder's name; a reduced one says its width and blocks, since it is not the paper's."""
    if modality in card.sources:
        return card.sources[modality]
    model = card.models.video if modality == "video" else card.models.audio
    name = ARCHITECTURE[modality]
    if (model.width, model.blocks) == (64, (2, 2, 2, 2)):
        return name
    return f"{name}, width {model.width}, blocks {'-'.join(map(str, model.blocks))}"
