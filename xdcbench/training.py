"""The one training loop: epochs of batches, a schedule, checkpoints; rounds and finetuning share it."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xdcbench.data.clips import Batch
from xdcbench.distributed import gathered, leads, same_buffers, sum_gradients, total, united
from xdcbench.errors import UserError
from xdcbench.progress import log, track
from xdcbench.runtime import autocast
from xdcbench.schema import Precision, Schedule

Epoch = Callable[[int], tuple[int, Iterator[Batch]]]
"""From the number of an epoch, from 0, to its count of clips and its batches."""

Loss = Callable[[Batch], tuple[Tensor, dict[str, float]]]
"""From a batch to the loss to lower and what to average over the epoch."""


@dataclass(frozen=True)
class Trainer:
    """What a training run needs besides its data.

    Of several processes, each takes its share of every batch; gradients are those of the whole batch,
    while BatchNorm normalises within a share, and the leading process's running statistics are kept.

    Attributes:
        modules: everything that is trained and saved.
        optimizer: its parameter groups carry ``peak``, their rate after warm-up.
        schedule: epochs, warm-up, decay.
        precision: of the forward pass, resolved.
        device: where it runs.
        work: folder for ``checkpoint.pt`` and ``metrics.jsonl``.
        batch: clips per step, over all processes.
        checkpoint_seconds: least time between two checkpoints.
        label: what to call it in progress and logs.
    """

    modules: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    device: torch.device
    work: Path
    batch: int
    checkpoint_seconds: float
    label: str

    def fit(
        self,
        epoch_of: Epoch,
        loss_of: Loss,
        *,
        validate: Callable[[], dict[str, float]] | None = None,
        best_by: str = "",
    ) -> tuple[list[dict[str, float]], dict[int, str]]:
        """Train for all epochs, going on after the last checkpoint.

        Args:
            epoch_of: batches of an epoch.
            loss_of: the loss of a batch.
            validate: what to measure after each epoch.
            best_by: the measure whose highest epoch, the first of equals, is left in the modules; empty
                leaves the last.

        Returns:
            The means of each epoch, in order (in the first, ``start_...loss``: before the first step), and
            the reason of every item that could not be read.

        Raises:
            UserError: the loss is not finite, or no clip of an epoch could be read.
        """
        history, failed, best = self._resume()
        saved = time.monotonic()
        for epoch in range(len(history), self.schedule.epochs):
            row = self._epoch(epoch, epoch_of, loss_of, failed)
            if validate is not None:
                row |= validate()
            if best_by and row[best_by] > max((past[best_by] for past in history), default=-math.inf):
                best = {name: tensor.detach().clone() for name, tensor in self.modules.state_dict().items()}
            history.append(row)
            if leads():
                _append(self.work / "metrics.jsonl", {"run": self.label, "epoch": epoch + 1, **row})
            log.info("%s epoch %d/%d: %s", self.label, epoch + 1, self.schedule.epochs, _words(row))
            if time.monotonic() - saved >= self.checkpoint_seconds and len(history) < self.schedule.epochs:
                self._save(history, failed, best)
                saved = time.monotonic()
        if best_by:
            self.modules.load_state_dict(best)
        return history, united(failed)

    def _epoch(self, epoch: int, epoch_of: Epoch, loss_of: Loss, failed: dict[int, str]) -> dict[str, float]:
        self.modules.train()
        clips, batches = epoch_of(epoch)
        sums: dict[str, float] = {}
        start: dict[str, float] = {}
        seen, taken, begun, waited = 0.0, 0, time.monotonic(), 0.0
        with track(f"{self.label} epoch {epoch + 1}/{self.schedule.epochs}", clips) as tick:
            while True:
                asked = time.monotonic()
                batch = next(batches, None)
                waited += time.monotonic() - asked
                if batch is None:
                    break
                failed |= dict(batch.failed)
                tick(len(batch.rows) + len(batch.failed))
                progress = epoch + taken / clips
                taken += self.batch
                count = total(len(batch.rows))
                if count < 2:  # BatchNorm needs two
                    continue
                values = self._step(batch, loss_of, count=count, progress=progress)
                if epoch == 0 and not seen:
                    start = {
                        f"start_{name}": value for name, value in values.items() if name.endswith("loss")
                    }
                seen += len(batch.rows)
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value * len(batch.rows)
        same_buffers(self.modules)
        seen = total(seen)
        if not seen:
            raise UserError(
                f"{self.label}: no clip of epoch {epoch + 1} could be read; see the log for the files"
            )
        elapsed = time.monotonic() - begun
        row = start | {name: value / seen for name, value in summed(sums).items()}
        return row | {"clips_per_second": seen / elapsed, "share_waiting": waited / elapsed}

    def _step(self, batch: Batch, loss_of: Loss, *, count: float, progress: float) -> dict[str, float]:
        """One step on a batch of which ``count`` clips were read in all processes together."""
        factor = rate_factor(self.schedule, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        values: dict[str, float] = {}
        self.optimizer.zero_grad(set_to_none=True)
        if len(batch.rows):
            with autocast(self.precision, self.device):
                loss, values = loss_of(batch)
            values = {"loss": loss.item(), **values}
            (loss * (len(batch.rows) / count)).backward()
        if total(float(not math.isfinite(values.get("loss", 0.0)))):
            raise UserError(
                f"{self.label}: the loss became {values.get('loss')} at epoch {progress:.2f}; lower the "
                f"learning rate or use precision fp32"
            )
        sum_gradients(self.modules.parameters())
        self.optimizer.step()
        return values

    def _save(self, history: list[dict[str, float]], failed: dict[int, str], best: dict[str, Tensor]) -> None:
        if not leads():
            return
        state = {
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": history,
            "failed": failed,
            "best": best,
        }
        building = self.work / ".checkpoint.pt"
        torch.save(state, building)
        building.replace(self.work / "checkpoint.pt")

    def _resume(self) -> tuple[list[dict[str, float]], dict[int, str], dict[str, Tensor]]:
        path = self.work / "checkpoint.pt"
        if not path.exists():
            return [], {}, {}
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        log.info("%s goes on after epoch %d", self.label, len(state["history"]))
        if leads():
            (self.work / "metrics.jsonl").unlink(missing_ok=True)
            for epoch, row in enumerate(state["history"], 1):
                _append(self.work / "metrics.jsonl", {"run": self.label, "epoch": epoch, **row})
        return state["history"], state["failed"], state["best"]


def sgd(groups: list[tuple[nn.Module, float]], schedule: Schedule) -> torch.optim.SGD:
    """SGD with Nesterov momentum over ``(module, peak rate)`` groups."""
    return torch.optim.SGD(
        [{"params": list(module.parameters()), "lr": peak, "peak": peak} for module, peak in groups],
        lr=schedule.lr,
        momentum=schedule.momentum,
        nesterov=schedule.momentum > 0,
        weight_decay=schedule.weight_decay,
    )


def rate_factor(schedule: Schedule, progress: float) -> float:
    """Learning rate as a share of its peak after ``progress`` epochs (VMZ: linear warm-up, then steps)."""
    if progress < schedule.warmup:
        return min(1.0, (progress + 1e-3) / schedule.warmup)
    if schedule.decay == "step":
        return schedule.gamma ** sum(progress >= step for step in schedule.steps)
    if schedule.decay == "cosine":
        done = (progress - schedule.warmup) / max(schedule.epochs - schedule.warmup, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return 1.0


def summed(sums: dict[str, float]) -> dict[str, float]:
    """Sums by name over all processes, some of which may lack a name."""
    parts = gathered(sums)
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0.0) for part in parts) for name in names}


def _append(path: Path, row: dict[str, object]) -> None:
    """Add a line to a metrics.jsonl."""
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _words(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())
