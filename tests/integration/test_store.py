"""A suite run from prepared stores beside the same suite run from the files that they were made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.helpers import one_thread, records, xdcbench
from xdcbench.store import read_json

SUITE = Path(__file__).with_name("stored.yaml")
WORLD = ("classes=3", "size=32", "kinetics_train=14", "kinetics_val=2", "ucf101_groups=3", "esc50_per_fold=2")
NAMES = ("kinetics400", "ucf101", "esc50")

FEATURES = {"audio": 0.01, "video": 0.1}
"""Largest change of a random encoder's features, as a share of their spread over items."""


def run(out: Path, *words: object, **env: str) -> None:
    done = xdcbench(
        *("run", "--suite", SUITE, "--out", out, "--device", "cpu", "--workers", 1, *words),
        env=one_thread() | env,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``files``, ``stores``, and the results ``from-files`` and ``from-stores``."""
    root = tmp_path_factory.mktemp("stored")
    world = [word for setting in WORLD for word in ("--set", f"world.{setting}")]
    assert xdcbench("data", "synth", "--to", root / "files", *world).returncode == 0
    for name in NAMES:
        folders = ("--root", root / "files" / name, "--store", root / "stores" / name, "--workers", 1)
        done = xdcbench("data", "prepare", name, *folders, env=one_thread())
        assert done.returncode == 0, done.stderr
    run(root / "from-files", "--data-root", root / "files")
    run(root / "from-stores", XDCBENCH_STORE=str(root / "stores"))
    return root


def features(out: Path) -> dict[str, np.ndarray]:
    """Features of every item, by the name of their stage."""
    found = sorted(out.glob("runs/features-*"))
    return {read_json(path / "run.json")["name"]: np.load(path / "features.npy") for path in found}


def numbers(out: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = [row for of in records(out).values() for row in of]
    names = ("method", "evaluation", "dataset", "split", "metric")
    return {(*(row[name] for name in names), str(row["factors"])): row for row in rows}


def test_random_encoders_see_nearly_the_same(data: Path) -> None:
    files, stores = features(data / "from-files"), features(data / "from-stores")
    assert files.keys() == stores.keys()
    scratch = [name for name in files if name.startswith("scratch")]
    assert len(scratch) == 2
    for name in scratch:
        spread = np.linalg.norm(files[name] - files[name].mean(0))
        change = np.linalg.norm(files[name] - stores[name]) / spread
        assert 0 < change < FEATURES["audio" if "audio" in name else "video"], (name, change)


def test_results_of_random_encoders_differ_by_an_item_at_most(data: Path) -> None:
    files, stores = numbers(data / "from-files"), numbers(data / "from-stores")
    assert files.keys() == stores.keys()
    shares = {key: row for key, row in files.items() if row["unit"] == "%" and row["method"] == "scratch"}
    assert len(shares) == 2
    for key, row in shares.items():
        assert abs(row["value"] - stores[key]["value"]) <= 100 / row["items_used"] + 1e-9
        assert stores[key]["items_used"] == row["items_used"]


def test_records_and_tables_name_the_store(data: Path) -> None:
    files, stores = numbers(data / "from-files"), numbers(data / "from-stores")
    for key, row in stores.items():
        assert row["store"]["source_fingerprint"] == files[key]["fingerprint"]
        assert row["store"]["fingerprint"] == row["fingerprint"] != files[key]["fingerprint"]
        assert row["store"]["settings"]["short_side"] == 160
        assert files[key]["store"] is None
    assert not records(data / "from-files").keys() & records(data / "from-stores").keys()
    for table, name in (("frozen_audio", "esc50"), ("frozen_video", "ucf101")):
        said = f"{name} read from a prepared store (data "
        assert said in (data / "from-stores" / "tables" / "stored" / f"{table}.md").read_text()
        assert said not in (data / "from-files" / "tables" / "stored" / f"{table}.md").read_text()


def test_a_store_needs_no_files_and_serves_beside_some(data: Path, tmp_path: Path) -> None:
    store = data / "stores" / "esc50"
    done = xdcbench("run", "--suite", SUITE, "--store", store, "--dry-run", "--out", tmp_path)
    assert done.returncode == 0
    assert "no place given for ucf101" in done.stdout and "no place given for esc50" not in done.stdout
    both = xdcbench(
        *(
            "run",
            "--suite",
            SUITE,
            "--store",
            store,
            "--data-root",
            data / "files",
            "--dry-run",
            "--out",
            tmp_path,
        )
    )
    assert "unavailable" not in both.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("models.video.input.short_side=[160,200]",), None),  # the originals are smaller still
        (
            ("models.audio.input.rate=22050",),
            "holds sound of 16000 Hz, an encoder takes 22050 Hz; prepare another ",
        ),
    ],
)
def test_an_encoder_that_wants_more_is_refused_when_planning(
    data: Path, tmp_path: Path, words: tuple[str, ...], message: str | None
) -> None:
    sets = [word for setting in words for word in ("--set", setting)]
    done = xdcbench(
        "run", "--suite", SUITE, "--store", data / "stores", "--dry-run", "--out", tmp_path, *sets
    )
    assert done.returncode == (2 if message else 0), done.stderr
    assert (message or "") in done.stderr
