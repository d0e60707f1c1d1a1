"""Writes a world below a folder, going on where an earlier call stopped."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from xdcbench.data.synth.layouts import files
from xdcbench.errors import UserError
from xdcbench.schema import World

# To be raised by any change that alters the bytes of a world.
VERSION = 1
_SAMPLE_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def write_world(
    world: World, root: Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write every file of a world: the same bytes for the same world, however often it was interrupted.

    A file appears under its name only when it is complete; files that exist are kept. ``world.json``
    names the world that a folder holds.

    Args:
        world: what to write.
        root: folder of the data sets ``kinetics400``, ``ucf101``, ``hmdb51``, ``imagenet``, ``esc50``,
            ``dcase``, ``audioset``, ``ig_random`` and ``ig_kinetics``; made if absent.
        progress: called with the files done and the files in all after each file.

    Raises:
        UserError: the folder holds another world, the sampling rate does not suit the encoders, or a
            split would be left without items.
    """
    if world.sample_rate not in _SAMPLE_RATES:
        raise UserError(
            f"world.sample_rate is {world.sample_rate}, which AAC and MP3 cannot hold together with "
            f"tones up to 8 kHz: choose one of {', '.join(map(str, _SAMPLE_RATES))}"
        )
    todo = list(files(world))
    _claim(world, root / "world.json")
    for done, file in enumerate(todo, 1):
        path = root / file.path
        if not path.exists():
            _publish(path, file.make())
        progress(done, len(todo))


def _claim(world: World, path: Path) -> None:
    """Record which world a folder holds, or check that it is this one."""
    label = {"version": VERSION, "world": world.model_dump(mode="json", exclude_defaults=True)}
    text = json.dumps(label, indent=1, sort_keys=True) + "\n"
    if not path.exists():
        _publish(path, text.encode())
    elif path.read_text(encoding="utf-8") != text:
        raise UserError(
            f"{path} names another world than the one asked for: delete the folder or choose another"
        )


def _publish(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden from every reader of data sets, and of this process alone.
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
