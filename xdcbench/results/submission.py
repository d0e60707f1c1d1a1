"""The folder in which numbers are shared: its manifest, which files it may hold, and whether they are as stated."""

import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from xdcbench.errors import UserError
from xdcbench.results.run_facts import Key
from xdcbench.utils.documents import check, check_schema, read_json, write_json
from xdcbench.utils.io import file_hash
from xdcbench.utils.provenance import versions

SCHEMA_VERSION = 1
MANIFEST = "submission.json"
CARD = "README.md"
CONFIG = "config.json"
PREDICTIONS = "predictions.parquet"
SCORES = "scores.npy"

REQUIRED = ("records.json", PREDICTIONS, "run.json", CONFIG, "encoders.json")
"""Files of every run in a submission."""

OPTIONAL = (SCORES, "classes.parquet", "failed.json")
"""Files of those runs that have them."""

AGAIN = "ask whoever published it for the whole folder, as `xdcbench publish` wrote it"


class Mismatch(NamedTuple):
    """Where a submission does not fit: the file, what of it, what it or the manifest states, and what was found."""

    file: str
    what: str
    stated: object
    found: object

    def __str__(self) -> str:
        return f"{self.file}: {self.what} is stated as {self.stated}, recomputed {self.found}"


class SubmittedFile(BaseModel):
    """A file as it was published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Submission(BaseModel):
    """The manifest: runs by key, in the order in which they are told, and every file but the manifest by its path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    runs: Annotated[tuple[Key, ...], Field(min_length=1)]
    files: dict[str, SubmittedFile]
    made_with: dict[str, str]


def write_submission(folder: Path, runs: tuple[str, ...]) -> None:
    """Write the manifest of all files in ``folder``."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        path.relative_to(folder).as_posix(): SubmittedFile(bytes=path.stat().st_size, sha256=file_hash(path))
        for path in paths
    }
    submission = Submission(runs=runs, files=files, made_with=versions())
    write_json(folder / MANIFEST, submission.model_dump(mode="json"))


def read_submission(folder: Path) -> Submission:
    """The manifest of a submission, once the folder holds nothing but what a submission may.

    Raises:
        UserError: there is no manifest, it is damaged or of another schema, it names a path that no submission has,
            or the folder holds a link or a file that the manifest does not name.
    """
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise UserError(
            f"{folder} is no submission: it has no {MANIFEST}. Try: a folder of `xdcbench publish`"
        )
    content = read_json(path, fix=AGAIN)
    if isinstance(content, dict):
        check_schema(content.get("schema_version"), SCHEMA_VERSION, f"{path} is of", fix=AGAIN)
    submission: Submission = check(Submission, content, str(path), fix=AGAIN)
    _check_names(path, submission)
    _check_tree(folder, submission)
    return submission


def _check_names(path: Path, submission: Submission) -> None:
    """Refuse a manifest that names any file but those of its runs; such a path can lead nowhere else."""
    allowed = {CARD, *(f"{key}/{name}" for key in submission.runs for name in (*REQUIRED, *OPTIONAL))}
    if odd := sorted(submission.files.keys() - allowed):
        parts = PurePosixPath(odd[0]).parts
        why = "leaves the folder" if odd[0].startswith("/") or ".." in parts else "no submission has"
        raise UserError(f"{path} names {odd[0]!r}, which {why}. Try: {AGAIN}")
    wanted = (f"{key}/{name}" for key in submission.runs for name in REQUIRED)
    if lost := next((name for name in wanted if name not in submission.files), None):
        raise UserError(f"{path} does not name {lost!r}, which every submission has. Try: {AGAIN}")


def _check_tree(folder: Path, submission: Submission) -> None:
    """Refuse links, what is no file, and files that the manifest does not name."""
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "no file"
            raise UserError(f"{path} is {kind}, which no submission holds. Try: {AGAIN}")
        if name != MANIFEST and name not in submission.files:
            raise UserError(f"{path} is not in {MANIFEST}. Try: remove it, or publish the submission again")


def file_mismatches(folder: Path, submission: Submission) -> Iterator[Mismatch]:
    """Files that are missing, or differ from the manifest in size or hash."""
    for name, stated in sorted(submission.files.items()):
        path = folder / name
        if not path.is_file():
            yield Mismatch(name, "file", "there", "missing")
        elif (size := path.stat().st_size) != stated.bytes:
            yield Mismatch(name, "bytes", stated.bytes, size)
        elif (digest := file_hash(path)) != stated.sha256:
            yield Mismatch(name, "sha256", stated.sha256[:12], digest[:12])
