"""The loop of deep clustering: a round extracts, clusters and trains. One loop serves every method."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from xdcbench.context import Context
from xdcbench.data.clips import Clips
from xdcbench.data.index import Index, check_failed, write_failed
from xdcbench.data.prepared.reader import Prepared
from xdcbench.distributed import leads
from xdcbench.errors import UserError
from xdcbench.models.encoders import Card, Encoder, load_card, load_encoders, save_encoders
from xdcbench.models.weights import save_weights
from xdcbench.pretrain.labels import UNLABELLED, Labels, make_labels
from xdcbench.pretrain.learner import Learner
from xdcbench.results.measured import measured
from xdcbench.results.records import Record, write_records
from xdcbench.runtime import generator, pick_device
from xdcbench.schema import Modality
from xdcbench.stages import KINDS, RoundStage, recipe
from xdcbench.training import saturated

TRACKS: dict[str, tuple[Modality, ...]] = {
    "video": ("video", "audio"),
    "image": ("video",),
    "audio": ("audio",),
}
"""Tracks that an item needs: every method learns from the same items, those with picture and sound."""


def run(config: RoundStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: one round of a method, from the encoders of the round before (paper, section 3)."""
    index, card = Index.load(inputs["data"]), load_card(inputs["encoders"])
    device = pick_device(context.device)
    encoders = load_encoders(inputs["encoders"], config.encoders, device=device, consent=context.consent)
    rows = index.rows(index.splits[0], config.part, tracks=TRACKS[index.media])
    clips = clips_for(index, context.roots[index.name], encoders)
    labels = make_labels(
        config,
        index,
        rows,
        encoders,
        clips,
        previous=inputs["encoders"],
        work=work,
        device=device,
        workers=context.workers,
    )
    check_failed(index, rows, labels.failed, limit=config.pretrain.max_failed)
    learner = Learner(config, labels, encoders, clips, device, context.workers)
    if not config.pretrain.fresh_heads:
        learner.take_heads(inputs["encoders"])
    learned, held_out = split_rows(rows, labels, config)
    rule = config.pretrain.saturation
    if rule and not len(held_out):
        raise UserError(f"{config.method}: no item is held out to see the loss saturate; raise val_share")
    trainer = learner.trainer(work, context, items=index.items["id"].array)
    with learner.reader(learned, held_out) as reader:
        history, failed = trainer.fit(
            lambda epoch, done: reader.section(2 * epoch, done),
            learner.loss,
            validate=lambda: learner.validate(reader.section(reader.next)[1]),
            until=(lambda rows: saturated(validation_losses(rows), rule)) if rule else None,
        )
    failed |= labels.failed
    check_failed(index, rows, failed, limit=config.pretrain.max_failed)
    new = Card(
        method=config.method,
        recipe=recipe(config, card.recipe, index.fingerprint),
        pretrain_data=index.name,
        pretrain_subset=index.subset,
        pretrain_items=len(rows) - len(failed),
        seed=config.seed,
        round=config.round,
        epochs=card.epochs + len(history),
        encoders=config.encoders,
        models=card.models,
        factors={"round": config.round} | {f"k_{name}": c.k for name, c in config.clusterings.items()},
    )
    if not leads():
        return
    save_encoders(work, encoders, new)
    for modality, heads in learner.heads.items():
        sources = {"sources": " ".join(heads.sizes)}
        save_weights(heads, work / f"{modality}_heads.safetensors", metadata=sources)
    write_failed(work, index, failed)
    write_records(work, list(records(config, index, rows, new, labels, history, failed, work, context)))


def clips_for(index: Index, root: Path | Prepared, encoders: dict[Modality, Encoder]) -> Clips:
    """A reader that obeys what the encoders declare."""
    specs = {modality: encoder.input for modality, encoder in encoders.items()}
    return Clips(index, root, **specs)  # type: ignore[arg-type]


def split_rows(rows: np.ndarray, labels: Labels, config: RoundStage) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows held out for the validation loss; the same in every round.

    Raises:
        UserError: nothing is left to learn from.
    """
    sources = {source for heads in config.heads.values() for source in heads}
    labelled = np.all([labels.of[source][rows] != UNLABELLED for source in sources], axis=0)
    order = generator(config.seed, 5).permutation(len(rows))
    held = np.isin(np.arange(len(rows)), order[: int(config.pretrain.val_share * len(rows))])
    if (labelled & ~held).sum() < 2:
        raise UserError(f"{config.method}: only {(labelled & ~held).sum()} labelled items to learn from")
    return rows[labelled & ~held], rows[labelled & held]


def validation_losses(history: Sequence[dict[str, float]]) -> list[float]:
    """The loss of each epoch on the items that are held out, summed over encoders and label sources.

    Raises:
        UserError: none of them could be read.
    """
    losses = [
        [value for name, value in row.items() if name.startswith("val_") and name.endswith("_loss")]
        for row in history
    ]
    if not all(losses):
        raise UserError("no held-out clip could be read to see the loss saturate; see the log for the files")
    return [sum(of) for of in losses]


def records(
    config: RoundStage,
    index: Index,
    rows: np.ndarray,
    card: Card,
    labels: Labels,
    history: list[dict[str, float]],
    failed: dict[int, str],
    work: Path,
    context: Context,
) -> Iterator[Record]:
    """One record per clustering and fact, and per training measure of the last epoch."""
    settings, listed = config.pretrain, index.listed(index.splits[0], config.part)
    about = measured(
        index, card, work, context, modality=None, precision=settings.precision, recipe=card.recipe
    )
    base = about.model_copy(
        update={
            "evaluation": "round",
            "protocol": "round",
            "evaluation_version": KINDS["round"].version,
            "epochs": len(history),
            "split": index.splits[0],
            "items_expected": len(listed),
            "items_used": len(rows) - len(failed),
            "items_failed": len(failed) + len(index.unreadable(listed)),
            "failed_items": index.names({*failed, *index.unreadable(listed)}),
            "seed": config.seed,
        }
    )
    for name, found in labels.facts.items():
        factors = {**base.factors, "clustering": name}
        for metric, value in found.items():
            update = {"metric": metric, "value": value, "factors": factors}
            yield base.model_copy(update=update | {"higher_is_better": metric.startswith(("nmi", "purity"))})
    start = {name: value for name, value in history[0].items() if name.startswith("start_")}
    for metric, value in {**history[-1], **start}.items():
        if metric not in ("clips_per_second", "share_waiting"):
            update = {"metric": metric, "value": value}
            yield base.model_copy(update=update | {"higher_is_better": not metric.endswith("loss")})
