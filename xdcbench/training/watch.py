"""What a training run tells while it works: metrics.jsonl, and the same for TensorBoard."""

import json
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xdcbench.training.checkpoints import no_space

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

    Raises:
        UserError: the disk is full.
    """

    def __init__(self, folder: Path, label: str, *, epochs: int, steps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self.path, self.label = folder / "metrics.jsonl", label
        rows = [row for row in _rows(self.path) if _holds(row, epochs=epochs, steps=steps)]
        self.empty = not rows
        for events in folder.glob("events.out.tfevents.*"):
            events.unlink()
        building = self.path.with_name(".metrics.jsonl")
        building.write_text("".join(json.dumps(row) + "\n" for row in rows))
        building.replace(self.path)
        self.board = SummaryWriter(str(folder))
        for row in rows:
            self._draw(row)

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row of plain values; a list is drawn as a histogram."""
        whole = {"run": self.label, **row}
        line = json.dumps(whole) + "\n"
        try:
            with self.path.open("a") as file:
                file.write(line)
        except OSError as error:
            raise no_space(error, self.path.parent, needed=len(line)) from error
        self._draw(whole)

    def close(self) -> None:
        """Complete the event files."""
        self.board.close()

    def _draw(self, row: Row) -> None:
        of, at = ("step", row["steps"]) if "steps" in row else ("epoch", row["epoch"])
        for name, value in row.items():
            if isinstance(value, list):
                self.board.add_histogram(f"{of}/{name}", np.asarray(value), at)
            elif name not in ("run", "epoch", "steps"):
                self.board.add_scalar(f"{of}/{name}", value, at)


def memory(device: torch.device) -> dict[str, float]:
    """Most memory that this process has held so far, GB: its own, and on its GPU where there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
    if device.type == "cuda":
        found["gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return found


def _rows(path: Path) -> list[Row]:
    """Whole rows of a file that may end in the middle of one."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def _holds(row: Row, *, epochs: int, steps: int) -> bool:
    if steps == 0 and epochs == 0:
        return False
    return bool(row["steps"] <= steps if "steps" in row else row["epoch"] <= epochs)
