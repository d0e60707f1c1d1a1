"""What a training run tells of itself: a row per interval and per epoch, and the time that is left."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xdcbench.context import Context, elapsed
from xdcbench.progress import duration
from xdcbench.training.state import State
from xdcbench.training.watch import Watch, memory

Totals = tuple[Mapping[str, float], float]
"""Sums by name over the clips of an epoch so far, and their number, of all processes."""


class Account:
    """Kept by the leading process.

    Args:
        work: the run directory.
        label: of the training run.
        epochs: that it takes at most.
        state: where it begins.
        device: whose memory is told.
        context: says what is left of the plan.
        preface: what to note before the first epoch.

    Raises:
        UserError: the disk is full; so do ``interval`` and ``epoch``.
    """

    def __init__(
        self,
        work: Path,
        label: str,
        *,
        epochs: int,
        state: State,
        device: torch.device,
        context: Context,
        preface: Mapping[str, Any],
    ) -> None:
        self.epochs, self.device, self.context = epochs, device, context
        self.begun = self.then = time.monotonic()
        self.begun_at: float | None = None
        self.before: Totals = (state.sums, state.seen)
        history = state.history
        self.watch = Watch(work, label, epochs=len(history), steps=state.steps, history=history)
        if self.watch.empty and preface:
            self.watch.write({"epoch": 0, **preface})

    def begin(self, progress: float) -> None:
        """Note that an epoch begins or goes on, with ``progress`` epochs done; the first call counts."""
        self.begun_at = progress if self.begun_at is None else self.begun_at

    def interval(self, state: State, totals: Totals, *, progress: float, rate: float) -> str:
        """Write a row of the steps since the last one.

        Args:
            state: after the last step.
            totals: of the epoch so far.
            progress: epochs done.
            rate: the learning rate.

        Returns:
            The time that is left, in words; empty if no clip was read since.
        """
        (sums, seen), (past, seen_before), now = totals, self.before, time.monotonic()
        took, self.before, self.then = now - self.then, totals, now
        clips = seen - seen_before
        if not clips:
            return ""
        circumstances = self._circumstances(progress, rate)
        means = {name: (value - past.get(name, 0.0)) / clips for name, value in sums.items()}
        pace = {"clips_per_second": clips / took, "share_waiting": state.waited / state.seconds}
        epoch = {"epoch": len(state.history) + 1, "steps": state.steps}
        self.watch.write({**epoch, **means, **pace, **circumstances})
        left, plan = (duration(circumstances[f"{of}_seconds_left"]) for of in ("round", "plan"))
        return f"round {left} left, plan {plan} left"

    def epoch(self, history: list[dict[str, float]], *, rate: float) -> None:
        """Write the row of the last epoch of ``history``."""
        self.before, self.then = ({}, 0.0), time.monotonic()
        done = len(history)
        self.watch.write({"epoch": done, **history[-1], **self._circumstances(float(done), rate)})

    def _circumstances(self, progress: float, rate: float) -> dict[str, float]:
        """Rate, memory, and seconds that are left for this training run and for the plan."""
        spent = time.monotonic() - self.begun
        left = (self.epochs - progress) * spent / max(progress - (self.begun_at or 0.0), 1e-9)
        rest = self.context.rest(elapsed(self.context) + left)
        return {
            "rate": rate,
            **memory(self.device),
            "round_seconds_left": left,
            "plan_seconds_left": left + rest,
        }
