"""Prepared shards as stages see them: what they hold, and the content of any item's files."""

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xdcbench.data.media.byte_ranges import Stream, Stretch
from xdcbench.data.shards.cache import Cache
from xdcbench.data.shards.layout import (
    FIX,
    ITEMS_FILE,
    KINDS,
    MANIFEST_FILE,
    SHARDS,
    Kind,
    ShardsManifest,
    parse_manifest,
)
from xdcbench.data.shards.remote import BLOCK, Files, files_at
from xdcbench.errors import MediaError, UserError
from xdcbench.utils.secrets import redact

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from xdcbench.data.media import Member

CHUNK = 8 << 20
"""Bytes of the index that are hashed at once."""

MANIFEST_BYTES = 64 << 20
"""Bytes of a manifest at most: some hundred thousand shards."""

CHANGED = "the shards have changed since the run was planned: give the same command again"


@dataclass(frozen=True)
class MemberLocations:
    """Where the members of one kind lie, each (n,), one row per item.

    ``shard`` is a position in the list of shards; ``offset`` is that of the content, bytes; ``size``, bytes, is 0 where
    the item has no such member.
    """

    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]


@dataclass(frozen=True)
class ShardReader:
    """Prepared shards, open for reading, at a folder or an address without its secrets; for forked processes, too."""

    where: str
    files: Files
    manifest: ShardsManifest

    @property
    def facts(self) -> dict[str, Any]:
        """What a record says of the shards."""
        kept = {"fingerprint", "source_fingerprint", "settings"}
        return self.manifest.model_dump(mode="json", include=kept)

    def items(self, columns: list[str] | None = None) -> "pd.DataFrame":
        """Rows of ``items.parquet``, of these columns alone where they are named; nothing else is read.

        Hashes and lists of labels stay Arrow's.

        Raises:
            UserError: the file is no such table, or not the one that the manifest describes.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        stream = Stream(self.index)
        try:
            file = pq.ParquetFile(pa.PythonFile(stream, mode="r"))
            table: pd.DataFrame = file.read(columns=columns).to_pandas(types_mapper=_arrow_kept)
        except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
            if stream.failure:
                raise stream.failure from error
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{self.files.name(ITEMS_FILE)} cannot be read ({reason}); prepare {self.manifest.name} again"
            ) from error
        for column in columns or ():
            if column not in table:
                raise UserError(
                    f"{self.files.name(ITEMS_FILE)} has no column {column}; prepare {self.manifest.name} again"
                )
        return table

    @cached_property
    def index(self) -> Stretch:
        """Content of ``items.parquet``; read once to the end, since places that do not fit give wrong clips.

        Raises:
            UserError: it is not the one that the manifest describes.
        """
        read = partial(self.files.read, ITEMS_FILE, mark=self.manifest.items_sha256)
        whole = Stretch(read, 0, self.files.size(ITEMS_FILE))
        digest = hashlib.sha256()
        for begin in range(0, len(whole), CHUNK):
            digest.update(whole[begin : begin + CHUNK])
        if digest.hexdigest() != self.manifest.items_sha256:
            raise UserError(
                f"{self.files.name(ITEMS_FILE)} is not the one that {MANIFEST_FILE} describes; where "
                f"`xdcbench data prepare` is at work, wait for it, otherwise prepare {self.manifest.name} again"
            )
        return whole

    def rows(self, ids: "pd.Series") -> NDArray[np.int64]:
        """Rows of the items with these ids, int64.

        Raises:
            UserError: the shards lack one of them.
        """
        from xdcbench.utils.mapped_table import places

        found: NDArray[np.int64] = places(ids, self.items(["id"])["id"])
        if (found < 0).any():
            raise UserError(f"{self.where} has no item {ids.iloc[int((found < 0).argmax())]!r}; {CHANGED}")
        return found

    @cached_property
    def places(self) -> Mapping[Kind, MemberLocations]:
        """Of all members; read once, before processes that share them are forked.

        Raises:
            UserError: they do not lie within the shards.
        """
        columns = ["shard", *(f"{kind}_{what}" for kind in KINDS for what in ("offset", "size"))]
        table = self.items(columns)
        shard = table["shard"].fillna(-1).to_numpy(np.int32)
        found = {
            kind: MemberLocations(
                shard,
                table[f"{kind}_offset"].fillna(0).to_numpy(np.int64),
                table[f"{kind}_size"].fillna(0).to_numpy(np.int64),
            )
            for kind in KINDS
        }
        for kind, places in found.items():
            self._check(kind, places)
        return found

    def _check(self, kind: Kind, places: MemberLocations) -> None:
        bytes_ = np.array([*(shard.bytes for shard in self.manifest.shards), 0], dtype=np.int64)
        there = places.size != 0
        known = (places.shard >= 0) & (places.shard < len(bytes_) - 1)
        ends = places.offset + places.size
        fits = (
            known
            & (places.size >= 0)
            & (places.offset >= BLOCK)
            & (ends <= bytes_[np.where(known, places.shard, -1)])
        )
        bad = np.flatnonzero(there & ~fits)
        if len(bad):
            raise UserError(
                f"{self.files.name(ITEMS_FILE)}: the {kind} of row {bad[0]} lies outside the shards that "
                f"{MANIFEST_FILE} lists ({len(bad)} such rows); the two do not belong together: prepare "
                f"{self.manifest.name} again"
            )

    def member(self, row: int, kind: Kind, item: str) -> "Member":
        """The content of one file of the item in a row of ``items.parquet``, whose id is ``item``.

        Raises:
            MediaError: the item has no such file.
            MediaUnreachableError: the shard cannot be read, or the server does not give it.
            UserError: the shard is cut short, or holds something else there.
        """
        from xdcbench.data.media import Member  # planning opens shards too, without torch

        places = self.places[kind]
        size = int(places.size[row])
        shard = self.manifest.shards[max(0, places.shard[row])]
        path = f"{SHARDS}/{shard.name}"
        shown = Path(f"{self.files.name(path)}")
        if not size:
            raise MediaError(shown / f"({item})", f"no {kind} of it in the shards")
        offset = int(places.offset[row])
        header, content = self.files.member(path, offset, size, shard.sha256)
        name = self._name(header, size)
        if name is None:
            raise UserError(
                f"{self.files.name(path)}: no file of {size} bytes begins at byte {offset}, where {ITEMS_FILE} "
                f"has the {kind} of {item}; check with `xdcbench data verify --shards`, or prepare "
                f"{self.manifest.name} again"
            )
        return Member(shown / f"{name} ({item})", content)

    @staticmethod
    def _name(header: bytes, size: int) -> str | None:
        """Name in a member's header; None where it is no plain file of this size, or lies outside the archive."""
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return None
        plain = info.isreg() and info.size == size and Path(info.name).name == info.name
        return info.name if plain else None


def _arrow_kept(kind: "pa.DataType") -> "pd.ArrowDtype | None":
    import pandas as pd
    import pyarrow as pa

    objects = pa.types.is_list(kind) or pa.types.is_fixed_size_binary(kind)
    return pd.ArrowDtype(kind) if objects else None


def open_shards(where: str, cache: Cache | None = None) -> ShardReader:
    """Open prepared shards in a folder or at an address that fsspec knows.

    Nothing is listed, and of remote shards, for whose ranges the cache is, only the manifest is fetched.

    Raises:
        UserError: there are no shards, or those of a newer version, or a local shard is missing or cut short.
    """
    files = files_at(where, cache)
    size = files.size(MANIFEST_FILE)
    if size > MANIFEST_BYTES:
        raise UserError(
            f"{files.name(MANIFEST_FILE)} states {size:,} bytes and describes no shards. Try: {FIX}"
        )
    manifest = parse_manifest(files.read(MANIFEST_FILE, 0, size), files.name(MANIFEST_FILE))
    if "://" not in where:
        for shard in manifest.shards:
            path = f"{SHARDS}/{shard.name}"
            size = files.size(path)
            if size != shard.bytes:
                raise UserError(
                    f"{files.name(path)} holds {size} of {shard.bytes} bytes; run `xdcbench data prepare "
                    f"{manifest.name}` with --shards {redact(where)} again"
                )
    return ShardReader(redact(where), files, manifest)
