"""Originals that are prepared but in no shard yet: files that outlive the process that made them."""

import json
import os
from pathlib import Path
from typing import Any

from xdcbench.data.preparation.transcode import TranscodedItem, transcode
from xdcbench.data.shards.layout import ShardSettings, member_name
from xdcbench.errors import MediaError
from xdcbench.utils.documents import read_cache, write_json
from xdcbench.utils.io import file_hash

STOPPED = "stopped"
"""Key of an answer that tells why nothing can be written."""

LENGTHS = ("duration", "video_seconds", "audio_start", "audio_seconds")
"""Lengths as an index has them, seconds."""

Facts = dict[str, Any]
"""What is known of one original: number, path, bytes, mtime, ok, reason, `LENGTHS`, video, audio, width, height,
fps, and members, suffix, size and sha256 (hex) of each kind."""


def order(folder: Path, root: Path, item: Facts, media: str, settings: ShardSettings) -> str:
    """What `stage` needs to prepare one original (number, path, bytes and mtime) of a dataset, as text."""
    place = {"folder": str(folder), "source": str((root / item["path"]).absolute())}
    return json.dumps([place, item, media, settings.model_dump()])


def ordered(task: str) -> Facts:
    """The item of what `order` made."""
    item: Facts = json.loads(task)[1]
    return item


def stage(task: str) -> Facts:
    """Prepare one original, write its members and then its facts; or tell why nothing can be written."""
    place, item, media, settings = json.loads(task)
    folder = Path(place["folder"])
    # A process whose parent was killed may still stage what another one stages anew.
    part = folder / f".{item['number']:08d}.{os.getpid()}"
    try:
        try:
            found = transcode(Path(place["source"]), media, ShardSettings(**settings), part)
        except MediaError as error:
            facts = failed(item, error.reason)
        else:
            facts = _facts(item, media, found)
            for path in found.members.values():
                path.replace(folder / member_name(item["number"], path.suffix[1:]))
        keep(folder, facts)
    except OSError as error:
        return {STOPPED: error.strerror or str(error)}
    return facts


def failed(item: Facts, reason: str) -> Facts:
    """Facts of an original that cannot be prepared."""
    blank = {**dict.fromkeys(LENGTHS), "video": False, "audio": False, "width": 0, "height": 0, "fps": 0.0}
    return {**item, "ok": False, "reason": reason, **blank, "members": {}}


def _facts(item: Facts, media: str, found: TranscodedItem) -> Facts:
    return {
        **item,
        "ok": True,
        "reason": "; ".join(found.faults),
        **{name: getattr(found.info, name) for name in LENGTHS},
        "video": found.info.has_video and media != "audio",
        "audio": found.info.has_audio and media != "image",
        "width": found.width,
        "height": found.height,
        "fps": found.fps,
        "members": {
            kind: (path.suffix[1:], path.stat().st_size, file_hash(path))
            for kind, path in found.members.items()
        },
    }


def keep(folder: Path, facts: Facts) -> None:
    """Write facts, whole at every moment."""
    write_json(folder / f"{facts['number']:08d}.facts", facts)


def staged(folder: Path, item: Facts) -> Facts | None:
    """Facts of an original that is staged as it is now; None otherwise."""
    facts: Facts | None = read_cache(folder / f"{item['number']:08d}.facts")
    if not isinstance(facts, dict) or any(facts.get(name) != value for name, value in item.items()):
        return None
    files = zip(members(folder, facts), facts["members"].values(), strict=True)
    whole = all(path.is_file() and file_hash(path) == digest for (_, path), (_, _, digest) in files)
    return facts if whole else None


def members(folder: Path, facts: Facts) -> list[tuple[str, Path]]:
    """Names and files of the staged members, video or image first."""
    names = [member_name(facts["number"], suffix) for suffix, *_ in facts["members"].values()]
    return [(name, folder / name) for name in names]


def clear(folder: Path, facts: Facts) -> None:
    """Remove what is staged of an original; facts last."""
    for _, path in members(folder, facts):
        path.unlink(missing_ok=True)
    (folder / f"{facts['number']:08d}.facts").unlink(missing_ok=True)
