"""Full finetuning of one encoder with a new head; the last epoch counts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xdcbench.context import Context
from xdcbench.data.clips import Batch, Clips, batches, even_draws, training_draws
from xdcbench.data.index import Index
from xdcbench.distributed import leads
from xdcbench.evaluations.outcome import finish, split_rows
from xdcbench.extract import forward
from xdcbench.models.encoders import Encoder, encode, load_card, load_encoders
from xdcbench.models.heads import Heads
from xdcbench.runtime import generator, pick_device, seeded
from xdcbench.schema import Finetune
from xdcbench.stages import EvaluationStage
from xdcbench.training import Trainer, sgd


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: train encoder and head on the training items, score test items by the mean softmax of clips."""
    settings = config.settings
    assert isinstance(settings, Finetune)
    index, card = Index.load(inputs["data"]), load_card(inputs["encoders"])
    device = pick_device(context.device)
    encoder = load_encoders(inputs["encoders"], (settings.modality,), device=device)[settings.modality]
    clips = Clips(index, context.roots[index.name], **{settings.modality: encoder.input})  # type: ignore[arg-type]
    train, test = split_rows(config, index)
    classifier = Classifier(encoder, head_for(encoder, len(index.classes), config.seed).to(device), device)
    labels = torch.from_numpy(index.labels)

    def epoch(number: int) -> tuple[int, Iterator[Batch]]:
        draws = training_draws(train, augment=settings.augment, seed=config.seed, epoch=number)
        return len(draws), batches(clips, draws, size=settings.batch, workers=context.workers)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, float]]:
        target, scores = labels[batch.rows].to(device), classifier(batch)
        value = cross_entropy(scores.float(), target)
        return value, {"loss": value.item(), "accuracy": (scores.argmax(1) == target).float().mean().item()}

    schedule = settings.schedule
    _, failed = Trainer(
        modules=nn.ModuleDict({"encoder": encoder, "head": classifier.head}),
        optimizer=sgd([(encoder, schedule.lr), (classifier.head, settings.head_lr)], schedule),
        schedule=schedule,
        precision=settings.precision,
        device=device,
        work=work,
        batch=settings.batch,
        checkpoint_seconds=context.checkpoint_seconds,
        label=f"{card.method}: {config.name} on {index.name} split {config.split}",
    ).fit(epoch, loss)
    scores, unread = classifier.predict(clips, test, settings, workers=context.workers)
    if not leads():
        return
    read = ~np.isin(test, list(unread))
    finish(
        config,
        index,
        card,
        scores[read],
        test[read],
        failed | unread,
        work=work,
        context=context,
        epochs=schedule.epochs,
    )
    (work / "checkpoint.pt").unlink(missing_ok=True)


def head_for(encoder: Encoder, classes: int, seed: int) -> Heads:
    """A new head, drawn from the seed alone."""
    with seeded(int(generator(seed, 6).integers(2**31))):
        return Heads(encoder.features, {"class": classes})


class Classifier:
    """An encoder with a head.

    Args:
        encoder: in training or eval mode, as its user sets it.
        head: one source, ``class``.
        device: of both.
    """

    def __init__(self, encoder: Encoder, head: Heads, device: torch.device) -> None:
        self.encoder, self.head, self.device = encoder, head, device

    def __call__(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.head(encode(self.encoder, batch, device=self.device))["class"]
        return logits

    def predict(
        self, clips: Clips, rows: np.ndarray, settings: Finetune, *, workers: int
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Mean softmax over the clips of each item (VMZ's test protocol).

        Returns:
            float32 (len(rows), classes), NaN for items of which a clip could not be read, and the reasons.
        """
        self.encoder.eval()
        self.head.eval()
        found, failed = forward(
            lambda batch: {"class": self(batch).float().softmax(1)},
            {"class": self.head.sizes["class"]},
            clips,
            even_draws(rows, settings.clips),
            precision=settings.precision,
            device=self.device,
            workers=workers,
            label="test clips",
        )
        return found["class"].reshape(len(rows), settings.clips, -1).mean(axis=1), failed
