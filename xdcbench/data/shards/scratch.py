"""Copies of prepared shards on a disk of this node, which all its processes and commands share."""

import os
import re
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from xdcbench.data.shards.layout import ITEMS_FILE, MANIFEST_FILE, SHARDS
from xdcbench.data.shards.reader import ShardReader
from xdcbench.data.shards.remote import LocalFiles
from xdcbench.errors import UserError
from xdcbench.utils.io import atomic_write, file_hash, remove_part_files, writing
from xdcbench.utils.locks import lock
from xdcbench.utils.manifest import Entry, find_damage, write_entries
from xdcbench.utils.progress import log, track

CHUNK = 8 << 20
"""Bytes that are copied at once."""

AGAIN = "give the same command again, which copies it again"


def on_scratch(reader: ShardReader, scratch: str) -> ShardReader:
    """The same shards, read from a copy below ``scratch``; remote ones stay where they are.

    The copy is made where it is missing or damaged, and stays. A file appears in it by one rename, once it has the hash
    that the shards' manifest states. A file that has not changed since is trusted. Shards that were prepared anew have
    another copy.

    Args:
        reader: of the shards.
        scratch: a folder, in whose name variables such as ``$TMPDIR`` are those of this process.

    Raises:
        UserError: there is too little space, the folder cannot be written, or the shards are not as they were.
        MediaUnreachableError: the shards cannot be read.
    """
    if not isinstance(reader.files, LocalFiles):
        return reader
    edition = sha256(reader.manifest.model_dump_json().encode()).hexdigest()[:16]
    folder = scratch_folder(scratch) / f"xdcbench-{reader.manifest.name}-{edition}"
    with writing(f"a copy of the shards of {reader.manifest.name} to {folder}", "give another --scratch"):
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        with lock(folder / "lock", waiting=f"{folder} is being copied by another process; waiting"):
            if find_damage(folder, thorough=False, hashed=set()):
                _copy(reader, folder)
    return replace(reader, files=LocalFiles(folder, fix=AGAIN))


def scratch_folder(scratch: str) -> Path:
    """The folder that ``--scratch`` names on this node.

    Raises:
        UserError: it names no folder, or a variable that is not set.
    """
    found = os.path.expandvars(Path(scratch).expanduser()) if scratch else ""
    if unset := re.search(r"\$\{?(\w+)", found):
        raise UserError(f"--scratch {scratch}: {unset[1]} is not set here. Try: a folder by its name")
    if not found:
        raise UserError("--scratch names no folder. Try: --scratch /tmp")
    return Path(found)


def _copy(reader: ShardReader, folder: Path) -> None:
    """Copy the files that are missing or damaged, and note all in the copy's own manifest, which is written last."""
    remove_part_files(folder)
    hashes = {ITEMS_FILE: reader.manifest.items_sha256}
    hashes |= {f"{SHARDS}/{shard.name}": shard.sha256 for shard in reader.manifest.shards}
    lost = [name for name, digest in hashes.items() if not _is_whole(folder / name, digest)]
    sizes = {name: reader.files.size(name) for name in lost}
    _require_space(reader, folder, sum(sizes.values()))
    log.info("copying %d files of the shards of %s to %s", len(lost), reader.manifest.name, folder)
    with track(f"copying {reader.manifest.name}, MiB", sum(sizes.values()) >> 20) as tick:
        for name in lost:
            _copy_file(reader, name, folder / name, hashes[name])
            tick(sizes[name] >> 20)
    files = {name: (folder / name).stat() for name in hashes}
    write_entries(folder, {n: Entry(f.st_size, hashes[n], f.st_mtime_ns) for n, f in files.items()})


def _copy_file(reader: ShardReader, name: str, path: Path, digest: str) -> None:
    size = reader.files.size(name)
    with atomic_write(path, durable=True) as part:
        with part.open("wb") as file:
            for begin in range(0, size, CHUNK):
                file.write(reader.files.read(name, begin, min(CHUNK, size - begin)))
        if file_hash(part) != digest:
            raise UserError(
                f"{reader.files.name(name)} is not the one that {MANIFEST_FILE} describes; where `xdcbench data "
                f"prepare` is at work, wait for it, otherwise check with `xdcbench data verify "
                f"{reader.manifest.name} --shards {reader.where}`"
            )


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and file_hash(path) == digest


def _require_space(reader: ShardReader, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"--scratch: {needed:,} bytes of the shards of {reader.manifest.name} are to be copied to {folder}, "
            f"where {free:,} are free. Try: another folder, or no --scratch, which reads them in {reader.where}"
        )
