"""The training loop: epochs of batches, checkpoints inside them, and what it tells meanwhile."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xdcbench.context import Context, elapsed
from xdcbench.data.clips import Batch
from xdcbench.distributed import leads, reduced, same_buffers, united
from xdcbench.errors import UserError
from xdcbench.progress import Track, duration, track
from xdcbench.schema import Precision, Schedule
from xdcbench.signals import REQUEUE, deferred
from xdcbench.training.checkpoints import Checkpoints
from xdcbench.training.meter import Meter
from xdcbench.training.schedule import rate_factor
from xdcbench.training.step import Loss, Stepper
from xdcbench.training.watch import Watch, memory

log = logging.getLogger("xdcbench")

Epoch = Callable[[int, int], tuple[int, Iterator[Batch]]]
"""From the number of an epoch, from 0, and clips of it that are done, to its clips in all and the other batches."""

LOOK_EVERY = 10
"""Steps between two looks at the losses, each of which waits for the GPU."""

TELL_EVERY = 10.0
"""Seconds between two rows of metrics within an epoch."""


@dataclass
class State:
    """How far a training run is; with weights and optimiser, all that an interruption must not lose.

    Attributes:
        history: means of each whole epoch.
        failed: reason of each item that could not be read.
        best: weights of the best epoch, where one is chosen.
        step: batches done of the epoch at hand, those that could not be read included.
        steps: batches done in all.
        sums: of the epoch at hand, as ``Meter`` has them.
        seen: clips of the epoch at hand.
        start: values before the first step.
        seconds: of the epoch at hand.
        waited: seconds of them that went into waiting for data.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seen: float = 0.0
    start: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0


class Agreed(NamedTuple):
    """What all processes know after a step's one exchange: clips that were read, and what to do."""

    read: float
    stop: bool
    save: bool
    tell: bool


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
        work: folder for checkpoints and metrics.
        batch: clips per step, over all processes.
        context: says how often to save, in what parts to compute, what is left of the plan.
        label: what to call it in progress and logs.
        preface: what to note before the first epoch.
        items: ids of the items, for messages; positions where there are none.
    """

    modules: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    device: torch.device
    work: Path
    batch: int
    context: Context
    label: str
    preface: Mapping[str, Any] = field(default_factory=dict)
    items: Sequence[str] = ()

    def fit(
        self,
        epoch_of: Epoch,
        loss_of: Loss,
        *,
        validate: Callable[[], dict[str, float]] | None = None,
        best_by: str = "",
        until: Callable[[Sequence[dict[str, float]]], bool] | None = None,
    ) -> tuple[list[dict[str, float]], dict[int, str]]:
        """Train for all epochs, going on after the last checkpoint.

        Args:
            epoch_of: batches of an epoch.
            loss_of: the loss of a batch.
            validate: what to measure after each epoch.
            best_by: the measure whose highest epoch, the first of equals, is left in the modules; empty
                leaves the last.
            until: whether the epochs so far are enough; at most those of the schedule are trained.

        Returns:
            The means of each epoch, in order (in the first, ``start_...loss``: before the first step), and
            the reason of every item that could not be read.

        Raises:
            UserError: the loss is not finite, no clip of an epoch could be read, or the disk is full.
            SystemExit: it was asked to end, with the code that says so; the state is saved.
        """
        if self.context.compile:
            for module in self.modules.values():
                module.compile()
        with deferred() as asked:
            run = Run(self, asked)
            try:
                while not run.enough(until):
                    run.epoch(epoch_of, loss_of, validate, best_by)
            finally:
                run.close()
        if best_by:
            self.modules.load_state_dict(run.state.best)
        return run.state.history, united(run.state.failed)


class Run:
    """A training run at work.

    Args:
        trainer: what it needs.
        asked: whether this process was asked to end.
    """

    def __init__(self, trainer: Trainer, asked: Callable[[], bool]) -> None:
        self.of, self.asked = trainer, asked
        self.checkpoints = Checkpoints(trainer.work, trainer.context.keep_checkpoints)
        self.stepper = Stepper(
            trainer.modules,
            trainer.optimizer,
            precision=trainer.precision,
            device=trainer.device,
            label=trainer.label,
            part=trainer.context.device_batch,
            compiled=trainer.context.compile,
            items=trainer.items,
        )
        self.state = self._resumed()
        leading = leads()
        self.meter = Meter(self.state.sums if leading else {}, self.state.seen if leading else 0.0)
        self.watch = self._watch() if leading else None
        self.saved = self.told = self.begun = time.monotonic()
        self.begun_at: float | None = None
        self.last = (self.state.sums, self.state.seen, self.begun)

    def enough(self, until: Callable[[Sequence[dict[str, float]]], bool] | None) -> bool:
        """Whether the epochs so far are all there are to be."""
        history = self.state.history
        return len(history) >= self.of.schedule.epochs or bool(history and until and until(history))

    def epoch(
        self,
        epoch_of: Epoch,
        loss_of: Loss,
        validate: Callable[[], dict[str, float]] | None,
        best_by: str,
    ) -> None:
        """Train what is left of an epoch, and measure it."""
        state, of = self.state, self.of
        of.modules.train()
        clips, batches = epoch_of(len(state.history), state.step * of.batch)
        if self.begun_at is None:
            self.begun_at = len(state.history) + min(state.step * of.batch / clips, 1.0)
        title = f"{of.label} epoch {len(state.history) + 1}/{of.schedule.epochs}"
        with track(title, clips, done=min(state.step * of.batch, clips)) as tick:
            self._steps(batches, loss_of, clips, tick)
        row = self._row()
        if validate is not None:
            row |= validate()
        history = state.history
        if best_by and row[best_by] > max((past[best_by] for past in history), default=-math.inf):
            state.best = {name: tensor.detach().clone() for name, tensor in of.modules.state_dict().items()}
        history.append(row)
        state.step, state.seconds, state.waited = 0, 0.0, 0.0
        self.meter = Meter()
        self.last = ({}, 0.0, time.monotonic())
        if self.watch:
            self.watch.write({"epoch": len(history), **row, **self._circumstances(float(len(history)))})
        log.info("%s epoch %d/%d: %s", of.label, len(history), of.schedule.epochs, _words(row))
        self._obey(self._agree(0))

    def close(self) -> None:
        """Complete what is written."""
        if self.watch:
            self.watch.close()

    def _steps(self, batches: Iterator[Batch], loss_of: Loss, clips: int, tick: Track) -> None:
        state, of = self.state, self.of
        while True:
            begun = time.monotonic()
            batch = self._next(batches)
            state.waited += time.monotonic() - begun
            if batch is None:
                break
            progress = len(state.history) + state.step * of.batch / clips
            agreed = self._agree(len(batch.rows))
            self._obey(agreed)
            state.failed |= dict(batch.failed)
            if agreed.read >= 2:  # BatchNorm needs two
                factor = rate_factor(of.schedule, progress)
                at = (progress, state.steps)
                self.stepper(batch, loss_of, self.meter, count=agreed.read, factor=factor, at=at)
                if not state.start:
                    means = self.meter.means()
                    state.start = {f"start_{n}": value for n, value in means.items() if n.endswith("loss")}
            state.step += 1
            state.steps += 1
            if state.steps % LOOK_EVERY == 0:
                self.stepper.look()
            state.seconds += time.monotonic() - begun
            tick(len(batch.rows) + len(batch.failed))
            if agreed.tell:
                self._tell(len(state.history) + min(state.step * of.batch / clips, 1.0), tick)
        self.stepper.look()
        same_buffers(of.modules)

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        """The next batch; a reader that the same signal ended is no failure, since nothing more is read."""
        try:
            return next(batches, None)
        except UserError:
            if not self.asked():
                raise
            none = torch.empty(0, dtype=torch.int64)
            return Batch(none, none, None, None, ())

    def _agree(self, read: int) -> Agreed:
        """Exchange clips that were read, and what any process, or the leading one's clock, asks for."""
        now = time.monotonic()
        save = leads() and now - self.saved >= self.of.context.checkpoint_seconds
        tell = leads() and now - self.told >= TELL_EVERY
        wishes = torch.tensor([read, self.asked(), save, tell], dtype=torch.float64)
        clips, *flags = reduced(wishes).tolist()
        return Agreed(clips, *map(bool, flags))

    def _obey(self, agreed: Agreed) -> None:
        if agreed.stop or agreed.save:
            self._save()
        if agreed.stop:
            reduced(torch.zeros(1))  # nobody leaves before the leading process has saved
            raise SystemExit(REQUEUE)

    def _row(self) -> dict[str, float]:
        """The means of an epoch."""
        state, of = self.state, self.of
        sums, seen = self.meter.totals()
        if not seen:
            raise UserError(
                f"{of.label}: no clip of epoch {len(state.history) + 1} could be read; see the log for the files"
            )
        row = {} if state.history else dict(state.start)
        row |= {name: value / seen for name, value in sums.items()}
        return row | {
            "clips_per_second": seen / state.seconds,
            "share_waiting": state.waited / state.seconds,
        }

    def _tell(self, progress: float, tick: Track) -> None:
        """A row of metrics of the steps since the last one."""
        sums, seen = self.meter.totals()
        before, seen_before, then = self.last
        now = time.monotonic()
        self.told, self.last = now, (sums, seen, now)
        if self.watch and seen > seen_before:
            clips = seen - seen_before
            means = {name: (value - before.get(name, 0.0)) / clips for name, value in sums.items()}
            circumstances = self._circumstances(progress)
            tick.note = (
                f"round {duration(circumstances['round_seconds_left'])} left, "
                f"plan {duration(circumstances['plan_seconds_left'])} left"
            )
            row = {"epoch": len(self.state.history) + 1, "steps": self.state.steps, **means}
            row |= {"clips_per_second": clips / (now - then)}
            row |= {"share_waiting": self.state.waited / self.state.seconds}
            self.watch.write(row | circumstances)

    def _circumstances(self, progress: float) -> dict[str, float]:
        """Rate, memory, and seconds that are left for this training run and for the plan."""
        spent = time.monotonic() - self.begun
        left = (self.of.schedule.epochs - progress) * spent / max(progress - (self.begun_at or 0.0), 1e-9)
        rest = self.of.context.rest(elapsed(self.of.context) + left)
        return {
            "rate": self.stepper.rate,
            **memory(self.of.device),
            "round_seconds_left": left,
            "plan_seconds_left": left + rest,
        }

    def _save(self) -> None:
        self.stepper.look()
        sums, seen = self.meter.totals()
        self.state.failed = united(self.state.failed)
        if leads():
            state = {
                "modules": self.of.modules.state_dict(),
                "optimizer": self.of.optimizer.state_dict(),
                "scaler": self.stepper.scaler.state_dict(),
                **vars(self.state),
                "sums": sums,
                "seen": seen,
            }
            self.checkpoints.save(state, steps=self.state.steps)
        self.saved = time.monotonic()

    def _resumed(self) -> State:
        found = self.checkpoints.load(self.of.device)
        if found is None:
            return State()
        self.of.modules.load_state_dict(found.pop("modules"))
        self.of.optimizer.load_state_dict(found.pop("optimizer"))
        self.stepper.scaler.load_state_dict(found.pop("scaler"))
        state = State(**found)
        epoch = len(state.history) + 1
        log.info("%s goes on after %d steps, %d of epoch %d", self.of.label, state.steps, state.step, epoch)
        return state

    def _watch(self) -> Watch:
        watch = Watch(self.of.work, self.of.label, epochs=len(self.state.history), steps=self.state.steps)
        if watch.empty and self.of.preface:
            watch.write({"epoch": 0, **self.of.preface})
        return watch


def _words(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())
