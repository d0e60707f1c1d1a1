"""Full finetuning of one encoder with a new head; the last epoch counts, or one chosen on held-out items."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from xdcbench.config.evaluation import Finetune
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.clip_dataset import Batch, ClipDataset, ClipSpec, even_clips, training_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import Reader
from xdcbench.data.index import Index, media_of
from xdcbench.data.label_sets import is_multi_label, label_sets
from xdcbench.errors import UserError
from xdcbench.evaluation.multilabel_writer import write_multilabel
from xdcbench.evaluation.writer import Evaluation, split_rows, write_classification
from xdcbench.models.encoders import (
    Encoder,
    clips_for,
    encode,
    load_encoder_metadata,
    load_encoders,
    with_frames,
)
from xdcbench.models.heads import Heads
from xdcbench.models.inference import Inference, extract
from xdcbench.models.pretrained.external import ExternalEncoder
from xdcbench.training import Trainer, sgd
from xdcbench.training.losses import multi_label_loss, single_label_loss
from xdcbench.utils.distributed import is_main_process
from xdcbench.utils.runtime import Stream, numpy_generator, pick_device, seeded


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: train encoder and head on the training items, score test items by the mean over their clips.

    Scores are a softmax; where items have several classes each, a sigmoid per class.
    """
    settings = config.settings
    assert isinstance(settings, Finetune)
    index = Index.load(inputs["data"])
    metadata = with_frames(load_encoder_metadata(inputs["encoders"]), settings.frames)
    device = pick_device(context.device)
    encoders = load_encoders(
        inputs["encoders"],
        (settings.modality,),
        device=device,
        frames=settings.frames,
        consent=context.consent,
    )
    encoder = encoders[settings.modality]
    clips = clips_for(index, media_of(index, context), encoders, context.decoded)
    train, test = split_rows(config, index)
    head = head_for(encoder, len(index.classes), config.seed).to(device)
    classifier = ExternalEncoder(
        Classifier(encoder, head), encoder.input, features=len(index.classes), prepare=encoder.prepare
    )
    classifier.to(device)
    inference = Inference(settings.precision, device, context.num_workers, "test clips")
    judge, several = judge_of(index), is_multi_label(index)
    held = np.empty(0, dtype=np.int64)
    if settings.selection == "val-best":
        train, held = hold_out(index, train, share=settings.val_fraction, seed=config.seed)

    def specs(epoch: int) -> Sequence[ClipSpec]:
        return training_clips(train, augment=settings.augment, seed=config.seed, epoch=epoch)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        value, right = judge(encode(classifier, batch, device=device).float(), batch.rows)
        return value, {"accuracy": right.float().mean()}

    def validate() -> dict[str, float]:
        scores, unread = predict(classifier, clips, held, settings, inference, several=several)
        read = ~np.isin(held, list(unread))
        return {"val_top1": 100.0 * float((scores[read].argmax(1) == index.labels[held[read]]).mean())}

    schedule = settings.schedule
    trainer = Trainer(
        modules=nn.ModuleDict({"encoder": encoder, "head": head}),
        optimizer=sgd([(encoder, schedule.lr), (head, settings.head_lr)], schedule),
        schedule=schedule,
        precision=settings.precision,
        device=device,
        work=work,
        batch=settings.batch_size,
        context=context,
        label=f"{metadata.method}: {config.name} on {index.name} split {config.split}",
        items=index.items["id"].array,
    )
    with Reader(
        clips, specs, sections=schedule.epochs, size=settings.batch_size, workers=context.num_workers
    ) as reader:
        history, failed = trainer.fit(
            reader.section,
            loss,
            validate=validate if len(held) else None,
            best_by="val_top1" if len(held) else "",
        )
    scores, unread = predict(classifier, clips, test, settings, inference, several=several)
    if not is_main_process():
        return
    read = ~np.isin(test, list(unread))
    write = write_multilabel if several else write_classification
    write(
        Evaluation(config, index, metadata, test[read], failed | unread, work, context),
        scores[read],
        epochs=schedule.epochs,
        outcomes=chosen(history) | {"held_out": len(held)} if len(held) else {},
        selection=settings.selection,
    )


def judge_of(index: Index) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """From logits, float32 (B, classes), and rows of the index, int64 (B,), to a loss and who is right, bool (B,)."""
    if is_multi_label(index):
        sets = label_sets(index)
        return lambda logits, rows: multi_label_loss(
            logits, torch.from_numpy(sets[rows.numpy()].toarray()).to(logits.device, non_blocking=True)
        )
    labels = torch.from_numpy(index.labels)
    return lambda logits, rows: single_label_loss(logits, labels[rows].to(logits.device, non_blocking=True))


def hold_out(index: Index, rows: np.ndarray, *, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part training rows, int64, into those to learn from and those to choose an epoch by.

    Videos of one group stay together, and classes keep their shares as far as that allows.

    Raises:
        UserError: the part to learn from lacks a class.
    """
    groups, labels = index.items["group"].to_numpy()[rows], index.labels[rows]
    folds = max(2, round(1 / share))
    if folds > len(np.unique(groups)):
        raise UserError(
            f"{index.name}: {len(np.unique(groups))} groups of training items are too few to hold out a share "
            f"of {share}; raise val_fraction or select the last epoch"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes of fewer groups than folds are seen to below
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, labels, groups)
        learned, held = next(split)
    lacking = np.setdiff1d(labels, labels[learned])
    if len(lacking):
        names = ", ".join(index.classes[i] for i in lacking[:5])
        raise UserError(
            f"{index.name}: holding out a share of {share} leaves no training item of {names}; lower val_fraction "
            "or select the last epoch"
        )
    return rows[learned], rows[held]


def chosen(history: list[dict[str, float]]) -> dict[str, float]:
    """The epoch of highest accuracy on held-out items, from 1, the first of equals, and that accuracy."""
    best = max(range(len(history)), key=lambda epoch: history[epoch]["val_top1"])
    return {"epoch": best + 1, "val_top1": history[best]["val_top1"]}


def head_for(encoder: Encoder, classes: int, seed: int) -> Heads:
    """A new head, drawn from the seed alone."""
    with seeded(int(numpy_generator(seed, Stream.FINETUNING_HEAD).integers(2**31))):
        return Heads(encoder.features, {"class": classes})


class Classifier(nn.Module):
    """An encoder with a head of one source, ``class``: from prepared input to logits (B, classes)."""

    def __init__(self, encoder: Encoder, head: Heads) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.head(self.encoder(x))["class"]
        return logits


def predict(
    classifier: ExternalEncoder,
    clips: ClipDataset,
    rows: np.ndarray,
    settings: Finetune,
    inference: Inference,
    *,
    several: bool,
) -> tuple[np.ndarray, dict[int, str]]:
    """Mean over the clips of each item of the softmax (VMZ's test protocol), or of sigmoids for ``several`` classes.

    Returns:
        float32 (len(rows), classes), NaN for items of which a clip could not be read, and the reasons.
    """
    specs = even_clips(rows, settings.num_clips, last_start=settings.last_start)
    found, failed = extract({settings.modality: classifier}, clips, specs, inference)
    logits = torch.from_numpy(found[settings.modality])
    scores = logits.sigmoid() if several else logits.softmax(1)
    mean: np.ndarray = scores.reshape(len(rows), settings.num_clips, -1).numpy().mean(axis=1)
    return mean, failed
