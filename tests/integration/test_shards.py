"""A suite run from prepared shards beside the same suite run from the files that they were made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.helpers import one_thread, records, xdcbench
from xdcbench.utils.documents import read_json

pytestmark = pytest.mark.slow

SUITE = Path(__file__).with_name("prepared.yaml")
WORLD = ("classes=3", "size=32", "kinetics_train=14", "kinetics_val=2", "ucf101_groups=3", "esc50_per_fold=2")
NAMES = ("kinetics400", "ucf101", "esc50")

FEATURES = {"audio": 0.01, "video": 0.1}
"""Largest change of a random encoder's features, as a share of their spread over items."""


def run(out: Path, *words: object, **env: str) -> None:
    done = xdcbench(
        *("run", "--suite", SUITE, "--results", out, "--device", "cpu", "--num-workers", 1, *words),
        env=one_thread() | env,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``files``, ``shards``, their copies below ``node``, and the results of each."""
    root = tmp_path_factory.mktemp("prepared")
    world = [word for setting in WORLD for word in ("--set", f"world.{setting}")]
    assert xdcbench("data", "synth", "--output", root / "files", *world).returncode == 0
    for name in NAMES:
        folders = ("--root", root / "files" / name, "--output", root / "shards" / name, "--num-workers", 1)
        done = xdcbench("data", "prepare", name, *folders, env=one_thread())
        assert done.returncode == 0, done.stderr
    run(root / "from-files", "--data-root", root / "files")
    run(root / "from-shards", XDCBENCH_SHARDS=str(root / "shards"))
    run(
        root / "from-scratch",
        "--scratch",
        "$JOB/x",
        XDCBENCH_SHARDS=str(root / "shards"),
        JOB=str(root / "node"),
    )
    run(root / "prepared", "--data-root", root / "files", "--set", f"prepare=[{', '.join(NAMES)}]")
    return root


def features(out: Path) -> dict[str, np.ndarray]:
    """Features of every item, by the name of their stage."""
    found = sorted(out.glob("runs/features-*"))
    return {read_json(path / "run.json")["name"]: np.load(path / "features.npy") for path in found}


def numbers(out: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = [row for of in records(out).values() for row in of]
    names = ("method", "evaluation", "dataset", "split", "metric")
    return {(*(row[name] for name in names), str(row["hyperparameters"])): row for row in rows}


def test_a_suite_that_prepares_its_data_finds_what_the_command_s_shards_give(data: Path) -> None:
    shards, prepared = features(data / "from-shards"), features(data / "prepared")
    assert shards.keys() == prepared.keys()
    for name, values in shards.items():
        np.testing.assert_array_equal(values, prepared[name])
    theirs, own = numbers(data / "from-shards"), numbers(data / "prepared")
    assert {key: row["value"] for key, row in own.items()} == {
        key: row["value"] for key, row in theirs.items()
    }


def test_a_copy_of_the_shards_on_a_scratch_disk_gives_the_same_records(data: Path) -> None:
    assert records(data / "from-scratch") == records(data / "from-shards")
    copies = [path.name.split("-")[1] for path in (data / "node" / "x").iterdir()]
    assert sorted(copies) == sorted(NAMES)


def test_what_is_prepared_stays(data: Path) -> None:
    words = (
        "run",
        "--suite",
        SUITE,
        "--results",
        data / "prepared",
        "--data-root",
        data / "files",
        "--device",
        "cpu",
    )
    done = xdcbench(*words, "--set", f"prepare=[{', '.join(NAMES)}]")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(" kept")
    assert len(list((data / "prepared").glob("runs/index-*"))) == len(NAMES)


def test_random_encoders_see_nearly_the_same(data: Path) -> None:
    files, shards = features(data / "from-files"), features(data / "from-shards")
    assert files.keys() == shards.keys()
    scratch = [name for name in files if name.startswith("scratch")]
    assert len(scratch) == 2
    for name in scratch:
        spread = np.linalg.norm(files[name] - files[name].mean(0))
        change = np.linalg.norm(files[name] - shards[name]) / spread
        assert 0 < change < FEATURES["audio" if "audio" in name else "video"], (name, change)


def test_results_of_random_encoders_differ_by_an_item_at_most(data: Path) -> None:
    files, shards = numbers(data / "from-files"), numbers(data / "from-shards")
    assert files.keys() == shards.keys()
    shares = {key: row for key, row in files.items() if row["unit"] == "%" and row["method"] == "scratch"}
    assert len(shares) == 2
    for key, row in shares.items():
        assert abs(row["value"] - shards[key]["value"]) <= 100 / row["items_used"] + 1e-9
        assert shards[key]["items_used"] == row["items_used"]


def test_records_and_tables_name_the_shards(data: Path) -> None:
    files, shards = numbers(data / "from-files"), numbers(data / "from-shards")
    for key, row in shards.items():
        assert row["shards"]["source_fingerprint"] == files[key]["fingerprint"]
        assert row["shards"]["fingerprint"] == row["fingerprint"] != files[key]["fingerprint"]
        assert row["shards"]["settings"]["short_side"] == 160
        assert files[key]["shards"] is None
    assert not records(data / "from-files").keys() & records(data / "from-shards").keys()
    for table, name in (("frozen_audio", "esc50"), ("frozen_video", "ucf101")):
        said = f"{name} read from prepared shards (data "
        for out, there in (("from-shards", True), ("from-files", False)):
            done = xdcbench("table", table, "--results", data / out, "--details")
            assert (said in done.stdout) is there, done.stderr


def test_shards_need_no_files_and_serve_beside_some(data: Path, tmp_path: Path) -> None:
    shards = data / "shards" / "esc50"
    done = xdcbench("run", "--suite", SUITE, "--shards", shards, "--dry-run", "--results", tmp_path)
    assert done.returncode == 0
    assert "no place given for ucf101" in done.stdout and "no place given for esc50" not in done.stdout
    both = xdcbench(
        *(
            "run",
            "--suite",
            SUITE,
            "--shards",
            shards,
            "--data-root",
            data / "files",
            "--dry-run",
            "--results",
            tmp_path,
        )
    )
    assert "unavailable" not in both.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("models.video.input.short_side=[160,200]",), None),  # the originals are smaller still
        (
            ("models.audio.input.sample_rate=22050",),
            "hold audio of 16000 Hz, an encoder takes 22050 Hz; prepare others ",
        ),
    ],
)
def test_an_encoder_that_wants_more_is_refused_when_planning(
    data: Path, tmp_path: Path, words: tuple[str, ...], message: str | None
) -> None:
    sets = [word for setting in words for word in ("--set", setting)]
    done = xdcbench(
        "run", "--suite", SUITE, "--shards", data / "shards", "--dry-run", "--results", tmp_path, *sets
    )
    assert done.returncode == (2 if message else 0), done.stderr
    assert (message or "") in done.stderr
