"""The loop of deep clustering: a round extracts, clusters and trains. One loop serves every method."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xdcbench.data.clips import Batch, Clips, batches, even_draws, training_draws
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.models.encoders import Card, Encoder, encode, load_card, load_encoders, save_encoders
from xdcbench.models.heads import Heads
from xdcbench.models.weights import load_weights, save_weights
from xdcbench.pretrain.labels import UNLABELLED, Labels, make_labels
from xdcbench.results.measured import measured
from xdcbench.results.records import Record, write_records
from xdcbench.run import Context
from xdcbench.runtime import autocast, generator, pick_device
from xdcbench.schema import Modality
from xdcbench.stages import KINDS, RoundStage
from xdcbench.training import Trainer, sgd

TRACKS: dict[str, tuple[Modality, ...]] = {
    "video": ("video", "audio"),
    "image": ("video",),
    "audio": ("audio",),
}
"""Tracks that an item needs: every method learns from the same items, those with picture and sound."""


def run(config: RoundStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: one round of a method, from the encoders of the round before (paper, section 3)."""
    index, card, device = (
        Index.load(inputs["data"]),
        load_card(inputs["encoders"]),
        pick_device(context.device),
    )
    encoders = load_encoders(inputs["encoders"], config.encoders, device=device)
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
    round_ = Round(config, labels, encoders, clips, device, context.workers)
    if not config.pretrain.fresh_heads:
        round_.take_heads(inputs["encoders"])
    learned, held_out = split_rows(rows, labels, config)
    trainer = round_.trainer(work, context.checkpoint_seconds)
    history, failed = trainer.fit(
        lambda epoch: round_.epoch(learned, epoch),
        round_.loss,
        validate=(lambda: round_.validate(held_out)) if len(held_out) else None,
    )
    failed |= labels.failed
    check_failed(index, rows, failed, limit=config.pretrain.max_failed)
    new = Card(
        method=config.method,
        pretrain_data=index.name,
        pretrain_items=len(rows) - len(failed),
        seed=config.seed,
        round=config.round,
        epochs=card.epochs + config.pretrain.schedule.epochs,
        encoders=config.encoders,
        models=card.models,
        factors={f"k_{name}": c.k for name, c in config.clusterings.items()},
    )
    save_encoders(work, encoders, new)
    for modality, heads in round_.heads.items():
        save_weights(
            heads, work / f"{modality}_heads.safetensors", metadata={"sources": " ".join(heads.sizes)}
        )
    write_records(work, list(records(config, index, rows, new, labels, history, failed, work, context)))
    (work / "checkpoint.pt").unlink(missing_ok=True)


class Round:
    """Encoders, heads and labels of one round, and what is done with them."""

    def __init__(
        self,
        config: RoundStage,
        labels: Labels,
        encoders: dict[Modality, Encoder],
        clips: Clips,
        device: torch.device,
        workers: int,
    ) -> None:
        self.config, self.settings = config, config.pretrain
        self.labels, self.encoders, self.clips = labels, encoders, clips
        self.device, self.workers = device, workers
        self.targets = {name: torch.from_numpy(of) for name, of in labels.of.items()}
        seed = int(generator(config.seed, config.round, 4).integers(2**31))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.heads: dict[Modality, Heads] = {
                modality: Heads(encoders[modality].features, {s: labels.sizes[s] for s in sources}).to(device)
                for modality, sources in config.heads.items()
            }

    def take_heads(self, previous: Path) -> None:
        """Go on with the heads of the round before, where there is one."""
        for modality, heads in self.heads.items():
            path = previous / f"{modality}_heads.safetensors"
            if path.exists():
                load_weights(heads, path)

    def trainer(self, work: Path, checkpoint_seconds: float) -> Trainer:
        """The training run of this round."""
        parts: dict[str, nn.Module] = {m: self.encoders[m] for m in self.heads}
        parts |= {f"{modality}_heads": heads for modality, heads in self.heads.items()}
        return Trainer(
            modules=nn.ModuleDict(parts),
            optimizer=sgd(
                [(module, self.settings.schedule.lr) for module in parts.values()], self.settings.schedule
            ),
            schedule=self.settings.schedule,
            precision=self.settings.precision,
            device=self.device,
            work=work,
            checkpoint_seconds=checkpoint_seconds,
            label=f"{self.config.method} round {self.config.round}",
        )

    def epoch(self, rows: np.ndarray, number: int) -> tuple[int, Iterator[Batch]]:
        """Clips of one epoch, in an order that depends on seed, round and epoch alone."""
        draws = training_draws(
            rows,
            augment=self.settings.augment,
            seed=self.config.seed,
            epoch=number + 1000 * self.config.round,
            clips=self.settings.epoch_clips,
            weights=uniform_weights(rows, self.labels, self.config) if self.settings.uniform else None,
        )
        return len(draws), batches(self.clips, draws, size=self.settings.batch, workers=self.workers)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Sum over encoders and label sources of the softmax cross-entropy (paper, section 3)."""
        total = torch.zeros((), device=self.device)
        values: dict[str, float] = {}
        for modality, heads in self.heads.items():
            logits = heads(encode(self.encoders[modality], batch, device=self.device))
            for source, scores in logits.items():
                target = self.targets[source][batch.rows].to(self.device)
                loss = cross_entropy(scores.float(), target)
                total = total + loss
                values[f"{modality}_{source}_loss"] = loss.item()
                values[f"{modality}_{source}_accuracy"] = (scores.argmax(1) == target).float().mean().item()
        return total, values

    @torch.inference_mode()
    def validate(self, rows: np.ndarray) -> dict[str, float]:
        """Means of ``loss`` over the centre clips of items that are not trained on."""
        for module in (*self.encoders.values(), *self.heads.values()):
            module.eval()
        sums: dict[str, float] = {}
        seen = 0
        for batch in batches(self.clips, even_draws(rows, 1), size=self.settings.batch, workers=self.workers):
            if len(batch.rows):
                with autocast(self.settings.precision, self.device):
                    _, values = self.loss(batch)
                seen += len(batch.rows)
                for name, value in values.items():
                    sums[f"val_{name}"] = sums.get(f"val_{name}", 0.0) + value * len(batch.rows)
        return {name: value / seen for name, value in sums.items()}


def clips_for(index: Index, root: Path, encoders: dict[Modality, Encoder]) -> Clips:
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


def uniform_weights(rows: np.ndarray, labels: Labels, config: RoundStage) -> np.ndarray:
    """Chance of each row such that clusters count alike; with several sources, the mean of theirs."""
    sources = {source for heads in config.heads.values() for source in heads}
    each = []
    for source in sorted(sources):
        of = labels.of[source][rows]
        share = 1.0 / np.bincount(of, minlength=labels.sizes[source])[of]
        each.append(share / share.sum())
    mean: np.ndarray = np.mean(each, axis=0)
    return mean


def check_failed(index: Index, rows: np.ndarray, failed: dict[int, str], *, limit: float) -> None:
    """Fail the stage when too many items could not be read.

    Raises:
        UserError: names the share, the limit and the first file.
    """
    if len(failed) > limit * len(rows):
        row, reason = next(iter(failed.items()))
        raise UserError(
            f"{index.name}: {len(failed)} of {len(rows)} items could not be decoded, first "
            f"{index.items['path'].iloc[row]} ({reason}); mend them or raise max_failed above {limit}"
        )


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
    settings = config.pretrain
    base = measured(index, card, work, context, modality=None, precision=settings.precision).model_copy(
        update={
            "evaluation": "round",
            "protocol": "round",
            "evaluation_version": KINDS["round"].version,
            "epochs": settings.schedule.epochs,
            "split": index.splits[0],
            "items_expected": len(index.listed(index.splits[0], config.part)),
            "items_used": len(rows) - len(failed),
            "items_failed": len(failed),
            "seed": config.seed,
        }
    )
    for name, found in labels.facts.items():
        factors = {**base.factors, "round": config.round, "clustering": name}
        for metric, value in found.items():
            yield base.model_copy(update={"metric": metric, "value": value, "factors": factors})
    start = {name: value for name, value in history[0].items() if name.startswith("start_")}
    for metric, value in {**history[-1], **start}.items():
        if metric not in ("clips_per_second", "share_waiting"):
            update = {"metric": metric, "value": value, "factors": {**base.factors, "round": config.round}}
            yield base.model_copy(update=update | {"higher_is_better": not metric.endswith("loss")})
