"""Two and three processes under torchrun do what one does: same labels, same counts, one set of files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.integration.helpers import PICO, one_thread, records
from tests.unit.tiny import linked, spoil
from xdcbench.data.index import Index

ROOT = Path(__file__).parents[2]


def processes(count: int, *words: object) -> str:
    """What ``python -m WORDS`` says when it is run by so many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count] if count > 1 else []
    command = [sys.executable, *map(str, launcher), "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread(), check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def same_labels(one: Path, other: Path) -> None:
    """The same items, clusters, distances and centroids, but for what the order of float64 sums can change."""
    tables = [pd.read_parquet(folder / "assignments.parquet") for folder in (one, other)]
    names = [name for name in tables[0] if not name.endswith("_distance")]
    pd.testing.assert_frame_equal(*(table[names] for table in tables))
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)
    centroids = [load_file(folder / "centroids.safetensors") for folder in (one, other)]
    for name in set(names) - {"id"}:
        np.testing.assert_allclose(centroids[1][name], centroids[0][name], rtol=1e-4, atol=1e-6)


def first_round(out: Path) -> Path:
    return min(out.glob("runs/round-*"), key=lambda path: path.stat().st_mtime)


def test_two_processes_run_a_suite_as_one(pico: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = processes(2, "xdcbench", "run", "--suite", PICO, "--results", out, "--device", "cpu")
    assert said.count("26 done") == 1, "one process speaks"
    alone, together = records(pico), records(out)
    assert together.keys() == alone.keys(), "the number of processes is in no key"
    same_labels(first_round(pico), first_round(out))
    assert not list(out.glob("runs/*/features")) and not list(out.glob("runs/*/extracted"))
    for key, rows in alone.items():
        for one, two in zip(rows, together[key], strict=True):
            counts = ("metric", "items_expected", "items_used", "items_failed")
            assert [one[name] for name in counts] == [two[name] for name in counts]
            assert (one["world_size"], two["world_size"]) == (1, 2)
            trained = one["method"] == "xdc" or one["evaluation"] == "finetune"
            assert two["hyperparameters"] == one["hyperparameters"] | ({"processes": 2} if trained else {})
            if one["metric"].startswith("initial_"):
                assert abs(one["value"] - two["value"]) < 0.1


@pytest.fixture(scope="module")
def torn(world: Path, tiny_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world with one training item that was readable when it was indexed."""
    root = tmp_path_factory.mktemp("torn")
    linked(world / "kinetics400", root / "kinetics400")
    index = Index.load(tiny_runs / "kinetics400")
    spoil(root / "kinetics400" / index.items["path"].iloc[index.rows("official", "train")[5]])
    return root


@pytest.fixture(scope="module")
def alone(tiny_runs: Path, torn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the torn world."""
    work = tmp_path_factory.mktemp("alone")
    processes(1, "tests.integration.label", tiny_runs, torn, work, 4)
    return work


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_uneven_shares_with_an_unreadable_item_are_labeled_as_by_one(
    tiny_runs: Path, torn: Path, alone: Path, tmp_path: Path, count: int
) -> None:
    """18 items in blocks of 4: shares of 8 and 10, or of 4, 8 and 6; of 17 readable ones 8 and 9, or 4, 8 and 5."""
    processes(count, "tests.integration.label", tiny_runs, torn, tmp_path, 4)
    for method, names in (("xdc", ("v", "a")), ("cdc", ("joint",))):
        one, many = alone / method, tmp_path / method
        same_labels(one, many)
        table = pd.read_parquet(many / "assignments.parquet")
        for name in names:
            assert (table[name] >= 0).sum() == 17, "the torn item alone has no label"
            assert table[f"{name}_distance"].dtype == np.float32
            assert (table[f"{name}_distance"].notna() == (table[name] >= 0)).all()
        assert sorted(path.name for path in many.iterdir()) == sorted(path.name for path in one.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reached", "killed", "says"),
    [
        ("round-*/metrics.jsonl", 1, "failed: process 1 of 2 is gone; was it killed, or out of memory?"),
        ("linear_svm-*/log.txt", 0, "xdcbench: process 0 of 2 is gone; was it killed, or out of memory?"),
    ],
)
def test_the_process_that_is_left_names_the_one_that_was_killed(
    tmp_path: Path, reached: str, killed: int, says: str
) -> None:
    """In a stage that both work on, and in one that the other waits for; torchrun asks it to end meanwhile."""
    out = tmp_path / "out"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["-m", "xdcbench", "run", "--suite", PICO, "--results", out, "--device", "cpu"]
    launched = subprocess.Popen(
        [*launcher, *map(str, words)], stderr=subprocess.PIPE, text=True, env=one_thread(), cwd=ROOT
    )
    deadline = time.monotonic() + 120
    while not any(out.glob(f"runs/.building/{reached}")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(_process(launched.pid, killed), signal.SIGKILL)
    _, said = launched.communicate(timeout=60)
    assert launched.returncode == 1
    own = [line for line in said.splitlines() if "xdcbench" in line or "process" in line]
    assert any(line.endswith(says) for line in own), said
    assert "asked to end" not in said


def _process(launcher: int, number: int) -> int:
    """The process with a number of those that torchrun started."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    (found,) = [
        child
        for child in children
        if f"RANK={number}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    ]
    return int(found)


@pytest.mark.slow
def test_fewer_items_than_processes(tiny_runs: Path, world: Path, tmp_path: Path) -> None:
    """Two items in blocks of one: one process of three has none."""
    for number in (1, 3):
        processes(number, "tests.integration.label", tiny_runs, world, tmp_path / str(number), 1, 2)
    same_labels(tmp_path / "1" / "cdc", tmp_path / "3" / "cdc")
