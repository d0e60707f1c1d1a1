"""What a training run tells while it works: metrics.jsonl, and the same for TensorBoard."""

import io
import json
import logging
import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xdcbench.disk import room

log = logging.getLogger("xdcbench")

Row = dict[str, Any]


class Watch:
    """Writes rows to ``metrics.jsonl``, which is the truth, and to event files made from it.

    A row with ``steps`` is of the steps since the row before; one without is of a whole epoch, or of what is
    known before the first (``epoch`` 0). After an interruption, rows of work that must be done again go, and
    the event files are made anew, so that no step is there twice or missing.

    Args:
        folder: the run directory.
        label: of the training run.
        epochs: that the checkpoint holds.
        steps: that the checkpoint holds.
        history: means of the epochs that the checkpoint holds, for rows of epochs that are lost.

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
        for events in folder.glob("events.out.tfevents.*"):
            events.unlink()
        building = self.path.with_name(".metrics.jsonl")
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        with room(folder, len(lines)):
            building.write_text(lines, encoding="utf-8")
            building.replace(self.path)
        self.events = folder / f"events.out.tfevents.{time.time_ns()}"
        _append(self.events, b"".join([_record(file_version="brain.Event:2"), *map(_drawn, rows)]))

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row of plain values; a list is drawn as a histogram."""
        whole = {"run": self.label, **row}
        _append(self.path, (json.dumps(whole) + "\n").encode())
        _append(self.events, _drawn(whole))


def memory(device: torch.device) -> dict[str, float]:
    """Most memory that this process has held so far, GB: its own, and on its GPU where there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
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
        match row:
            case {"epoch": int()}:
                rows.append(row)
    return rows


def _holds(row: Row, *, epochs: int, steps: int) -> bool:
    if steps == 0 and epochs == 0:
        return False
    return bool(row["steps"] <= steps if "steps" in row else row["epoch"] <= epochs)


def _append(path: Path, content: bytes) -> None:
    with room(path.parent, len(content)), path.open("ab") as file:
        file.write(content)


def _drawn(row: Row) -> bytes:
    """A row as records of an event file."""
    from torch.utils.tensorboard.summary import histogram, scalar  # takes a second to import

    of, at = ("step", row["steps"]) if "steps" in row else ("epoch", row["epoch"])
    values = {name: value for name, value in row.items() if name not in ("run", "epoch", "steps")}
    return b"".join(
        _record(
            step=at,
            summary=histogram(f"{of}/{name}", np.asarray(value), bins="auto", max_bins=512)
            if isinstance(value, list)
            else scalar(f"{of}/{name}", value),
        )
        for name, value in values.items()
    )


def _record(**of: Any) -> bytes:
    """An event as its file has it.

    TensorBoard's own writer has a thread, which would tell of a full disk by a traceback, and of the copies of
    which, in processes that read media, nothing good can come.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    RecordWriter(buffer).write(Event(wall_time=time.time(), **of).SerializeToString())
    return buffer.getvalue()
