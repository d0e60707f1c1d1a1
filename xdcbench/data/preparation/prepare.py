"""Writing prepared shards: what is new is prepared and goes into new shards, what is there stays as it is."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired

import pandas as pd
from typing_extensions import TypedDict

from xdcbench.config.data import ShardSettings
from xdcbench.config.keys import science
from xdcbench.config.stages import IndexStage
from xdcbench.data.fingerprints import KEY, mtimes
from xdcbench.data.local import LocalDataset
from xdcbench.data.preparation import staging
from xdcbench.data.preparation.catalog import frame, read_rows, records, write_shards
from xdcbench.data.preparation.staging import Facts, ShardBatch
from xdcbench.data.scanning.items import MISSING
from xdcbench.data.shards.layout import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    SHARDS,
    Shard,
    read_manifest,
    shard_name,
)
from xdcbench.errors import UserError
from xdcbench.utils.documents import read_cache, write_json
from xdcbench.utils.format import short
from xdcbench.utils.locks import lock
from xdcbench.utils.parts import Part
from xdcbench.utils.process_pool import WorkerFailure, answers
from xdcbench.utils.progress import Track, log, track

SHARD_BYTES = 256 << 20
LOCK = ".lock"
CLAIM_LOCK = "claim.lock"


@dataclass
class Build:
    """Shards that are being written.

    ``.building`` holds, until the end: ``shards.json``, which says what is prepared and how; ``staged``, originals
    that are prepared and in no shard yet; ``<shard>.json``, a shard that is done with the rows of its items. A
    shard is done when that file is there, so that a process may be killed at any moment.

    Attributes:
        data: the originals.
        shard_bytes: size that a shard of several items does not exceed.
        shards: that are done, in their order.
    """

    folder: Path
    data: LocalDataset
    settings: ShardSettings
    shard_bytes: int = SHARD_BYTES
    shards: list[Shard] = field(default_factory=list)

    @property
    def building(self) -> Path:
        """Folder of what is not finished."""
        return self.folder / ".building"

    @property
    def staging(self) -> Path:
        """Folder of what is in no shard yet."""
        return self.building / "staged"


def prepare(build: Build, *, workers: int, limit: float, wait: bool = False) -> pd.DataFrame:
    """Write shards, or bring them up to date with their originals; the same call again resumes.

    An original is known by path, size and time of change. What is known stays in the shard where it is; what is
    gone leaves the index; what is new, or could not be prepared before, goes into new shards.

    ``limit`` is in seconds for one original. Another process that writes to the folder is refused, or waited for
    if told to ``wait``.

    Returns:
        rows of ``items.parquet``, which is written, as ``failed.json`` and ``shards.json`` are.

    Raises:
        UserError: the folder holds other shards or something else, another process writes to it, or the disk
            is full.
    """
    with _writing(build, wait=wait):
        finished = _finished(build)
        journal = _journal(build)
        todo = _todo(build, finished, journal)
        made = _make(build, todo, workers=workers, limit=limit) if len(todo) else frame([])
        rows = pd.concat([finished, journal, made], ignore_index=True)
        items = write_shards(build.folder, build.data, build.settings, build.shards, rows)
        # A process whose parent was killed may still write there; what is left is not read again.
        shutil.rmtree(build.building, ignore_errors=True)
    return items


def prepare_part(build: Build, part: Part, *, workers: int, limit: float) -> int:
    """Prepare one part of the originals; `prepare` then packs those of all parts into the shards of one whole run.

    Other parts may be prepared at the same time, also on other machines; the same call again resumes.

    Returns:
        the number of originals that are left to other parts.

    Raises:
        UserError: as `prepare`; the folder is being prepared in another number of parts.
    """
    with _writing(build, shared=True):
        build.building.mkdir(exist_ok=True)
        with lock(build.building / CLAIM_LOCK, waiting=""):
            finished = _finished(build, part)
        todo = _todo(build, finished, _journal(build))
        busy = f"another process prepares part {part} of the shards in {build.folder}; wait for it"
        with lock(build.building / f"part-{part.number}.lock", busy=busy):
            mine = todo.iloc[part.slice]
            there = [item["number"] for item in records(mine) if staging.staged(build.staging, item)]
            waiting = mine[~mine["number"].isin(there)]
            with track(f"preparing {build.data.name}, part {part}", len(mine), done=len(there)) as tick:
                for _ in _prepared(build, waiting, tick, workers=workers, limit=limit):
                    pass
        return len(set(todo["number"]) - staging.numbers(build.staging))


@contextmanager
def _writing(build: Build, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the folder: alone, or ``shared`` with others who prepare parts."""
    busy = f"another process writes the shards in {build.folder}; wait for it"
    try:
        build.folder.mkdir(parents=True, exist_ok=True)
        with lock(build.folder / LOCK, shared=shared, busy=busy, waiting=busy if wait else None):
            yield
    except OSError as error:
        raise UserError(
            f"cannot write the shards in {build.folder} ({error.strerror or error}); make room, then give the same "
            "command again: it resumes"
        ) from error


class Claim(TypedDict):
    """What is noted of shards in work."""

    name: str
    dataset: dict[str, Any]
    settings: dict[str, Any]
    schema_version: int
    parts: NotRequired[int]


class Done(TypedDict):
    """What is noted of a shard that is done: its entry in the manifest, and rows of `catalog.ROW`."""

    shard: Shard
    rows: list[dict[str, Any]]


def _finished(build: Build, part: Part | None = None) -> pd.DataFrame:
    """Rows of the shards as finished before, if they were; notes in ``.building`` what is to be made of them."""
    data = build.data
    config = science(IndexStage(name=data.name, dataset=data.dataset))
    claim = {**config, "settings": build.settings.model_dump(), "schema_version": SCHEMA_VERSION}
    rows = frame([])
    if (build.folder / MANIFEST_FILE).exists():
        manifest = read_manifest(build.folder)
        _same(build.folder, manifest.model_dump(), claim)
        build.shards, rows = list(manifest.shards), read_rows(build.folder)
    elif (build.building / MANIFEST_FILE).exists() or build.staging.is_dir():
        before: Claim | None = read_cache(build.building / MANIFEST_FILE, Claim)
        if before:
            _same(build.folder, before, claim)
            _same_parts(build.folder, before.get("parts"), part)
        else:  # with what settings the rest was prepared is lost
            for folder in (build.building, build.folder / SHARDS):
                shutil.rmtree(folder, ignore_errors=True)
    elif any(path.name not in (LOCK, build.building.name) for path in build.folder.iterdir()):
        raise UserError(f"{build.folder} holds something else than shards; give another folder with --output")
    build.building.mkdir(exist_ok=True)
    write_json(build.building / MANIFEST_FILE, claim | ({"parts": part.count} if part else {}))
    for folder in (build.folder / SHARDS, build.staging):
        folder.mkdir(exist_ok=True)
    return rows


def _same(folder: Path, there: Mapping[str, Any], claim: Mapping[str, Any]) -> None:
    for what in ("name", "dataset", "settings", "schema_version"):
        before, now = (v if isinstance(v, dict) else {what: v} for v in (there.get(what), claim[what]))
        names = {*before, *now} - {"max_failed"}  # which changes no content
        other = [f"{k}={before.get(k)!r}" for k in sorted(names) if before.get(k) != now.get(k)]
        if other:
            raise UserError(
                f"the shards in {folder} were prepared with {', '.join(other)}; give the same again, or another folder "
                "with --output"
            )


def _same_parts(folder: Path, before: int | None, part: Part | None) -> None:
    if part and before and part.count != before:
        raise UserError(
            f"the shards in {folder} are being prepared in {before} parts, not {part.count}. Try: --part I/{before}, "
            "or no --part, which prepares what is left"
        )


def _journal(build: Build) -> pd.DataFrame:
    """Rows of shards that are done and not yet in the index; adds these to ``build.shards``."""
    parts = [frame([])]
    content: Done | None
    while content := read_cache(build.building / f"{len(build.shards):06d}.json", Done):
        build.shards.append(content["shard"])
        parts.append(frame(content["rows"]))
    return pd.concat(parts, ignore_index=True)


def _todo(build: Build, finished: pd.DataFrame, journal: pd.DataFrame) -> pd.DataFrame:
    """Number, path, bytes and mtime of what is to be prepared, in the order of its numbers.

    Numbers are never given twice; what could not be prepared before keeps its own.
    """
    items = build.data.scan.items
    items = items.loc[items["bytes"] != MISSING, ["path", "bytes"]].drop_duplicates()
    known = pd.concat([finished.assign(done=finished["ok"]), journal.assign(done=True)], ignore_index=True)
    following = 1 + int(known["number"].max()) if len(known) else 0
    known = known[[*KEY, "number", "done"]].drop_duplicates(KEY, keep="last")
    items = items.assign(mtime=mtimes(items, build.data.root))
    todo = items.merge(known.astype({"path": items["path"].dtype}), how="left", on=KEY)
    todo = todo[~todo["done"].fillna(False).astype(bool)].drop(columns="done")
    new = todo["number"].isna() | (todo["number"] < 0)
    todo.loc[new, "number"] = following + new.cumsum()[new] - 1
    return todo.astype({"number": "int64"}).sort_values("number", ignore_index=True)


def _make(build: Build, todo: pd.DataFrame, *, workers: int, limit: float) -> pd.DataFrame:
    """Prepare in whatever order, write to shards in the order of the numbers; rows of all."""
    found = (staging.staged(build.staging, item) for item in records(todo))
    ready = {facts["number"]: facts for facts in found if facts is not None}
    waiting = todo[~todo["number"].isin(list(ready))]
    batch, before = ShardBatch(build.staging, build.data.scan), len(build.shards)
    rows: list[dict[str, Any]] = []
    with track(f"preparing {build.data.name}", len(todo), done=len(ready)) as tick:
        arriving = _prepared(build, waiting, tick, workers=workers, limit=limit)
        for count, facts in enumerate(_in_order(todo["number"], ready, arriving), 1):
            if not batch.empty and batch.bytes + batch.size(facts) > build.shard_bytes:
                rows += _seal(build, batch)
            batch.add(facts)
            made = sum(shard.bytes for shard in build.shards[before:]) + batch.bytes
            tick.note = f"about {short(made / count * len(todo), 'B')}"
    return frame(rows + (batch.rows() if batch.empty else _seal(build, batch)))


def _prepared(
    build: Build, todo: pd.DataFrame, tick: Track, *, workers: int, limit: float
) -> Iterator[Facts]:
    """Facts of originals as they are staged, in any order."""
    media, root = build.data.dataset.media, build.data.root
    tasks = (staging.order(build.staging, root, item, media, build.settings) for item in records(todo))
    for task, facts in answers(staging.stage, tasks, workers=min(workers, len(todo)), limit=limit):
        if isinstance(facts, WorkerFailure):
            facts = staging.failed(staging.ordered(task), facts.reason)
            staging.keep(build.staging, facts)
        if staging.STOPPED in facts:
            raise OSError(facts[staging.STOPPED])
        if facts["reason"]:
            log.warning("%s: %s", facts["path"], facts["reason"])
        tick()
        yield facts


def _in_order(numbers: Iterable[int], ready: dict[int, Facts], arriving: Iterator[Facts]) -> Iterator[Facts]:
    for number in numbers:
        while number not in ready:
            facts = next(arriving)
            ready[facts["number"]] = facts
        yield ready.pop(number)


def _seal(build: Build, batch: ShardBatch) -> list[dict[str, Any]]:
    """Write the next shard, then note that it is done, then remove what was staged for it; its rows."""
    position = len(build.shards)
    shard = batch.write(build.folder / SHARDS / shard_name(position))
    rows = batch.rows(position)
    write_json(build.building / f"{position:06d}.json", {"shard": shard.model_dump(), "rows": rows})
    build.shards.append(shard)
    for facts in batch.facts:
        staging.clear(build.staging, facts)
    batch.clear()
    return rows
