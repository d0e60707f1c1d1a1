"""The epochs of a training run, each from the step that the last checkpoint reached."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from xdcbench.data.clips import Batch
from xdcbench.distributed import leads, reduced, same_buffers, united
from xdcbench.errors import UserError
from xdcbench.progress import Track, track
from xdcbench.signals import REQUEUE
from xdcbench.training.account import Account
from xdcbench.training.agreement import Agreed, Agreement
from xdcbench.training.checkpoints import Checkpoints
from xdcbench.training.meter import Meter
from xdcbench.training.schedule import rate_factor
from xdcbench.training.state import State
from xdcbench.training.step import Loss, Stepper

if TYPE_CHECKING:
    from xdcbench.training.loop import Trainer

log = logging.getLogger("xdcbench")

Epoch = Callable[[int, int], tuple[int, Iterator[Batch]]]
"""From the number of an epoch, from 0, and clips of it that are done, to its clips in all and the other batches."""

LOOK_EVERY = 10
"""Steps between two looks at the losses, each of which waits for the GPU."""


class Run:
    """A training run at work.

    Args:
        trainer: what it needs.
        asked: whether this process was asked to end.
    """

    def __init__(self, trainer: "Trainer", asked: Callable[[], bool]) -> None:
        self.of = trainer
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
        self.agree = Agreement(asked, trainer.context.checkpoint_seconds)
        # What was done before the interruption counts once, whatever the number of processes.
        self.meter = Meter(self.state.sums, self.state.seen) if leads() else Meter()
        self.account = self._account() if leads() else None

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
        begun = time.monotonic()
        clips, batches = epoch_of(len(state.history), state.step * of.batch)
        took = time.monotonic() - begun
        state.seconds, state.waited = state.seconds + took, state.waited + took
        if self.account:
            self.account.begin(self._progress(clips))
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
        if self.account:
            self.account.epoch(history, rate=self.stepper.rate)
        words = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        log.info("%s epoch %d/%d: %s", of.label, len(history), of.schedule.epochs, words)
        self._obey(self.agree(0))

    def _steps(self, batches: Iterator[Batch], loss_of: Loss, clips: int, tick: Track) -> None:
        state, of = self.state, self.of
        while True:
            begun = time.monotonic()
            batch = next(batches, None)
            state.waited += time.monotonic() - begun
            if batch is None:
                break
            if len(batch.rows) == 1:  # BatchNorm needs two; the other clips of this share could not be read
                batch = Batch(batch.rows[:0], batch.positions[:0], None, None, batch.failed)
            progress = len(state.history) + state.step * of.batch / clips
            agreed = self.agree(len(batch.rows))
            self._obey(agreed)
            state.failed |= dict(batch.failed)
            if agreed.read:
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
                self._tell(clips, tick)
        self.stepper.look()
        same_buffers(of.modules)

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

    def _progress(self, clips: int) -> float:
        """Epochs done, of which the one at hand has ``clips`` clips."""
        return len(self.state.history) + min(self.state.step * self.of.batch / clips, 1.0)

    def _tell(self, clips: int, tick: Track) -> None:
        totals = self.meter.totals()
        self.agree.told = time.monotonic()
        if self.account:
            progress, rate = self._progress(clips), self.stepper.rate
            tick.note = self.account.interval(self.state, totals, progress=progress, rate=rate) or tick.note

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
        self.agree.saved = time.monotonic()

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

    def _account(self) -> Account:
        return Account(
            self.of.work,
            self.of.label,
            epochs=self.of.schedule.epochs,
            state=self.state,
            device=self.of.device,
            context=self.of.context,
            preface=self.of.preface,
        )
