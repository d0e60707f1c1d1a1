"""Room is made without anything being run again for it, and a new evaluation gets what it needs."""

import shutil
from pathlib import Path

import pytest

from tests.integration.helpers import PICO, one_thread, records, xdcbench
from xdcbench.utils.locks import lock


def run(out: Path, *words: object) -> str:
    done = xdcbench("run", "--suite", PICO, "--results", out, "--device", "cpu", *words, env=one_thread())
    assert done.returncode == 0, done.stderr
    return done.stdout


def prune(out: Path, *words: object) -> str:
    done = xdcbench("prune", "--results", out, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(out: Path) -> dict[Path, int]:
    """Sizes of all files but the locks, which go when nobody may wait for them."""
    found = (path for path in out.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(out): path.stat().st_size for path in found}


def weights_of(out: Path, key: str) -> list[Path]:
    return sorted((out / "runs" / key).glob("*.safetensors"))


@pytest.fixture
def out(pico: Path, tmp_path: Path) -> Path:
    shutil.copytree(pico, tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.slow
def test_a_pruned_folder_is_complete_and_a_new_evaluation_gets_what_it_needs(pico: Path, out: Path) -> None:
    before, measured = files(out), records(out)
    said = prune(out, "--dry-run", "--encoders")
    assert files(out) == before, "a dry run removes nothing"
    freed = prune(out, "--encoders")
    assert freed == said.replace("would free", "freed")
    gone = set(before) - set(files(out))
    matrices = {path for path in before if path.name == "features.npy"}
    first = next(
        path.parent for path in out.glob("runs/round-*/run.json") if '"round": 1' in path.read_text()
    )
    assert matrices <= gone and len(matrices) > 2
    assert {path.parent.name for path in gone - matrices} == {first.name}
    assert [path.name for path in weights_of(out, first.name)] == ["centroids.safetensors"]
    assert records(out) == measured

    assert "26 kept" in run(out), "nothing is run again for what was pruned"
    # Other shots of the same windows: the features of both encoders are made again, and nothing else.
    said = run(out, "--set", "evaluations.audio_low_shot.per_class=[2]")
    assert "4 done, 22 kept" in said
    again = {path for path in files(out) if path.name == "features.npy"}
    assert again < matrices and len(again) == 2
    # The gallery is of round 1, whose encoders are gone.
    said = run(out, "--set", "evaluations.cross_retrieval.ks=[2]")
    assert "4 done, 22 kept" in said
    for path in weights_of(pico, first.name):
        assert (first / path.name).read_bytes() == path.read_bytes()
    new = records(out)
    assert all(new[key] == rows for key, rows in measured.items())


def test_what_is_in_work_stays_and_what_was_given_up_goes(out: Path) -> None:
    features = {path for path in files(out) if path.name == "features.npy"}
    for key in ("round-aaaaaaaaaaaa", "round-bbbbbbbbbbbb", "round-cccccccccccc"):
        (out / "runs" / ".building" / key).mkdir()
        (out / "runs" / ".building" / key / "checkpoint.pt").write_bytes(b"x" * 10_000)
    attempt = out / "runs" / ".failed" / "round-bbbbbbbbbbbb" / "001"
    attempt.mkdir(parents=True)
    for name in ("error.txt", "log.txt", "core"):
        (attempt / name).write_bytes(b"x" * 10_000)
    building = out / "runs" / ".building"
    with lock(building / "round-aaaaaaaaaaaa.lock"):
        prune(out)
        left = {path.name for path in building.iterdir() if path.is_dir()}
        assert left == {"round-aaaaaaaaaaaa", "round-cccccccccccc"}, "one is in work, one is new"
        assert {path.name for path in attempt.iterdir()} == {"error.txt", "log.txt"}
        assert features <= set(files(out)), "a stage in work may read them"
        prune(out, "--older-than", 0, "--keep", "round-c*")
        assert {path.name for path in building.iterdir() if path.is_dir()} == left
        prune(out, "--older-than", 0)
        assert {path.name for path in building.iterdir() if path.is_dir()} == {"round-aaaaaaaaaaaa"}
        assert [path.name for path in building.glob("*.lock")] == ["round-aaaaaaaaaaaa.lock"], "one is held"
    prune(out, "--older-than", 0, "--keep", "xdc/*")
    left_features = features & set(files(out))
    assert left_features and left_features < features
    assert not any(building.iterdir())


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    done = xdcbench("prune", "--results", tmp_path)
    assert done.returncode == 2 and "is not a results folder" in done.stderr and done.stderr.count("\n") == 1
