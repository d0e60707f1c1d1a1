"""The format of prepared shards: their files, the columns of their index, and the manifest that describes them."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
from pydantic import Field

from xdcbench.config.base import Config
from xdcbench.config.data import ShardSettings
from xdcbench.errors import UserError
from xdcbench.utils.documents import check, parse_json, write_json
from xdcbench.utils.names import Name

SCHEMA_VERSION = 3
"""Raised also where the same original would now be stored otherwise: 2 has every frame of AVI with B-frames and
the length of each track."""
FIX = "give the folder that `data prepare` wrote"

MANIFEST_FILE, ITEMS_FILE, FAILED_FILE, SHARDS = "shards.json", "items.parquet", "failed.json", "shards"

Kind = Literal["video", "audio"]
"""Members of an item: its video or image, and its audio."""

KINDS: tuple[Kind, ...] = get_args(Kind)
NO_SHARD = -1
"""In the column ``shard``: no member of the item is in the shards."""

PLACES = {
    "number": "int64",
    "width": "int32",
    "height": "int32",
    "fps": "float64",
    "mtime": "int64",
    "shard": "int32",
    **{f"{kind}_{what}": "int64" for kind in KINDS for what in ("offset", "size")},
}
"""Columns that shards add to those of an index, besides ``<kind>_sha256`` (32 bytes, null without a member).

``number`` names the members, ``<number:08d>.<suffix>``; ``width`` and ``height`` are those of the
prepared image, upright, and ``fps`` the frames per second of a video, all 0 without; ``mtime`` is of the original, ns;
``shard`` is the position in the manifest's list; offsets are of contents, bytes, 0 with a size of 0 where there
is no member.
"""


class Shard(Config):
    """A tar file; ``name`` is below ``shards``."""

    name: str = Field(pattern=r"^\d{6,}\.tar$")
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ShardsManifest(Config):
    """What ``shards.json`` holds; it is written last, so shards without it are not finished.

    ``dataset`` is the dataset's configuration as far as it bears on results, ``source_fingerprint`` that of
    the originals, ``fingerprint`` of the shards; ``items_sha256`` is of ``items.parquet``.
    """

    schema_version: int = SCHEMA_VERSION
    name: Name
    dataset: dict[str, Any]
    media: Literal["video", "audio", "image"]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    official: tuple[str, ...]
    settings: ShardSettings
    source_fingerprint: str
    fingerprint: str
    items_sha256: str
    versions: dict[str, str]
    shards: tuple[Shard, ...]

    def save(self, folder: Path) -> None:
        """Write ``shards.json``, whole at every moment."""
        write_json(folder / MANIFEST_FILE, self.model_dump(mode="json"))


def read_manifest(folder: Path) -> ShardsManifest:
    """Manifest of the shards in a folder; UserError where there is none that this version reads."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise UserError(
            f"no shards in {folder}: {MANIFEST_FILE} is missing; run `xdcbench data prepare` to the end"
        )
    return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(content: bytes, name: str) -> ShardsManifest:
    """Manifest from the content of ``shards.json``, which messages call ``name``.

    Raises:
        UserError: it is of another version, or describes no shards.
    """
    facts = parse_json(content, name, fix=FIX)
    version = facts.get("schema_version") if isinstance(facts, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{name} does not describe shards: it has no schema_version. Try: {FIX}")
    if version < SCHEMA_VERSION:
        raise UserError(
            f"{name} is of schema {version}, this xdcbench reads {SCHEMA_VERSION}. Try: prepare the originals "
            "again, into another folder"
        )
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{name} is of schema {version}; this xdcbench reads up to {SCHEMA_VERSION}; upgrade xdcbench"
        )
    manifest: ShardsManifest = check(ShardsManifest, facts, f"{name} does not describe shards", fix=FIX)
    return manifest


def member_name(number: int, suffix: str) -> str:
    """Name of a member in its shard: never a user's path."""
    return f"{number:08d}.{suffix}"


def shard_name(position: int) -> str:
    """File name of the shard at a position of the list."""
    return f"{position:06d}.tar"


def shards_fingerprint(settings: ShardSettings, source: str, items: pd.DataFrame) -> str:
    """Sha256, hex, of settings, the originals' fingerprint and the contents of all members, by id; it depends
    neither on shards nor on the order of rows."""
    digest = hashlib.sha256(json.dumps([settings.model_dump(), source], sort_keys=True).encode())
    rows = items[["id", *(f"{kind}_sha256" for kind in KINDS)]].sort_values("id")
    for name, *hashes in rows.itertuples(index=False):
        digest.update(json.dumps([name, *(h.hex() if isinstance(h, bytes) else "" for h in hashes)]).encode())
    return digest.hexdigest()
