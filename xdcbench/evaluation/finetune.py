"""Full finetuning of one encoder with a new head; the last epoch counts, or one chosen on held-out items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from xdcbench.config.evaluation import Finetune
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec, even_clips, training_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import Reader
from xdcbench.data.index import Index, media_of
from xdcbench.data.label_sets import is_multi_label, label_sets
from xdcbench.errors import DivergedError, UserError
from xdcbench.evaluation.multilabel_writer import write_multilabel
from xdcbench.evaluation.sweep import hold_out, sweep
from xdcbench.evaluation.writer import Evaluation, split_rows, write_classification
from xdcbench.models.encoders import (
    Encoder,
    encode,
    load_encoder_metadata,
    load_encoders,
    with_frames,
)
from xdcbench.models.heads import Heads
from xdcbench.models.inference import Inference, extract
from xdcbench.models.pretrained.external import ExternalEncoder
from xdcbench.models.pretrained.origins import require_sources
from xdcbench.training import Trainer, sgd
from xdcbench.training.losses import multi_label_loss, single_label_loss
from xdcbench.utils.distributed import is_main_process, world_size
from xdcbench.utils.runtime import Stream, numpy_generator, pick_device, seeded


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: train encoder and head on the training items, score test items by the mean over their clips.

    Scores are a softmax; where items have several classes each, a sigmoid per class. With a sweep, its settings are
    chosen first, on held-out training items.
    """
    settings = config.settings
    assert isinstance(settings, Finetune)
    index = Index.load(inputs["data"])
    metadata = with_frames(load_encoder_metadata(inputs["encoders"]), settings.frames)
    require_sources(metadata.sources.values(), context.consent, str(inputs["encoders"] / "encoders.json"))
    modality = settings.modality
    declared: dict[str, Any] = {modality: metadata.models.by_modality[modality].input}
    clips = ClipDataset(index, media_of(index, context), decoded=context.decoded, **declared)
    train, test = split_rows(config, index)
    title = f"{metadata.method}: {config.name} on {index.name} split {config.split}"
    finetuning = Finetuning(title, index, inputs["encoders"], clips, config.seed, context)
    held = np.empty(0, dtype=np.int64)
    outcomes: dict[str, Any] = {}
    if settings.sweep:
        settings, outcomes = sweep(settings, finetuning.top1, index, train, seed=config.seed, work=work)
    if settings.selection == "val-best":
        train, held = hold_out(index, train, share=settings.val_fraction, seed=config.seed)
    trained = finetuning.train(settings, train, held, work)
    scores, unread = finetuning.predict(trained.classifier, test, settings)
    if not is_main_process():
        return
    read = ~np.isin(test, list(unread))
    processes = max(metadata.processes, world_size())
    metadata = metadata.model_copy(update={"processes": processes})
    write = write_multilabel if finetuning.several else write_classification
    write(
        Evaluation(config, index, metadata, test[read], trained.failed | unread, work, context),
        scores[read],
        epochs=settings.schedule.epochs,
        outcomes=outcomes | (chosen(trained.history) | {"held_out": len(held)} if len(held) else {}),
        selection=settings.selection,
    )


class Trained(NamedTuple):
    """A trained classifier, the means of each epoch, and the reason of each item that could not be read."""

    classifier: ExternalEncoder
    history: list[dict[str, float]]
    failed: dict[int, str]


@dataclass(frozen=True)
class Finetuning:
    """What all trainings of one evaluation share.

    Attributes:
        title: what to call it in progress and logs.
        encoders: run directory of the encoders that every training starts from.
        clips: of the dataset, as the encoder takes them.
        seed: of head, order and augmentation.
    """

    title: str
    index: Index
    encoders: Path
    clips: ClipDataset
    seed: int
    context: Context

    @property
    def several(self) -> bool:
        """Whether items have several classes each."""
        return is_multi_label(self.index)

    @property
    def device(self) -> torch.device:
        """Where encoders are trained."""
        return pick_device(self.context.device)

    def train(self, settings: Finetune, rows: np.ndarray, held: np.ndarray, work: Path) -> Trained:
        """Train encoder and head on ``rows``, resuming after the last checkpoint in ``work``.

        Args:
            held: rows that the best epoch is chosen on; without any, the last one counts.

        Raises:
            UserError: as ``Trainer.fit``.
        """
        encoder = self._encoder(settings)
        classes = len(self.index.classes)
        head = head_for(encoder, classes, self.seed).to(self.device)
        net = Classifier(encoder, head)
        classifier = ExternalEncoder(net, encoder.input, features=classes, prepare=encoder.prepare)
        classifier.to(self.device)
        judge, epochs = judge_of(self.index), settings.schedule.epochs

        def specs(epoch: int) -> Sequence[ClipSpec]:
            return training_clips(rows, augment=settings.augment, seed=self.seed, epoch=epoch)

        def loss(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            value, right = judge(encode(classifier, batch, device=self.device).float(), batch.rows)
            return value, {"accuracy": right.float().mean()}

        def validate() -> dict[str, float]:
            return {"val_top1": self._accuracy(classifier, held, settings)}

        size, workers = settings.batch_size, self.context.num_workers
        with Reader(self.clips, specs, sections=epochs, size=size, workers=workers) as reader:
            history, failed = self._trainer(encoder, head, settings, work).fit(
                reader.section,
                loss,
                validate=validate if len(held) else None,
                best_by="val_top1" if len(held) else "",
            )
        return Trained(classifier, history, failed)

    def _trainer(self, encoder: Encoder, head: nn.Module, settings: Finetune, work: Path) -> Trainer:
        schedule = settings.schedule
        return Trainer(
            modules=nn.ModuleDict({"encoder": encoder, "head": head}),
            optimizer=sgd([(encoder, schedule.lr), (head, settings.head_lr)], schedule),
            schedule=schedule,
            precision=settings.precision,
            device=self.device,
            work=work,
            batch=settings.batch_size,
            context=self.context,
            label=self.title,
            items=self.index.items["id"].array,
        )

    def top1(self, settings: Finetune, rows: np.ndarray, held: np.ndarray, work: Path) -> float:
        """Top-1 on ``held``, in per cent, of the last epoch of a training on ``rows``.

        Raises:
            DivergedError: the loss, or a score, is not finite.
        """
        classifier = self.train(settings, rows, np.empty(0, dtype=np.int64), work).classifier
        return self._accuracy(classifier, held, settings)

    def predict(
        self, classifier: ExternalEncoder, rows: np.ndarray, settings: Finetune
    ) -> tuple[np.ndarray, dict[int, str]]:
        """As the function ``predict``."""
        inference = Inference(settings.precision, self.device, self.context.num_workers, "test clips")
        return predict(classifier, self.clips, rows, settings, inference, several=self.several)

    def _accuracy(self, classifier: ExternalEncoder, rows: np.ndarray, settings: Finetune) -> float:
        scores, unread = self.predict(classifier, rows, settings)
        read = ~np.isin(rows, list(unread))
        if not read.any():
            raise UserError(
                f"{self.title}: none of the {len(rows)} held-out items can be read; mend the files"
            )
        if not np.isfinite(scores[read]).all():
            raise DivergedError(f"{self.title}: scores of held-out items are not finite; lower the rate")
        return 100.0 * float((scores[read].argmax(1) == self.index.labels[rows[read]]).mean())

    def _encoder(self, settings: Finetune) -> Encoder:
        return load_encoders(
            self.encoders,
            (settings.modality,),
            device=self.device,
            frames=settings.frames,
            consent=self.context.consent,
        )[settings.modality]


def judge_of(index: Index) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """From logits, float32 (B, classes), and rows of the index, int64 (B,), to a loss and who is right, bool (B,)."""
    if is_multi_label(index):
        sets = label_sets(index)
        return lambda logits, rows: multi_label_loss(
            logits, torch.from_numpy(sets[rows.numpy()].toarray()).to(logits.device, non_blocking=True)
        )
    labels = torch.tensor(index.labels)
    return lambda logits, rows: single_label_loss(logits, labels[rows].to(logits.device, non_blocking=True))


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
