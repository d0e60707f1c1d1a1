"""Original files that change or go away between the commands of a user."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.integration.helpers import one_thread, records, xdcbench
from xdcbench.utils.manifest import write_manifest

pytestmark = pytest.mark.slow

SUITE = Path(__file__).with_name("changed.yaml")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """ESC-50's layout with 15 recordings, last changed long ago."""
    done = xdcbench(
        "data",
        "synth",
        "--output",
        tmp_path / "data",
        *("--set", "world.classes=3", "--set", "world.esc50_per_fold=1"),
    )
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "data").rglob("*"):
        os.utime(path, (10**9, 10**9))
    return tmp_path / "data"


def run(data: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    where = ("--data-root", data, "--results", data.parent / "out", "--device", "cpu", "--num-workers", 1)
    return xdcbench("run", "--suite", SUITE, *where, *words, env=one_thread())


def only_the_index(data: Path, *words: object) -> str:
    done = run(data, "--filter", "*esc50", "--stage", "index-*", *words)
    assert done.returncode == 0, done.stderr + done.stdout
    (index,) = (data.parent / "out").glob("runs/index-*")
    return index.name


def test_a_touched_file_is_indexed_again_and_keys_stay(data: Path) -> None:
    out = data.parent / "out"
    before = only_the_index(data)
    victim = sorted(data.glob("esc50/audio/*.wav"))[4]
    victim.touch()
    done = run(data)
    assert done.returncode == 1
    assert f"media changed since they were indexed: {victim}" in done.stderr
    assert not list(out.glob("runs/features-*"))
    done = run(data)
    assert done.returncode == 0, done.stderr
    assert "files or lists were written again since they were indexed" in done.stderr
    assert before in {path.name for path in out.glob("runs/index-*")}
    assert "files or lists" not in run(data).stderr
    assert len(records(out)) == 1


def test_an_index_of_another_version_is_made_again_and_keys_stay(data: Path) -> None:
    before = only_the_index(data)
    (run_folder,) = (data.parent / "out").glob("runs/index-*")
    rewritten = run_folder / "items.parquet"
    pd.read_feather(run_folder / "items.arrow").to_parquet(rewritten)
    (run_folder / "items.arrow").unlink()
    write_manifest(run_folder)
    done = run(data, "--filter", "*esc50", "--stage", "index-*")
    assert done.returncode == 0, done.stderr
    assert "its index is of another version of xdcbench and is made again" in done.stderr
    assert (run_folder / "items.arrow").is_file() and not rewritten.exists() and run_folder.name == before


def test_other_content_of_equal_size_has_other_keys_where_content_counts(data: Path) -> None:
    out = data.parent / "out"
    assert run(data, "--fingerprint", "content").returncode == 0
    before = records(out)
    victim = sorted(data.glob("esc50/audio/*.wav"))[4]
    content = bytearray(victim.read_bytes())
    content[1000:3000] = bytes(2000)
    victim.write_bytes(content)
    done = run(data, "--fingerprint", "content")
    assert done.returncode == 0, done.stderr
    after = records(out)
    assert len(before) == 1 and len(after) == 2 and before.items() <= after.items()


def test_media_that_are_away_fail_the_stage_and_come_back(data: Path) -> None:
    out = data.parent / "out"
    only_the_index(data)
    folder = data / "esc50" / "audio"
    times = folder.parent.stat()
    folder.rename(data / "away")
    folder.mkdir()  # a mount point, with nothing mounted
    os.utime(folder, (10**9, 10**9))
    os.utime(folder.parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = run(data)
    assert done.returncode != 0
    assert not list(out.glob("runs/features-*"))
    folder.rmdir()
    (data / "away").rename(folder)
    done = run(data)
    assert done.returncode == 0, done.stderr
    ((record, *_),) = records(out).values()
    assert (record["items_used"], record["items_failed"]) == (record["items_expected"], 0)
