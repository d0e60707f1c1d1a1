"""One optimizer step: forward and backward in parts, gradients over processes, precision, rate."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from xdcbench.data.clip_dataset import Batch, CropBoxes
from xdcbench.errors import DivergedError, UserError
from xdcbench.training.metrics import AverageMeter
from xdcbench.training.setup import TrainingSetup
from xdcbench.utils.distributed import all_gather_object, all_reduce_gradients, all_reduce_scalar, rank
from xdcbench.utils.runtime import autocast, cudnn_benchmark, numpy_generator, seeded

Loss = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]
"""From a batch to the loss to lower and what to average over the epoch, each ()."""


@dataclass(frozen=True)
class Taken:
    """A step whose loss has not been looked at.

    Attributes:
        progress: epochs done before it.
        steps: its number, from 1.
        rate: of the first parameter group.
        rows: of the clips, positions in the index.
        loss: ().
    """

    progress: float
    steps: int
    rate: float
    rows: Tensor
    loss: Tensor


class TrainingStep:
    """Takes optimizer steps.

    Losses are not read in a step, since that would wait for a GPU: ``look`` reads those since the last look.
    """

    def __init__(self, setup: TrainingSetup) -> None:
        self.setup, self.optimizer, self.label = setup, setup.optimizer, setup.label
        self.scaler = GradScaler(setup.device.type, enabled=setup.precision == "fp16")
        self.taken: list[Taken] = []
        self.largest = 0

    @property
    def rate(self) -> float:
        """Learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def __call__(
        self,
        batch: Batch,
        loss_of: Loss,
        meter: AverageMeter,
        *,
        count: float,
        factor: float,
        at: tuple[float, int],
    ) -> None:
        """Step on a batch, of which all processes together read ``count`` clips.

        The gradient is that of the mean over these clips, however many processes and parts they are in.

        Args:
            batch: this process's share, maybe nothing.
            count: at least 2.
            factor: of the peak rates.
            at: epochs and steps done before.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        progress, steps = at
        losses: list[Tensor] = []
        # What a module draws, such as dropout, depends on the step alone, and so survives an interruption.
        with seeded(int(numpy_generator(steps, rank()).integers(2**31))):
            for part in micro_batches(batch, self.setup.context.micro_batch_size or len(batch.rows)):
                loss, values = self._gradient(part, loss_of, weight=len(part.rows) / count)
                losses.append(loss.detach())
                meter.add({"loss": loss, **values}, len(part.rows))
        if losses:
            self.taken.append(Taken(progress, steps + 1, self.rate, batch.rows, torch.stack(losses).sum()))
        all_reduce_gradients(self.setup.modules.parameters())
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def look(self) -> None:
        """Read the losses since the last look; all processes call it together.

        Raises:
            DivergedError: one is not finite.
        """
        losses = torch.stack([step.loss for step in self.taken]).tolist() if self.taken else []
        bad = [
            (step.steps, step.progress, step.rate, loss, step.rows.tolist())
            for step, loss in zip(self.taken, losses, strict=True)
            if not math.isfinite(loss)
        ]
        self.taken.clear()
        if all_reduce_scalar(len(bad)):
            steps, progress, rate, loss, rows = min(part[0] for part in all_gather_object(bad) if part)
            named = ", ".join(
                self.setup.items[row] if len(self.setup.items) else str(row) for row in rows[:5]
            )
            raise DivergedError(
                f"{self.label}: the loss became {loss} at epoch {progress:.2f}, step {steps}, rate {rate:.4g}, "
                f"in a batch with {named}; lower the learning rate or use precision fp32"
            )

    def _gradient(self, part: Batch, loss_of: Loss, *, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward and backward; both may be compiled when they are first come to."""
        self.largest = max(self.largest, len(part.rows))
        try:
            # The rest of an epoch has a size of its own, and comes once an epoch.
            with cudnn_benchmark(len(part.rows) == self.largest):
                with autocast(self.setup.precision, self.setup.device):
                    loss, values = loss_of(part)
                self.scaler.scale(loss * weight).backward()
            return loss, values
        except Exception as error:
            if isinstance(error, ValueError) and len(part.rows) == 1 and "more than 1 value" in str(error):
                raise UserError(
                    f"{self.label}: BatchNorm cannot normalize over a single clip of this size; raise the batch or "
                    "--micro-batch-size, or use fewer processes"
                ) from error
            if self.setup.context.compile and type(error).__module__.startswith(
                ("torch._dynamo", "torch._inductor")
            ):
                reason = " ".join(str(error).strip().partition("\n\n")[0].split())
                raise UserError(
                    f"--compile: torch cannot compile these encoders here ({reason}); run without it"
                ) from error
            raise


def micro_batches(batch: Batch, size: int) -> Iterator[Batch]:
    """A batch in as few parts of ``size`` clips at most as it takes, as equal as can be; none of an empty one.

    BatchNorm needs two clips: from a size of 2 on, no part has one, and one of three may exceed it.
    """
    clips = len(batch.rows)
    if clips <= size:
        if clips:
            yield batch
        return
    count = min(-(-clips // size), clips // min(size, 2))
    for number in range(count):
        these = slice(clips * number // count, clips * (number + 1) // count)
        audio = None if batch.audio is None else batch.audio[these]
        video = None if batch.video is None else _some(batch.video, these)
        yield Batch(batch.rows[these], batch.positions[these], video, audio, failed=())


def _some(boxes: CropBoxes, these: slice) -> CropBoxes:
    ends = [0, *accumulate(boxes.frames * side * side * 3 for side in boxes.sides)]
    first, last, _ = these.indices(len(boxes.sides))
    pixels = boxes.pixels[ends[first] : ends[last]]
    return replace(boxes, pixels=pixels, sides=boxes.sides[these], flips=boxes.flips[these])
