"""Checkpoints: numbered files that are there whole or not at all, of which the newest sound one is taken."""

import io
import logging
import os
import re
import zlib
from pathlib import Path
from typing import Any

import torch

from xdcbench.disk import room
from xdcbench.distributed import from_leader
from xdcbench.errors import UserError
from xdcbench.utils.io import sync

log = logging.getLogger("xdcbench")

NAME = re.compile(r"checkpoint-(\d{9})-([0-9a-f]{8})\.pt")
"""Number of steps, and CRC-32 of the file: a zip archive of torch's, read with ``weights_only``."""


BUILDING = ".checkpoint"
"""Where one is written; a kill may leave it."""


class Checkpoints:
    """The checkpoints of one training run.

    Args:
        folder: where they lie.
        keep: number of newest ones to keep, at least 1.
    """

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
        path = self.folder / f"checkpoint-{steps:09d}-{zlib.crc32(content):08x}.pt"
        building = self.folder / BUILDING
        with room(self.folder, len(content)):
            try:
                with building.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                building.replace(path)
                sync(self.folder)
            finally:
                building.unlink(missing_ok=True)
        for old in [other for other in self.newest_first() if other != path][max(self.keep, 1) - 1 :]:
            old.unlink()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state of the newest checkpoint that is sound, on ``device``; None where there is none.

        Of several processes, the leading one chooses.
        """
        name = from_leader(self._newest_sound)
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
                if match and f"{_crc(path):08x}" == match[2]:
                    _state(path, torch.device("cpu"))
                    return path.name
            except (UserError, OSError) as error:
                log.warning("%s", error)
            log.warning("%s is damaged; going on from the checkpoint before it", path)
        return ""


def _state(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in a file.

    Raises:
        UserError: it holds none.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # each kind of damage has one of its own, and torch's advice is to unpickle it
        raise UserError(f"{path} holds no state of a training; remove it to go on without") from error
    if not isinstance(state, dict):
        raise UserError(
            f"{path} holds a {type(state).__name__}, no state of a training; remove it to go on without"
        )
    return state


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            value = zlib.crc32(part, value)
    return value
