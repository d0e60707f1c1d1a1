"""What is known of every file of a dataset: looked at once, in parallel, and kept."""

import glob
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from xdcbench.data.fingerprints import KEY, mtimes
from xdcbench.data.scanning.items import MISSING
from xdcbench.errors import UserError
from xdcbench.utils.arrays import read_table
from xdcbench.utils.io import atomic_write
from xdcbench.utils.locks import lock
from xdcbench.utils.parts import Part
from xdcbench.utils.process_pool import WorkerFailure, answers
from xdcbench.utils.progress import log, track

CHUNK = 50_000
"""Files, or lines of the journal, that are held as objects at once."""
FOLDER = "[0-9a-f]" * 12
"""How the folder of a dataset's state ends, as a glob."""


STATED = {
    "path": "string",
    "bytes": "int64",
    "mtime": "int64",
    "error": "string",
    "given": "float64",
    "version": "Int64",
}
"""Columns that every survey fills."""


@dataclass(frozen=True)
class Question:
    """What is asked of every file.

    Attributes:
        look: importable by name; from an absolute path to a row of ``types``, or to ``error`` alone.
        types: nullable pandas types of the columns that ``look`` fills.
        label: what the progress bar says.
        version: of the answers; those of another version are not used.
    """

    look: Callable[[str], dict[str, Any]]
    types: dict[str, str]
    label: str
    version: int


def survey(
    items: pd.DataFrame,
    root: Path,
    question: Question,
    kept: Path,
    *,
    workers: int,
    limit: float,
    wait: bool = False,
) -> pd.DataFrame:
    """``items`` with the answer of each file, asking only of files in a state that has none.

    Answers go to a journal at once, so that an interrupted survey resumes, and to ``kept`` at the end. Those
    in the folders of the dataset's other states are used too. A file whose process died is looked at again
    by the next survey, one that took too long by a survey that allows more.

    Args:
        items: path below ``root`` and bytes (`MISSING` where the disk lacks the file), among other columns.
        kept: a Parquet file in the folder, which exists, of this state of the dataset.
        workers: processes that look.
        limit: seconds that one file may take.
        wait: for another process that surveys the dataset, which is else refused.

    Returns:
        ``items`` in their order with the columns of the question, missing where there is no answer, and: mtime,
        version, error (why there is none, else ""), given (seconds after which a file was given up, 0 where the
        process died; nan for an answer).

    Raises:
        UserError: another process surveys the same dataset.
        MediaUnreachableError: a file that was there is not now; the answers so far are kept.
    """
    items = items.assign(mtime=mtimes(items, root))
    busy = _busy(kept)
    with lock(kept.parent / ".lock", busy=busy, waiting=busy if wait else None):
        journals, known = _journals(kept), _known(kept, question)
        todo = _unanswered(_here(items), known, limit)
        if len(todo):
            _look(todo, root, question, kept.with_suffix(".jsonl"), workers=workers, limit=limit)
        if len(todo) or journals:
            known = _known(kept, question)
        known = known.astype({"path": items["path"].dtype})
        found = items.merge(known, how="left", on=KEY).fillna({"error": ""})
        if len(todo) or journals or not kept.exists():
            with atomic_write(kept) as written:
                found.to_parquet(written, index=False)
        for path in [*_journals(kept), *kept.parent.glob(f"{glob.escape(kept.stem)}.*.lock")]:
            path.unlink(missing_ok=True)
    return found


def survey_part(
    items: pd.DataFrame,
    root: Path,
    question: Question,
    kept: Path,
    part: Part,
    *,
    workers: int,
    limit: float,
) -> int:
    """Ask of the files of one part; `survey` then finds the answers. Arguments are as there.

    Other parts may be asked of at the same time, also on other machines; the same call again resumes.

    Returns:
        the number of files of all parts that have no answer yet.

    Raises:
        UserError: another process surveys the whole dataset, or the same part.
        MediaUnreachableError: as `survey`.
    """
    here = _here(items.assign(mtime=mtimes(items, root)))
    name = f"{part.number}-{part.count}"
    with (
        lock(kept.parent / ".lock", shared=True, busy=_busy(kept)),
        lock(kept.with_suffix(f".{name}.lock"), busy=_busy(kept)),
    ):
        todo = _unanswered(here.iloc[part.slice], _known(kept, question), limit)
        if len(todo):
            _look(todo, root, question, kept.with_suffix(f".{name}.jsonl"), workers=workers, limit=limit)
        return len(_unanswered(here, _known(kept, question), 0.0))


def _busy(kept: Path) -> str:
    return f"another process surveys the dataset of {kept.parent}; wait for it or use --results"


def _here(items: pd.DataFrame) -> pd.DataFrame:
    """The files that are on disk, each once, in their order."""
    return items.loc[items["bytes"] != MISSING, KEY].drop_duplicates()


def _unanswered(files: pd.DataFrame, known: pd.DataFrame, limit: float) -> pd.DataFrame:
    """Those of ``files`` that have no answer, or were given up after less than ``limit`` seconds."""
    usable = known.loc[~(known["given"] < limit), KEY].astype({"path": files["path"].dtype})
    return files.merge(usable, how="left", on=KEY, indicator=True).query("_merge == 'left_only'")[KEY]


def _journals(kept: Path) -> list[Path]:
    """Answers that are in no table yet, of a whole survey and of parts."""
    stem = glob.escape(kept.stem)
    return sorted([*kept.parent.glob(f"{stem}.jsonl"), *kept.parent.glob(f"{stem}.*.jsonl")])


def _look(
    todo: pd.DataFrame, root: Path, question: Question, journal: Path, *, workers: int, limit: float
) -> None:
    with track(question.label, len(todo)) as tick, _lines(journal) as write:
        for begin in range(0, len(todo), CHUNK):
            rows = todo.iloc[begin : begin + CHUNK].to_dict("records")
            files = {str((root / row["path"]).absolute()): row for row in rows}
            for path, answer in answers(question.look, files, workers=min(workers, len(files)), limit=limit):
                if isinstance(answer, WorkerFailure):
                    answer = {"error": answer.reason, "given": limit if answer.timeout else 0.0}
                write(files[path] | {"version": question.version} | answer)
                tick()


def _known(kept: Path, question: Question) -> pd.DataFrame:
    """One row per state of a file: the journals', else this folder's, else another dataset state's."""
    types = STATED | question.types
    name = glob.escape(kept.parent.name[: kept.parent.name.rindex("-")])
    others = sorted(kept.parent.parent.glob(f"{name}-{FOLDER}/{kept.name}"))
    tables = [pd.DataFrame(columns=list(types)).astype(types)]
    for path in [*(p for p in others if p != kept), *([kept] if kept.exists() else [])]:
        try:
            table = read_table(path)
        except UserError:
            log.warning("%s is damaged; its files are looked at again", path)
            continue
        if set(types) <= set(table):
            tables.append(table.loc[table["bytes"] != MISSING, list(types)].astype(types))
    chunks = (rows for journal in _journals(kept) for rows in _chunks(journal))
    tables += [pd.DataFrame(rows, columns=list(types)).astype(types) for rows in chunks]
    known = pd.concat(tables, ignore_index=True)
    return known[(known["version"] == question.version).fillna(False)].drop_duplicates(KEY, keep="last")


def _chunks(journal: Path) -> Iterator[Sequence[dict[str, Any]]]:
    """Rows of the journal, some at a time; a line that a killed process did not finish is passed over."""
    with journal.open(encoding="utf-8", errors="replace") as lines:
        while chunk := list(islice(lines, CHUNK)):
            yield [row for line in chunk if (row := _row(line)) is not None]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and set(KEY) <= row.keys() else None


@contextmanager
def _lines(journal: Path) -> Iterator[Callable[[dict[str, Any]], int]]:
    """Appends rows, each on disk before the next is made; begins on a line of its own."""
    with journal.open("a", buffering=1, encoding="utf-8") as file:
        if file.tell():
            file.write("\n")
        yield lambda row: file.write(json.dumps(row) + "\n")
