"""Originals that are prepared: files that outlive the process that made them, until they are packed into a shard."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xdcbench.config.data import ShardSettings
from xdcbench.data.media.probe import LENGTHS
from xdcbench.data.preparation.tar import END, space, write_shard
from xdcbench.data.preparation.transcode import TranscodedItem, transcode
from xdcbench.data.scanning.items import LABELS, Scan
from xdcbench.data.shards.layout import KINDS, NO_SHARD, Shard, member_name
from xdcbench.errors import MediaError
from xdcbench.utils.documents import read_cache, write_json
from xdcbench.utils.io import file_hash

STOPPED = "stopped"
"""Key of an answer that tells why nothing can be written."""

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


def numbers(folder: Path) -> set[int]:
    """Numbers of the originals that have facts, whether or not these are of their present state."""
    return {int(path.stem) for path in folder.glob("*.facts") if path.stem.isdecimal()}


def members(folder: Path, facts: Facts) -> list[tuple[str, Path]]:
    """Names and files of the staged members, video or image first."""
    names = [member_name(facts["number"], suffix) for suffix, *_ in facts["members"].values()]
    return [(name, folder / name) for name in names]


def clear(folder: Path, facts: Facts) -> None:
    """Remove what is staged of an original; facts last."""
    for _, path in members(folder, facts):
        path.unlink(missing_ok=True)
    (folder / f"{facts['number']:08d}.facts").unlink(missing_ok=True)


class ShardBatch:
    """What goes into the next shard: staged originals, and each item's ``.json``, made from the scan."""

    def __init__(self, staging: Path, scan: Scan) -> None:
        self.staging, self.classes = staging, scan.classes
        columns = ["id", "label", *([LABELS] if LABELS in scan.items else [])]
        self.items = scan.items.drop_duplicates("path").set_index("path")[columns]
        self.clear()

    def clear(self) -> None:
        """Begin the next shard."""
        self.facts: list[Facts] = []
        self.bytes = len(END)

    @property
    def empty(self) -> bool:
        """Whether a shard of it would hold nothing."""
        return self.bytes == len(END)

    def add(self, facts: Facts) -> None:
        """Add an original, also one that has no member."""
        self.facts.append(facts)
        self.bytes += self.size(facts)

    def size(self, facts: Facts) -> int:
        """Bytes that an original takes in a shard."""
        if not facts["members"]:
            return 0
        return space(len(self._description(facts))) + sum(
            space(size) for _, size, _ in facts["members"].values()
        )

    def write(self, path: Path) -> Shard:
        """Write the shard; OSError where that cannot be done."""
        shard, offsets = write_shard(path, self._contents())
        places = iter(offsets)
        for facts in self.facts:
            facts["offsets"] = {kind: next(places) for kind in facts["members"]}
            if facts["members"]:
                next(places)  # of the description
        return shard

    def rows(self, shard: int = NO_SHARD) -> list[dict[str, Any]]:
        """Rows of `catalog.ROW`, hashes in hex, of what was added; ``shard`` is the position of theirs."""
        return [_row(facts, shard if facts["members"] else NO_SHARD) for facts in self.facts]

    def _contents(self) -> Iterator[tuple[str, Path | bytes]]:
        for facts in self.facts:
            yield from members(self.staging, facts)
            if facts["members"]:
                yield member_name(facts["number"], "json"), self._description(facts)

    def _description(self, facts: Facts) -> bytes:
        """The item as other readers of the shard may want it; its labels are those at the time of preparing."""
        item: Any = self.items.loc[facts["path"]]
        label = int(item["label"])
        said = {
            "id": item["id"],
            "label": label,
            "class": self.classes[label] if label >= 0 else None,
            **({"labels": [int(i) for i in item[LABELS]]} if LABELS in item else {}),
            "duration": facts["duration"],
            **{f"{kind}_start": 0.0 for kind in facts["members"]},
            **{name: facts[name] for name in ("width", "height", "fps") if facts[name]},
        }
        return json.dumps(said).encode()


def _row(facts: Facts, shard: int) -> dict[str, Any]:
    row = {name: value for name, value in facts.items() if name not in ("members", "offsets")}
    for kind in KINDS:
        _, size, sha256 = facts["members"].get(kind, ("", 0, None))
        offset = facts.get("offsets", {}).get(kind, 0)
        row |= {f"{kind}_offset": offset, f"{kind}_size": size, f"{kind}_sha256": sha256}
    return row | {"shard": shard}
