"""The record: one row per measured number, written inside its run directory."""

import gzip
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from xdcbench.errors import UserError
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import (
    LISTING,
    RESTORE,
    RUN_AGAIN,
    check,
    check_schema,
    parse_json,
    read_json,
    write_json,
)
from xdcbench.utils.io import atomic_write

SCHEMA_VERSION = 2

RECORD_FILE = "records.jsonl.gz"
"""Name of the file that holds the records of written tables."""

AGAIN = "measure it again by its suite, with --stage and the name of this file's folder, and --policy always"
"""What to do about a file that is as it was written, and that this version cannot use."""


class Record(BaseModel):
    """One measured number and everything needed to judge it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    schema_version: int = SCHEMA_VERSION  # of this class
    run: str  # key of the run directory that holds this record
    suite: str  # suite that first measured it
    method: str  # name of the method, or of encoders from elsewhere
    pretrain_data: str  # name of the pretraining set, "none" for an initialization
    pretrain_items: int  # items that were learned from
    pretrain_subset: str  # "" for the whole pretraining set, else the subset in words
    config_hash: str  # hash of all settings but seeds and split: only numbers of one config_hash are averaged
    architecture: str  # with width and blocks if they are not the paper's
    evaluation: str  # name of the evaluation, e.g. finetune, audio_probe, round
    protocol: str  # kind of the evaluation: finetune, linear_probe, linear_svm, round
    evaluation_version: int  # version of its stage, raised when its results change
    dataset: str  # name of the dataset that was tested on
    world: str  # "real", or "synthetic" for a generated world
    fingerprint: str  # of the dataset
    shards: dict[str, Any] | None = None  # fingerprints and settings of prepared ones; None: original files
    verified: dict[str, int] | None = None  # counts of `data verify`; None: never verified
    subset: str  # "" for the whole dataset, else the subset in words
    items_expected: int  # test items that the official lists name (after the subset)
    items_used: int  # test items that were scored; in a round, items of the training part that were clustered
    items_failed: int  # there, but unreadable
    failed_items: tuple[str, ...]  # the first of them, by id; failed.json in the run directory names all
    train_items_used: int  # of the evaluation's training part; 0 where nothing is trained
    train_items_failed: int  # of the training part, there, but unreadable
    split: str  # that was measured on
    official_splits: tuple[str, ...]  # all official splits of the dataset, for means over them
    pretrain_seed: int  # of the pretraining
    seed: int  # of the evaluation
    metric: str  # top1, nmi_class, ...
    value: float  # per cent where unit is "%"
    unit: str  # "%", or "" for a number without one
    higher_is_better: bool  # whether a larger value is a better one
    selection: Literal["last", "val-best"]  # epoch that counts; val-best: the best on held-out training items
    hyperparameters: dict[str, Any]  # what was set: k, frames, round, ...; strengths of a synthetic world
    outcomes: dict[str, Any] = {}  # what was found on the way: a chosen C, whether a solver converged
    epochs: int  # of this stage's training; 0 without
    seconds: float  # time of the last command that worked on the run
    device: str  # as torch names it
    precision: str  # resolved: fp32, bf16 or fp16
    world_size: int  # number of processes
    versions: dict[str, str]  # of xdcbench, Python, torch, torchvision, torchaudio, av, NumPy, scikit-learn
    commit: str  # of the checkout, with + if files were changed; empty without one

    @field_validator("hyperparameters")
    @classmethod
    def _rounds_are_numbered(cls, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        for name, kind in {"round": int, "clustering": str}.items():
            if not isinstance(hyperparameters.get(name, kind()), kind):
                raise ValueError(f"{name} is {hyperparameters[name]!r}, no {kind.__name__}")
        return hyperparameters


def write_records(run: Path, records: Iterable[Record]) -> None:
    """Write ``records.json`` into a run directory."""
    write_json(run / "records.json", [record.model_dump(mode="json") for record in records])


def write_record_file(path: Path, records: Iterable[Record]) -> None:
    """Write records to one file, gzipped JSON Lines, sorted; equal records give equal bytes."""
    lines = sorted(record.model_dump_json() for record in records)
    with atomic_write(path) as part:
        part.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def read_record_file(path: Path) -> list[Record]:
    """Records that `write_record_file` wrote.

    Raises:
        UserError: the file is missing or damaged, or its records have another schema.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(LISTING + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no file of records ({error}). Try: {RESTORE}") from error
    if len(content) > LISTING:
        raise UserError(f"{path} unpacks to more than {LISTING >> 20} MiB. Try: {RESTORE}")
    rows = [parse_json(line, f"a line of {path}") for line in content.splitlines()]
    return _checked(rows, path, RESTORE)


def read_records(stores: Sequence[RunStore], keys: Iterable[str] | None = None) -> list[Record]:
    """Records of the complete runs of several results folders, read as one; a run key counts once.

    ``keys`` names the runs to read; None reads all. Damaged runs are left out; the log names them.

    Raises:
        UserError: a file is no list of records, or of another schema.
    """
    found: dict[str, Path] = {}
    wanted = None if keys is None else set(keys)
    for store in stores:
        for key in store.keys(wanted):
            path = store.path(key) / "records.json"
            if path.exists():
                found.setdefault(key, path)
    return [record for _, path in sorted(found.items()) for record in read_file(path)]


def read_file(path: Path) -> list[Record]:
    """Records of one ``records.json``.

    Raises:
        UserError: the file is no list of records, or of another schema.
    """
    return _checked(read_json(path, fix=RUN_AGAIN), path, RUN_AGAIN)


def _checked(rows: Any, path: Path, fix: str) -> list[Record]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is no list of records. Try: {fix}")
    for row in rows:
        check_schema(row.get("schema_version"), SCHEMA_VERSION, f"{path} has records of", fix=fix)
    records: list[Record] = check(list[Record], rows, str(path), fix=fix)
    return records
