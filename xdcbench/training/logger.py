"""What a training run reports while it works: metrics.jsonl, TensorBoard events, and the time left."""

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xdcbench.data.context import elapsed
from xdcbench.training.checkpoints import TrainerState
from xdcbench.training.setup import TrainingSetup
from xdcbench.utils.disk import explain_full_disk
from xdcbench.utils.format import duration
from xdcbench.utils.memory import peak_memory

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Totals = tuple[Mapping[str, float], float]
"""Sums by name over the clips of an epoch so far, and their number, of all processes."""


class TrainingLogger:
    """Kept by the main process.

    Raises:
        UserError: the disk is full; so do ``interval`` and ``epoch``.
    """

    def __init__(self, setup: TrainingSetup, state: TrainerState) -> None:
        self.epochs, self.device, self.context = setup.schedule.epochs, setup.device, setup.context
        self.begun = self.then = time.monotonic()
        self.begun_at: float | None = None
        self.before: Totals = (state.sums, state.seen)
        history = state.history
        self.writer = MetricsWriter(
            setup.work, setup.label, epochs=len(history), steps=state.steps, history=history
        )
        if self.writer.empty and setup.preface:
            self.writer.write({"epoch": 0, **setup.preface})

    def begin(self, progress: float) -> None:
        """Note that an epoch begins or resumes, with ``progress`` epochs done; the first call counts."""
        self.begun_at = progress if self.begun_at is None else self.begun_at

    def interval(self, state: TrainerState, totals: Totals, *, progress: float, rate: float) -> str:
        """Write a row of the steps since the last one, after ``progress`` epochs.

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
        pace = {"clips_per_second": clips / took, "data_wait": state.waited / state.seconds}
        epoch = {"epoch": len(state.history) + 1, "steps": state.steps}
        self.writer.write({**epoch, **means, **pace, **circumstances})
        left, plan = (duration(circumstances[f"{of}_seconds_left"]) for of in ("round", "plan"))
        return f"round {left} left, plan {plan} left"

    def epoch(self, history: list[dict[str, float]], *, rate: float) -> None:
        """Write the row of the last epoch of ``history``."""
        self.before, self.then = ({}, 0.0), time.monotonic()
        done = len(history)
        self.writer.write({"epoch": done, **history[-1], **self._circumstances(float(done), rate)})

    def close(self) -> None:
        """Nothing more is to be written."""
        self.writer.close()

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


log = logging.getLogger("xdcbench")

Row = dict[str, Any]


class MetricsWriter:
    """Writes rows to ``metrics.jsonl``, which is the truth, and to event files made from it.

    A row with ``steps`` is of the steps since the row before; one without is of a whole epoch, or of what is
    known before the first (``epoch`` 0). After an interruption, rows of work that must be done again go, and
    the event files are made anew, so that no step is there twice or missing.

    The checkpoint holds ``epochs`` and ``steps``, and with ``history`` the means of epochs whose rows are lost.

    Raises:
        UserError: the disk is full.
    """

    def __init__(
        self,
        folder: Path,
        label: str,
        *,
        epochs: int,
        steps: int,
        history: Sequence[Mapping[str, float]] = (),
    ) -> None:
        self.path, self.label = folder / "metrics.jsonl", label
        rows = [row for row in _rows(self.path) if _holds(row, epochs=epochs, steps=steps)]
        there = {row["epoch"] for row in rows if "steps" not in row}
        if lost := [number for number in range(1, len(history) + 1) if number not in there]:
            log.warning("%s is damaged; epochs that it lacks are taken from the checkpoint", self.path)
            rows += [{"run": label, "epoch": number, **history[number - 1]} for number in lost]
            rows.sort(key=lambda row: (row["epoch"], row.get("steps", math.inf)))
        self.empty = not rows
        building = self.path.with_name(".metrics.jsonl")
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        with explain_full_disk(folder, len(lines)):
            building.write_text(lines, encoding="utf-8")
            building.replace(self.path)
            self.events = _event_writer(folder, rows)

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row of plain values; a list is drawn as a histogram."""
        whole = {"run": self.label, **row}
        line = json.dumps(whole) + "\n"
        with explain_full_disk(self.path.parent, len(line)):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
            _add(self.events, whole)
            self.events.flush()

    def close(self) -> None:
        """End the thread that writes events."""
        self.events.close()


def memory(device: torch.device) -> dict[str, float]:
    """Most memory that this process has held so far, GB: its own, and on its GPU where there is one."""
    found = {"memory_gb": peak_memory() / 1e9}
    if device.type == "cuda":
        found["gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return found


def _rows(path: Path) -> list[Row]:
    """Whole rows of a file that may end in the middle of one, or be damaged."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("epoch"), int):
            rows.append(row)
    return rows


def _holds(row: Row, *, epochs: int, steps: int) -> bool:
    if steps == 0 and epochs == 0:
        return False
    return bool(row["steps"] <= steps if "steps" in row else row["epoch"] <= epochs)


def _event_writer(folder: Path, rows: Sequence[Row]) -> "SummaryWriter":
    """Replace the event files of a folder by one that holds ``rows``.

    ``purge_step`` would not do: steps and epochs are counted on two scales in one file.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes a second to import

    for events in folder.glob("events.out.tfevents.*"):
        events.unlink()
    writer = SummaryWriter(str(folder))
    for row in rows:
        _add(writer, row)
    writer.flush()
    return writer


def _add(events: "SummaryWriter", row: Row) -> None:
    of, at = ("step", row["steps"]) if "steps" in row else ("epoch", row["epoch"])
    for name, value in row.items():
        if isinstance(value, list):
            events.add_histogram(f"{of}/{name}", np.asarray(value), at, bins="auto")
        elif name not in ("run", "epoch", "steps"):
            events.add_scalar(f"{of}/{name}", value, at)
