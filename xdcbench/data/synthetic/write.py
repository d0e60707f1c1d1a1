"""Writes a world below a folder, resuming where an earlier call stopped."""

import json
import logging
import zlib
from collections.abc import Callable
from pathlib import Path

from xdcbench.config.data import World
from xdcbench.data.synthetic.layouts import files
from xdcbench.errors import UserError
from xdcbench.utils.io import atomic_write, remove_part_files

log = logging.getLogger("xdcbench")

JOURNAL = ".written.jsonl"
"""File of a world in work: name and CRC-32 of each file that is written, so that a damaged one is written again."""

PART_SECONDS = 3600
"""Age of a part file whose process is taken for gone."""

# To be raised by any change that alters the bytes of a world.
VERSION = 2
_SAMPLE_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def write_world(
    world: World, root: Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write every file of a world: the same bytes for the same world, however often it was interrupted.

    A file appears under its name only when it is complete; files that exist are kept, in a world in work if they
    are as they were written. ``world.json`` names the world that a folder holds; where it is damaged, all files are
    written again.

    Below ``root``, which is made if absent, lie the datasets' folders, such as ``kinetics400``; ``progress`` is called
    with the files done and the files in all after each file.

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
    remove_part_files(root, older=PART_SECONDS)
    anew = _claim(world, root / "world.json")
    journal = root / JOURNAL
    sums = _sums(journal) if journal.exists() else None
    with journal.open("a", buffering=1, encoding="utf-8") as lines:
        lines.write("\n")  # ends what a killed process left of a line
        for done, file in enumerate(todo, 1):
            name, path = str(file.path), root / file.path
            kept = path.exists() and (sums is None or sums.get(name) == zlib.crc32(path.read_bytes()))
            if anew or not kept:
                content = file.make()
                _publish(path, content)
                lines.write(json.dumps([name, zlib.crc32(content)]) + "\n")
            progress(done, len(todo))
    journal.unlink(missing_ok=True)


def _sums(journal: Path) -> dict[str, int]:
    """CRC-32 by name of the files of a world in work, as far as lines are whole."""
    found = {}
    for line in journal.read_bytes().splitlines():
        try:
            name, value = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        found[str(name)] = value
    return found


def _claim(world: World, path: Path) -> bool:
    """Record which world a folder holds, or check that it is this one; whether that was damaged."""
    label = {"version": VERSION, "world": world.model_dump(mode="json", exclude_defaults=True)}
    text = json.dumps(label, indent=1, sort_keys=True) + "\n"
    try:
        there = json.loads(path.read_bytes()) if path.exists() else None
    except (ValueError, RecursionError):
        log.warning("%s is damaged; the world is written again", path)
    else:
        if there == label:
            return False
        if there is not None:
            raise UserError(f"{path} names another world than the one asked for; give another folder")
    anew = path.exists()
    _publish(path, text.encode())
    return anew


def _publish(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden from every reader of datasets, and of this process alone.
    with atomic_write(path) as part:
        part.write_bytes(content)
