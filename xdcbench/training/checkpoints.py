"""Checkpoints: numbered files that are there whole or not at all, of which the newest sound one is taken."""

import hashlib
import io
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xdcbench.errors import UserError
from xdcbench.utils.disk import explain_full_disk
from xdcbench.utils.distributed import on_main_process
from xdcbench.utils.io import file_hash, fsync

log = logging.getLogger("xdcbench")

NAME = re.compile(r"checkpoint-(\d{9})-([0-9a-f]{8})\.pt")
"""Number of steps, and the first digits of the file's SHA-256, as in torch.hub's names: torch checks no sums."""

BUILDING = ".checkpoint"
"""Where one is written; a kill may leave it."""


class Checkpoints:
    """The checkpoints of one training run, of which the ``keep`` newest ones stay."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, state: dict[str, Any], *, steps: int) -> None:
        """Write ``state``, tensors and plain values, as it is after ``steps`` steps.

        Raises:
            UserError: the disk is full; what was there before is whole.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"checkpoint-{steps:09d}-{hashlib.sha256(content).hexdigest()[:8]}.pt"
        building = self.folder / BUILDING
        with explain_full_disk(self.folder, len(content)):
            try:
                with building.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                building.replace(path)
                fsync(self.folder)
            finally:
                building.unlink(missing_ok=True)
        for old in [other for other in self.newest_first() if other != path][max(self.keep, 1) - 1 :]:
            old.unlink()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state of the newest checkpoint that is sound, on ``device``; None where there is none.

        Of several processes, the leading one chooses.
        """
        name = on_main_process(self._newest_sound)
        if not name:
            return None
        return _state(self.folder / name, device)

    def newest_first(self) -> list[Path]:
        """Files that are called like a checkpoint."""
        return sorted((path for path in self.folder.iterdir() if NAME.fullmatch(path.name)), reverse=True)

    def _newest_sound(self) -> str:
        for path in self.newest_first():
            match = NAME.fullmatch(path.name)
            try:
                if match and file_hash(path).startswith(match[2]):
                    _state(path, torch.device("cpu"))
                    return path.name
            except (UserError, OSError) as error:
                log.warning("%s", error)
            log.warning("%s is damaged; resuming from the checkpoint before it", path)
        return ""


def _state(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in a file.

    Raises:
        UserError: it holds none.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # each kind of damage has one of its own, and torch's advice is to unpickle it
        raise UserError(f"{path} holds no state of a training; remove it to continue without") from error
    if not isinstance(state, dict):
        raise UserError(
            f"{path} holds a {type(state).__name__}, no state of a training; remove it to continue without"
        )
    return state


@dataclass
class TrainerState:
    """How far a training run is; with weights and optimizer, all that an interruption must not lose.

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
