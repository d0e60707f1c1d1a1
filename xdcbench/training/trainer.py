"""The training loop: one for every device, for rounds and for finetuning."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import torch

from xdcbench.data.clip_dataset import Batch
from xdcbench.errors import UserError
from xdcbench.training.checkpoints import Checkpoints, TrainerState
from xdcbench.training.logger import TrainingLogger
from xdcbench.training.metrics import AverageMeter
from xdcbench.training.schedule import rate_factor
from xdcbench.training.setup import TrainingSetup
from xdcbench.training.step import Loss, TrainingStep
from xdcbench.training.sync import StepDecision, StepSync
from xdcbench.utils.distributed import all_gather_dict, all_reduce, broadcast_buffers, is_main_process
from xdcbench.utils.progress import Track, track
from xdcbench.utils.signals import REQUEUE, defer_signals

log = logging.getLogger("xdcbench")

Epoch = Callable[[int, int], tuple[int, Iterator[Batch]]]
"""From the number of an epoch, from 0, and clips of it that are done, to its clips in all and the other batches."""

LOOK_EVERY = 10
"""Steps between two looks at the losses, each of which waits for the GPU."""


class Trainer(TrainingSetup):
    """A training run.

    Of several processes, each takes its share of every batch; gradients are those of the whole batch,
    while BatchNorm normalizes within a share, and the main process's running statistics are kept.
    """

    def fit(
        self,
        epoch_of: Epoch,
        loss_of: Loss,
        *,
        validate: Callable[[], dict[str, float]] | None = None,
        best_by: str = "",
        until: Callable[[Sequence[dict[str, float]]], bool] | None = None,
    ) -> tuple[list[dict[str, float]], dict[int, str]]:
        """Train for all epochs, resuming after the last checkpoint.

        Args:
            validate: what to measure after each epoch.
            best_by: the measure whose highest epoch, the first of equals, is left in the modules; empty
                leaves the last.
            until: whether the epochs so far are enough; at most those of the schedule are trained.

        Returns:
            The means of each epoch, in order (in the first, ``initial_...loss``: before the first step), and
            the reason of every item that could not be read.

        Raises:
            UserError: the loss is not finite, no clip of an epoch could be read, or the disk is full.
            SystemExit: it was asked to end, with the code that says so; the state is saved.
        """
        if self.context.compile:
            # Inductor's own choice of layout on a CPU is channels_last, in which torch 2.11 corrupts memory
            # (``models.encoders.place``).
            options = {"layout_optimization": False} if self.device.type == "cpu" else None
            for module in self.modules.values():
                module.compile(options=options)
        with defer_signals() as asked, closing(TrainingRun(self, asked)) as run:
            while not run.enough(until):
                run.epoch(epoch_of, loss_of, validate, best_by)
        if best_by:
            self.modules.load_state_dict(run.state.best)
        return run.state.history, all_gather_dict(run.state.failed)


class TrainingRun:
    """A training run at work.

    Args:
        trainer: what it needs.
        asked: whether this process was asked to end.
    """

    def __init__(self, trainer: Trainer, asked: Callable[[], bool]) -> None:
        self.of = trainer
        self.checkpoints = Checkpoints(trainer.work, trainer.context.keep_checkpoints)
        self.stepper = TrainingStep(trainer)
        self.state = self._resumed()
        self.agree = StepSync(asked, trainer.context.checkpoint_seconds)
        # What was done before the interruption counts once, whatever the number of processes.
        self.meter = AverageMeter(self.state.sums, self.state.seen) if is_main_process() else AverageMeter()
        self.logger = TrainingLogger(trainer, self.state) if is_main_process() else None

    def close(self) -> None:
        """End what the run has open."""
        if self.logger:
            self.logger.close()

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
        if self.logger:
            self.logger.begin(self._progress(clips))
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
        self.meter = AverageMeter()
        if self.logger:
            self.logger.epoch(history, rate=self.stepper.rate)
        words = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        log.debug("%s epoch %d/%d: %s", of.label, len(history), of.schedule.epochs, words)
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
                    state.start = {f"initial_{n}": value for n, value in means.items() if n.endswith("loss")}
            state.step += 1
            state.steps += 1
            if state.steps % LOOK_EVERY == 0:
                self.stepper.look()
            state.seconds += time.monotonic() - begun
            tick(len(batch.rows) + len(batch.failed))
            if agreed.tell:
                self._tell(clips, tick)
        begun = time.monotonic()
        self.stepper.look()  # which on a GPU waits for the last steps
        state.seconds += time.monotonic() - begun
        broadcast_buffers(of.modules)

    def _obey(self, agreed: StepDecision) -> None:
        if agreed.stop or agreed.save:
            self._save()
        if agreed.stop:
            all_reduce(torch.zeros(1))  # nobody leaves before the main process has saved
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
            "data_wait": state.waited / state.seconds,
        }

    def _progress(self, clips: int) -> float:
        """Epochs done, of which the one at hand has ``clips`` clips."""
        return len(self.state.history) + min(self.state.step * self.of.batch / clips, 1.0)

    def _tell(self, clips: int, tick: Track) -> None:
        totals = self.meter.totals()
        self.agree.told = time.monotonic()
        if self.logger:
            progress, rate = self._progress(clips), self.stepper.rate
            tick.note = self.logger.interval(self.state, totals, progress=progress, rate=rate) or tick.note

    def _save(self) -> None:
        self.stepper.look()
        sums, seen = self.meter.totals()
        self.state.failed = all_gather_dict(self.state.failed)
        if is_main_process():
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

    def _resumed(self) -> TrainerState:
        found = self.checkpoints.load(self.of.device)
        if found is None:
            return TrainerState()
        self.of.modules.load_state_dict(found.pop("modules"))
        self.of.optimizer.load_state_dict(found.pop("optimizer"))
        self.stepper.scaler.load_state_dict(found.pop("scaler"))
        state = TrainerState(**found)
        epoch = len(state.history) + 1
        log.info("%s resumes after %d steps, %d of epoch %d", self.of.label, state.steps, state.step, epoch)
        return state
