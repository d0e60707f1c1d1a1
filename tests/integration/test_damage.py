"""Damaged, copied and read-only results folders; the whole matrix of damages is in tests/nightly."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.damage import (
    DAMAGES,
    FILES,
    FP32,
    call,
    case,
    commands,
    judged,
    rerun,
    rotten,
    run,
)
from tests.integration.helpers import PICO, records
from xdcbench.results.run_store import RunStore

pytestmark = pytest.mark.slow

NEW_SHOTS = ("--set", "evaluations.audio_low_shot.per_class=[2]")
"""Of which nothing is measured yet, from features that are there."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    assert run(out).code == 0
    return out


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("records.json of a probe", "gone"),
        ("features.npy", "half_zeroed"),
        ("items.arrow", "cut"),
        ("results.json", "zeroed"),
    ],
)
def test_what_is_damaged_is_named_left_out_and_made_again(
    base: Path, tmp_path: Path, what: str, damage: str
) -> None:
    out, path = case(base, FILES[what], DAMAGES[damage], tmp_path)
    found = {}
    for name, words in commands(out, tmp_path / "to").items():
        if name not in (
            "clusters",
            "export",
            "run --policy never",
        ):  # which take seconds, or mend the folder's mark
            found[name] = judged(name, call(*words), path, out)
    assert {name: why for name, why in found.items() if why} == {}
    assert rerun(base, out, path) == ""


@pytest.mark.parametrize("pattern", ["runs/features-*/features.npy", "runs/world-*/esc50/audio/*.wav"])
def test_what_has_rotted_is_not_read_as_an_input(base: Path, tmp_path: Path, pattern: str) -> None:
    """Its size and time are those that were written: a new evaluation would have measured it without a word."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    shutil.copytree(base, whole)
    shutil.copytree(base, out)
    for path in sorted(out.glob(pattern)):
        rotten(path)
    words = NEW_SHOTS if "features" in pattern else ("--set", "evaluations.audio_low_shot.num_clips=1")
    assert run(whole, *words).code == 0
    said = run(out, *words)
    assert said.code == 0 and "is not what was written" in said.text
    assert records(out) == records(whole)


def test_verify_results_finds_what_has_rotted_and_moves_it_aside(base: Path, tmp_path: Path) -> None:
    # What new shots read: whatever is read by nothing is not made again.
    shots = json.loads(next(base.glob("runs/low_shot-*/run.json")).read_text())
    key = shots["inputs"]["features"]
    out, path = case(base, f"runs/{key}/features.npy", rotten, tmp_path)
    said = call("verify-results", "--results", base, "--results", out)
    assert said.code == 1
    assert f"{base}: 26 runs verified, nothing damaged" in said.text
    assert f"damaged  {path.parent}: features.npy is not what was written" in said.text
    aside = out / "runs" / ".damaged" / key
    said = call("verify-results", "--results", out, "--repair")
    assert (
        said.code == 1 and f"repaired {path.parent}: moved to {aside}; its suite makes it again" in said.text
    )
    assert (aside / "features.npy").is_file() and not path.exists()
    assert call("verify-results", "--results", out).code == 0
    assert "25 kept" not in run(out, *NEW_SHOTS).text
    assert path.read_bytes() == (base / path.relative_to(out)).read_bytes()
    assert "damaged runs moved aside" in call("prune", "--results", out).text
    assert not aside.exists() and call("verify-results", "--results", out).code == 0


def test_a_copy_without_times_is_whole_and_repair_notes_its_times(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(base, out, copy_function=shutil.copyfile)
    assert call("verify-results", "--results", out).code == 0
    assert "26 kept" in run(out).text
    assert call("verify-results", "--results", out, "--repair").code == 0
    features = next(out.glob(FILES["features.npy"]))
    said = json.loads((features.parent / "manifest.json").read_text())["files"]["features.npy"]
    assert said["changed"] == features.stat().st_mtime_ns


def test_a_pruned_folder_is_whole(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(base, out)
    assert call("prune", "--results", out, "--encoders").code == 0
    assert call("verify-results", "--results", out).code == 0
    assert "26 kept" in run(out).text
    note = next(out.glob("runs/*/pruned.json"))
    note.unlink()
    said = run(out)
    assert f"{note.parent} is damaged: pruned.json is missing" in said.text and said.code == 0
    assert call("verify-results", "--results", out).code == 0


def test_a_folder_of_an_older_version_is_refused(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(base, out)
    (out / "results.json").write_text('{"schema_version": 1}')
    for path in out.glob("runs/*/manifest.json"):
        path.unlink()
    for words in commands(out, tmp_path / "to").values():
        said = call(*words)
        assert said.code == 2 and "was written by an older xdcbench (results schema 1" in said.text


# ------------------------------------------------------------------------------------------- read-only


def mounted(folder: Path) -> bool:
    """Whether the folder was made read-only by a mount of itself."""
    once = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False)
    if once.returncode:
        return False
    again = subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], capture_output=True, check=False)
    return not again.returncode


@pytest.fixture
def read_only(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A complete results folder on a read-only mount, or, where nothing may be mounted, one that behaves so."""
    out = tmp_path / "out"
    shutil.copytree(base, out)
    if mounted(out):
        yield out
        subprocess.run(["umount", str(out)], check=True)
        return
    subprocess.run(["umount", str(out)], capture_output=True, check=False)
    opened, made, removed, replaced = os.open, os.mkdir, os.unlink, os.replace
    builtin = open

    def refused(path: object) -> None:
        if str(path).startswith(str(out)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def opening(path: object, flags: int, *rest: object, **more: object) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refused(path)
        return opened(path, flags, *rest, **more)  # type: ignore[arg-type]

    def reading(file: object, mode: str = "r", *rest: object, **more: object) -> object:
        if set(mode) & set("wax+"):
            refused(file)
        return builtin(file, mode, *rest, **more)  # type: ignore[call-overload]

    def making(path: object, *rest: object, **more: object) -> None:
        if not Path(str(path)).exists():
            refused(path)
        made(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr("io.open", reading)
    monkeypatch.setattr(os, "mkdir", making)
    monkeypatch.setattr(os, "unlink", lambda path, **more: (refused(path), removed(path, **more)))
    monkeypatch.setattr(os, "replace", lambda a, b: (refused(a), refused(b), replaced(a, b)))
    yield out


def test_a_read_only_folder_serves_all_that_only_reads(read_only: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in read_only.rglob("*")}
    for name, words in commands(read_only, tmp_path / "to").items():
        if name not in ("prune", "clusters"):
            assert call(*words).code == 0, name
    for words in ((), ("--policy", "never")):
        said = run(read_only, *words)
        assert said.code == 0 and "26 kept" in said.text
        assert f"tables  not written to {read_only / 'tables' / 'pico'}: Read-only file system" in said.text
    assert call("prune", "--results", read_only, "--dry-run").code == 0
    assert {path: path.stat().st_mtime_ns for path in read_only.rglob("*")} == before


@pytest.mark.parametrize(
    "words",
    [
        ("prune", "--results"),
        ("run", "--suite", PICO, "--device", "cpu", *FP32, *NEW_SHOTS, "--results"),
        ("run", "--suite", PICO, "--device", "cpu", *FP32, "--policy", "always", "--results"),
    ],
)
def test_what_writes_says_in_one_line_that_a_folder_is_read_only(
    read_only: Path, words: tuple[object, ...]
) -> None:
    said = call(*words, read_only)
    last = said.text.rstrip().splitlines()[-1]
    assert said.code == 2 and last.startswith("xdcbench: cannot ") and "Read-only file system" in last


def test_a_file_system_without_locks_is_told_with_a_way_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refused(file: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    out = tmp_path / "out"
    shutil.copytree(base, out)
    monkeypatch.setattr(fcntl, "flock", refused)
    for words in (
        ("prune", "--results", out),
        ("run", "--suite", PICO, "--device", "cpu", *FP32, "--results", out),
    ):
        said = call(*words)
        assert said.code == 2 and "gives no lock (No locks available)" in said.text
        assert "XDCBENCH_LOCKS=off" in said.text.rstrip().splitlines()[-1]
    monkeypatch.setenv("XDCBENCH_LOCKS", "off")
    assert "26 kept" in run(out).text
    assert call("prune", "--results", out).code == 0
    assert RunStore(out).keys()
