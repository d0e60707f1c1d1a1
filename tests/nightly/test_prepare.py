"""Preparing shards, killed five times with SIGKILL while its processes work."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.helpers import one_thread
from xdcbench.data.preparation.verify import verify_shards

ROOT = Path(__file__).parents[2]
KILLS = 5


def prepare(root: Path, shards: Path, workers: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "xdcbench", "data", "prepare", "grid", "--root", str(root)]
    words += ["--output", str(shards), "--num-workers", str(workers), "--shard-bytes", str(2 << 20)]
    return subprocess.Popen(words, cwd=ROOT, env=one_thread(), text=True, stderr=subprocess.PIPE)


def files(shards: Path) -> dict[str, bytes]:
    """What finished shards hold."""
    kept = [path for path in shards.rglob("*") if path.is_file() and ".building" not in path.parts]
    return {str(path.relative_to(shards)): path.read_bytes() for path in kept}


def done(shards: Path) -> int:
    """Originals that are prepared and shards that are done."""
    return len(list(shards.glob(".building/staged/*.facts"))) + 100 * len(
        list(shards.glob(".building/*.json"))
    )


@pytest.mark.nightly
def test_shards_killed_five_times_have_the_same_bytes(shared_data: Path, tmp_path: Path) -> None:
    for _ in range(KILLS):
        process, before = prepare(shared_data / "grid", tmp_path / "killed", 2), done(tmp_path / "killed")
        while done(tmp_path / "killed") <= before + 3:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed" / "shards.json").exists()
    for shards, workers in (("killed", 2), ("whole", 1)):
        process = prepare(shared_data / "grid", tmp_path / shards, workers)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert verify_shards(tmp_path / "killed", workers=1).faults == ()
