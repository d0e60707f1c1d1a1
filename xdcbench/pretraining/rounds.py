"""The loop of deep clustering: a round extracts, clusters and trains. One loop serves every method."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from xdcbench.config.data import LEARNED_TRACKS
from xdcbench.config.keys import VERSIONS, config_hash
from xdcbench.config.stages import RoundStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index, check_failed, media_of, write_failed
from xdcbench.errors import UserError
from xdcbench.evaluation.record_fields import record_fields
from xdcbench.models.encoders import (
    EncoderMetadata,
    clips_for,
    load_encoder_metadata,
    load_encoders,
    save_encoders,
)
from xdcbench.models.weights import save_weights
from xdcbench.pretraining.learner import Learner
from xdcbench.pretraining.pseudo_labels import (
    LABELS_MAPPED,
    UNLABELLED,
    PseudoLabels,
    make_pseudo_labels,
    shared,
)
from xdcbench.pretraining.round_context import RoundContext
from xdcbench.results.records import Record, write_records
from xdcbench.training import should_stop
from xdcbench.utils.distributed import is_main_process, world_size
from xdcbench.utils.runtime import Stream, numpy_generator, pick_device


def run(config: RoundStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: one round of a method, from the encoders of the round before (paper, section 3)."""
    this_round = _begin(config, inputs, work, context)
    labels = shared(make_pseudo_labels(this_round), work / LABELS_MAPPED)
    check_failed(this_round.index, this_round.rows, labels.failed, limit=config.pretrain.max_failed)
    learner = Learner(
        config, labels, this_round.encoders, this_round.clips, this_round.device, context.num_workers
    )
    if not config.pretrain.reset_heads:
        learner.take_heads(inputs["encoders"])
    history, failed = _train(this_round, learner, context)
    failed |= labels.failed
    check_failed(this_round.index, this_round.rows, failed, limit=config.pretrain.max_failed)
    metadata = _metadata(this_round, epochs=len(history), failed=len(failed))
    if not is_main_process():
        return
    save_encoders(work, this_round.encoders, metadata)
    for modality, heads in learner.heads.items():
        sources = {"sources": " ".join(heads.sizes)}
        save_weights(heads, work / f"{modality}_heads.safetensors", metadata=sources)
    shutil.rmtree(work / LABELS_MAPPED, ignore_errors=True)
    write_failed(work, this_round.index, failed)
    write_records(work, list(records(this_round, metadata, labels, history, failed, context)))


def _begin(config: RoundStage, inputs: dict[str, Path], work: Path, context: Context) -> RoundContext:
    """The items that a round learns from, and the encoders that it begins with."""
    index, device = Index.load(inputs["data"]), pick_device(context.device)
    encoders = load_encoders(inputs["encoders"], config.encoders, device=device, consent=context.consent)
    return RoundContext(
        config,
        index,
        index.rows(index.splits[0], config.part, tracks=LEARNED_TRACKS[index.media]),
        encoders,
        clips_for(index, media_of(index, context), encoders, context.decoded),
        inputs["encoders"],
        work,
        device,
        context.num_workers,
        {name: inputs[f"labels/{name}"] for name in config.assignments},
    )


def _train(
    this_round: RoundContext, learner: Learner, context: Context
) -> tuple[list[dict[str, float]], dict[int, str]]:
    """Train the encoders on the labels; measures of each epoch, and why items could not be read.

    Raises:
        UserError: there is nothing to learn from, or early stopping has no item to watch.
    """
    config = this_round.config
    learned, held_out = split_rows(this_round.rows, learner.labels, config)
    rule = config.pretrain.early_stopping
    if rule and not len(held_out):
        raise UserError(f"{config.method}: no item is held out to see the loss saturate; raise val_fraction")
    trainer = learner.trainer(this_round.work, context, items=this_round.index.items["id"].array)
    with learner.reader(learned, held_out) as reader:
        history, failed = trainer.fit(
            lambda epoch, done: reader.section(2 * epoch, done),
            learner.loss,
            validate=lambda: learner.validate(reader.section(reader.next)[1]),
            until=(lambda rows: should_stop(validation_losses(rows), rule)) if rule else None,
        )
    if config.pretrain.update_bn:
        failed |= learner.update_bn(learned)
    return history, failed


def _metadata(this_round: RoundContext, *, epochs: int, failed: int) -> EncoderMetadata:
    """What the encoders of a round say of themselves; ``failed`` items could not be read."""
    config, index = this_round.config, this_round.index
    before = load_encoder_metadata(this_round.previous)
    taught = (load_encoder_metadata(run).config_hash for run in this_round.earlier.values())
    return EncoderMetadata(
        method=config.method,
        config_hash=config_hash(config, before.config_hash, index.fingerprint, *taught),
        pretrain_data=index.name,
        pretrain_subset=index.subset,
        pretrain_items=len(this_round.rows) - failed,
        seed=config.seed,
        round=config.round,
        epochs=before.epochs + epochs,
        processes=max(before.processes, world_size()),
        encoders=config.encoders,
        models=before.models,
        hyperparameters={"round": config.round, "pretrain_lr": config.pretrain.schedule.lr}
        | {f"k_{name}": c.k for name, c in config.clusterings.items()},
    )


def split_rows(rows: np.ndarray, labels: PseudoLabels, config: RoundStage) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows held out for the validation loss; the same in every round.

    Raises:
        UserError: nothing is left to learn from.
    """
    sources = {source for heads in config.heads.values() for source in heads}
    labeled = np.all([labels.of[source][rows] != UNLABELLED for source in sources], axis=0)
    order = numpy_generator(config.seed, Stream.VALIDATION_ITEMS).permutation(len(rows))
    held = np.zeros(len(rows), dtype=bool)
    held[order[: int(config.pretrain.val_fraction * len(rows))]] = True
    if (labeled & ~held).sum() < 2:
        raise UserError(f"{config.method}: only {(labeled & ~held).sum()} labeled items to learn from")
    return rows[labeled & ~held], rows[labeled & held]


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
    this_round: RoundContext,
    metadata: EncoderMetadata,
    labels: PseudoLabels,
    history: list[dict[str, float]],
    failed: dict[int, str],
    context: Context,
) -> Iterator[Record]:
    """One record per clustering and fact, and per training measure of the last epoch."""
    config, index = this_round.config, this_round.index
    listed = index.listed(index.splits[0], config.part)
    about = record_fields(index, metadata, this_round.work, context, None)
    unreadable = index.unreadable(listed)
    base = about | {
        "config_hash": metadata.config_hash,
        "evaluation": "round",
        "protocol": "round",
        "evaluation_version": VERSIONS["round"],
        "items_expected": len(listed),
        "items_used": len(this_round.rows) - len(failed),
        "items_failed": len(failed) + len(unreadable),
        "failed_items": index.names(index.lost(listed, failed)),
        "train_items_used": 0,
        "train_items_failed": 0,
        "split": index.splits[0],
        "seed": config.seed,
        "unit": "",
        "selection": "last",
        "epochs": len(history),
        "precision": config.pretrain.precision,
    }
    for name, found in labels.facts.items():
        hyperparameters = {**about["hyperparameters"], "clustering": name}
        for metric, value in found.items():
            better = metric.startswith(("nmi", "purity"))
            fields = base | {"metric": metric, "value": value, "higher_is_better": better}
            yield Record(**fields | {"hyperparameters": hyperparameters})
    start = {name: value for name, value in history[0].items() if name.startswith("initial_")}
    for metric, value in {**history[-1], **start}.items():
        if metric not in ("clips_per_second", "data_wait"):
            better = not metric.endswith("loss")
            yield Record(**base | {"metric": metric, "value": value, "higher_is_better": better})
