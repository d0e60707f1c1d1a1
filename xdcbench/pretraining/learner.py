"""What learns in a round: encoders, heads and labels, and the loss between them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from xdcbench.config.base import Modality
from xdcbench.config.stages import RoundStage
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec, even_clips, training_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import Reader, batches
from xdcbench.errors import UserError
from xdcbench.models.encoders import Encoder, encode
from xdcbench.models.heads import Heads
from xdcbench.models.weights import load_weights
from xdcbench.pretraining.pseudo_labels import PseudoLabels
from xdcbench.training import AverageMeter, Trainer, sgd
from xdcbench.training.losses import multi_label_loss, single_label_loss
from xdcbench.utils.distributed import all_gather_dict, broadcast_buffers
from xdcbench.utils.runtime import Stream, autocast, numpy_generator, seeded


class Learner:
    """Encoders, heads and labels of one round, and what is done with them."""

    def __init__(
        self,
        config: RoundStage,
        labels: PseudoLabels,
        encoders: Mapping[Modality, Encoder],
        clips: ClipDataset,
        device: torch.device,
        workers: int,
    ) -> None:
        self.config, self.settings = config, config.pretrain
        self.labels, self.encoders, self.clips = labels, encoders, clips
        self.device, self.workers = device, workers
        seed = int(numpy_generator(config.seed, config.round, Stream.PRETRAINING_HEADS).integers(2**31))
        with seeded(seed):
            self.heads: dict[Modality, Heads] = {
                modality: Heads(encoders[modality].features, {s: labels.sizes[s] for s in sources}).to(device)
                for modality, sources in sorted(config.heads.items())
            }

    def take_heads(self, previous: Path) -> None:
        """Continue with the heads of the round before, where there is one."""
        for modality, heads in self.heads.items():
            path = previous / f"{modality}_heads.safetensors"
            if path.exists():
                load_weights(heads, path)

    def trainer(self, work: Path, context: Context, *, items: Sequence[str] = ()) -> Trainer:
        """The training run of this round; it first notes facts of the clusters. ``items`` are ids, for messages."""
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
            batch=self.settings.batch_size,
            context=context,
            label=f"{self.config.method} round {self.config.round}",
            preface=cluster_facts(self.labels),
            items=items,
        )

    def reader(self, learned: np.ndarray, held_out: np.ndarray) -> Reader:
        """Reads, as sections 2 e and 2 e + 1, the clips of epoch e and those of the validation after it."""
        centers = even_clips(held_out, 1)
        return Reader(
            self.clips,
            lambda number: centers if number % 2 else self.specs(learned, number // 2),
            sections=2 * self.settings.schedule.epochs,
            size=self.settings.batch_size,
            workers=self.workers,
        )

    def specs(self, rows: np.ndarray, number: int) -> Sequence[ClipSpec]:
        """Clips of an epoch, from 0, in an order that depends on seed, round and epoch alone."""
        return training_clips(
            rows,
            augment=self.settings.augment,
            seed=self.config.seed,
            epoch=number + 1000 * self.config.round,
            clips=self.settings.clips_per_epoch,
            weights=balanced_weights(rows, self.labels, self.config)
            if self.settings.balanced_sampling
            else None,
        )

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum over encoders and label sources of their cross-entropies (paper, section 3).

        Accuracy is the share of clips whose highest score is that of a label of theirs.
        """
        whole = torch.zeros((), device=self.device)
        values: dict[str, Tensor] = {}
        for modality, heads in self.heads.items():
            logits = heads(encode(self.encoders[modality], batch, device=self.device))
            for source, scores in logits.items():
                loss, right = self.judge(scores.float(), source, batch.rows)
                whole = whole + loss
                values[f"{modality}_{source}_loss"] = loss.detach()
                values[f"{modality}_{source}_accuracy"] = right.float().mean()
        return whole, values

    def judge(self, scores: Tensor, source: str, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax cross-entropy, or that of a sigmoid per class where items have several labels.

        Args:
            scores: float32 (B, classes).
            rows: int64 (B,), positions in the index.

        Returns:
            The loss, and whether the highest score of each clip is that of a label of its item, bool (B,).
        """
        if source not in self.labels.several:
            labels = torch.from_numpy(self.labels.of[source][rows.numpy()]).long()
            return single_label_loss(scores, labels.to(self.device, non_blocking=True))
        sets = torch.from_numpy(self.labels.several[source][rows.numpy()].toarray())
        return multi_label_loss(scores, sets.to(self.device, non_blocking=True))

    def update_bn(self, rows: np.ndarray) -> dict[int, str]:
        """Set BatchNorm's running statistics to their means over the clips of one more epoch.

        In a short training they lag behind the weights. Of several processes, each sees its share of the clips,
        and the main process's statistics are kept, as in training.

        Returns:
            The reason of every item that could not be read, by its position in the index.
        """
        specs = self.specs(rows, self.settings.schedule.epochs)
        trained = EncoderPair({modality: self.encoders[modality] for modality in self.heads})
        failed: dict[int, str] = {}

        def readable() -> Iterator[Batch]:
            for batch in batches(self.clips, specs, size=self.settings.batch_size, workers=self.workers):
                failed.update(batch.failed)
                if len(batch.rows) > 1:  # BatchNorm needs two
                    yield batch

        with autocast(self.settings.precision, self.device):
            update_bn(readable(), trained)
        broadcast_buffers(trained)
        return all_gather_dict(failed)

    @torch.inference_mode()
    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Means of the values of ``loss`` over clips that are not trained on; empty without a clip."""
        for module in (*self.encoders.values(), *self.heads.values()):
            module.eval()
        meter = AverageMeter()
        for batch in batches:
            if len(batch.rows):
                with autocast(self.settings.precision, self.device):
                    _, values = self.loss(batch)
                meter.add(values, len(batch.rows))
        return {f"val_{name}": value for name, value in meter.means().items()}


class EncoderPair(nn.ModuleDict):
    """The encoders of a round, as one module of a batch."""

    def forward(self, batch: Batch) -> None:
        """Encode the batch by each encoder."""
        for encoder in self.values():
            encode(cast(Encoder, encoder), batch, device=next(encoder.parameters()).device)


def cluster_facts(labels: PseudoLabels) -> dict[str, Any]:
    """Sizes of the clusters of each clustering, and its facts, such as NMI with the round before."""
    found: dict[str, Any] = {}
    for name, facts in labels.facts.items():
        of = labels.of[name]
        found[f"{name}_cluster_sizes"] = np.bincount(of[of >= 0], minlength=labels.sizes[name]).tolist()
        found |= {f"{name}_{fact}": value for fact, value in facts.items()}
    return found


def balanced_weights(rows: np.ndarray, labels: PseudoLabels, config: RoundStage) -> np.ndarray:
    """Chance of each row such that clusters count alike; with several sources, the mean of theirs.

    Raises:
        UserError: items of a source have several labels each.
    """
    sources = {source for heads in config.heads.values() for source in heads}
    if several := sources & labels.several.keys():
        raise UserError(
            f"pretrain.balanced_sampling: items with several {several.pop()} each cannot be drawn uniformly over them; "
            f"set it to false for {config.method}"
        )
    each = []
    for source in sorted(sources):
        of = labels.of[source][rows]
        share = 1.0 / np.bincount(of, minlength=labels.sizes[source])[of]
        each.append(share / share.sum())
    mean: np.ndarray = np.mean(each, axis=0)
    return mean
