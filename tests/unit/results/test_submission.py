"""The folder of a submission: what it may hold, and what is told in one line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xdcbench.errors import UserError
from xdcbench.results.submission import (
    CARD,
    MANIFEST,
    REQUIRED,
    file_mismatches,
    read_submission,
    write_submission,
)

KEY = "knn-0123456789ab"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "submission"
    (folder / KEY).mkdir(parents=True)
    for name in REQUIRED:
        (folder / KEY / name).write_text(name)
    (folder / CARD).write_text("card")
    write_submission(folder, (KEY,))
    return folder


def change(folder: Path, how: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    how(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        read_submission(folder)
    assert "\n" not in str(error.value)
    assert "Try: " in str(error.value)
    return str(error.value)


def test_reads_what_was_written(folder: Path) -> None:
    submission = read_submission(folder)
    assert submission.runs == (KEY,)
    assert set(submission.files) == {CARD, *(f"{KEY}/{name}" for name in REQUIRED)}
    assert list(file_mismatches(folder, submission)) == []


def test_files_that_differ(folder: Path) -> None:
    (folder / CARD).write_text("drac")
    (folder / KEY / "run.json").write_text("longer than it was")
    (folder / KEY / "config.json").unlink()
    said = [str(mismatch) for mismatch in file_mismatches(folder, read_submission(folder))]
    assert said[0].startswith("README.md: sha256 is stated as ")
    assert said[1:] == [
        f"{KEY}/config.json: file is stated as there, recomputed missing",
        f"{KEY}/run.json: bytes is stated as 8, recomputed 18",
    ]


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_not_a_submission(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    assert "is no submission: it has no submission.json" in refused(tmp_path / name)
    assert "is no submission" in refused(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b'{"schema_version": 1, "ru', b"[" * 50_000, b"\xff", b"null", b"{}"]
)
def test_a_torn_manifest(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert MANIFEST in refused(folder)


def test_a_newer_schema(folder: Path) -> None:
    change(folder, lambda content: content.update(schema_version=2, something="new"))
    assert "of a newer xdcbench; this one reads 1. Try: upgrade xdcbench" in refused(folder)


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "/etc/passwd",
        f"{KEY}/../../outside",
        f"{KEY}/./run.json",
        "other/run.json",
        f"{KEY}/log.txt",
    ],
)
def test_paths_that_no_submission_has(folder: Path, path: str) -> None:
    change(folder, lambda content: content["files"].update({path: {"bytes": 1, "sha256": "0" * 64}}))
    said = refused(folder)
    assert repr(path) in said
    assert ("leaves the folder" in said) == (".." in path or path.startswith("/"))


@pytest.mark.parametrize("key", ["..", "../x", "/x", "a/b", ""])
def test_keys_that_are_no_names(folder: Path, key: str) -> None:
    change(folder, lambda content: content.update(runs=[key]))
    assert "runs.0" in refused(folder)


def test_a_file_of_every_run_is_named(folder: Path) -> None:
    change(folder, lambda content: content["files"].pop(f"{KEY}/predictions.parquet"))
    assert f"does not name '{KEY}/predictions.parquet'" in refused(folder)


def test_links_pipes_and_further_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (folder / "more.txt").write_text("x")
    assert "more.txt is not in submission.json. Try: remove it" in refused(folder)
    (folder / "more.txt").unlink()
    os.mkfifo(folder / "pipe")
    assert "pipe is no file" in refused(folder)
    (folder / "pipe").unlink()
    (folder / "folder").symlink_to(tmp_path)
    assert "folder is a link" in refused(folder)
    (folder / "folder").unlink()
    (folder / CARD).unlink()
    (folder / CARD).symlink_to(tmp_path / "outside")
    assert "README.md is a link" in refused(folder)
    (folder / MANIFEST).rename(tmp_path / MANIFEST)
    (folder / MANIFEST).symlink_to(tmp_path / MANIFEST)
    assert "is no submission" in refused(folder)
