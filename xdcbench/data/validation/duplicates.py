"""Items of one dataset that are also in another: by id, and by the hashes of their frames."""

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from xdcbench.data.local import LocalDataset
from xdcbench.data.scanning.names import CLIP
from xdcbench.data.validation.hashes import Match, hashes, shared
from xdcbench.utils.documents import write_json

SCHEMA_VERSION = 1

Report = dict[str, Any]


def find_duplicates(
    a: LocalDataset, b: LocalDataset, parts: tuple[str, str], match: Match, *, workers: int, limit: float
) -> Report:
    """Find items of ``a`` in ``b``; writes ``overlap-<b>.json`` into the folder of ``a``.

    Frames are compared only where both datasets have frames.

    Args:
        a: what is learned from.
        b: what is tested on.
        parts: of a and of b: "train" or "test" of any split, or "all".
        match: when two items are one by their frames.
        workers, limit: as of `survey`.

    Returns:
        what the file holds: for ``a`` and ``b`` name, fingerprint, part and number of items, and of those
        that have hashes (null where frames were not compared); frames and bits; leave_out, the ids of ``a``
        that are in ``b``; pairs, each of an id of ``a``, one of ``b``, the shared id ("" where they differ)
        and the number of frames shared.
    """
    items_a, items_b = a.part(parts[0]), b.part(parts[1])
    pairs = by_id(items_a["id"], items_b["id"])
    hashed: list[int | None] = [None, None]
    if "audio" not in (a.dataset.media, b.dataset.media):
        hashes_a = hashes(a, parts[0], workers=workers, limit=limit)
        hashes_b = hashes(b, parts[1], workers=workers, limit=limit)
        found = shared(hashes_a, hashes_b, match, workers=workers)
        pairs = pairs.merge(found, how="outer", on=["a", "b"])
        hashed = [len(set(hashes_a.rows)), len(set(hashes_b.rows))]
    pairs = pairs.reindex(columns=["a", "b", "shared_id", "frames"]).fillna({"shared_id": "", "frames": 0})
    named = pairs.astype({"frames": int}).assign(
        a=items_a["id"].to_numpy()[pairs["a"]], b=items_b["id"].to_numpy()[pairs["b"]]
    )
    report = {
        "schema_version": SCHEMA_VERSION,
        "a": _side(a, parts[0], items_a, hashed[0]),
        "b": _side(b, parts[1], items_b, hashed[1]),
        "frames": match.frames,
        "bits": match.bits,
        "leave_out": sorted(set(named["a"])),
        "pairs": named.to_dict("records"),
    }
    write_json(path_of(a, b), report)
    return report


def path_of(a: LocalDataset, b: LocalDataset) -> Path:
    """Where `overlap` writes."""
    return a.folder / f"overlap-{b.folder.name}.json"


def by_id(a: pd.Series, b: pd.Series) -> pd.DataFrame:
    """Pairs of positions a and b (int64) of ids that name the same recording, and its name, shared_id."""
    left = pd.DataFrame({"a": range(len(a)), "shared_id": a.map(recording).to_numpy()})
    right = pd.DataFrame({"b": range(len(b)), "shared_id": b.map(recording).to_numpy()})
    return left.merge(right, on="shared_id")[["a", "b", "shared_id"]]


def recording(item: str) -> str:
    """The recording that an id names: its YouTube id without times, else the id's last part.

    ``train/abseiling/dQw4w9WgXcQ_000010_000020``, ``YdQw4w9WgXcQ`` and ``dQw4w9WgXcQ_30.000`` are one.
    """
    name = PurePosixPath(item).name
    match = CLIP.fullmatch(name)
    return match[1] if match else name


def _side(data: LocalDataset, part: str, items: pd.DataFrame, hashed: int | None) -> Report:
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "subset": data.dataset.subset.words,
        "part": part,
        "items": len(items),
        "hashed": hashed,
    }
