from pathlib import Path

import pytest

from tests.unit.export.made_submission import ENCODERS, write
from xdcbench.errors import UserError
from xdcbench.export.publish import find_evaluations, publish_lines
from xdcbench.results.run_store import RunStore
from xdcbench.results.submission import MANIFEST, read_submission
from xdcbench.utils.documents import read_json, write_json
from xdcbench.utils.io import file_hash
from xdcbench.utils.manifest import write_manifest


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "results")


def test_writes_all_that_a_number_needs(results: Path, tmp_path: Path) -> None:
    said = list(publish_lines("xdc@kinetics400", results, tmp_path / "out"))
    submission = read_submission(tmp_path / "out")
    assert len(submission.runs) == 6
    probe = next(key for key in submission.runs if key.startswith("linear_probe"))
    files = {path.name for path in (tmp_path / "out" / probe).iterdir()}
    assert files == {
        "records.json",
        "predictions.parquet",
        "scores.npy",
        "run.json",
        "config.json",
        "encoders.json",
        "failed.json",
    }
    assert read_json(tmp_path / "out" / probe / "config.json")["sources"] == ["config-000000000000", "f"]
    assert said[-1].split()[:2] == ["sha256", file_hash(tmp_path / "out" / MANIFEST)]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# xdc on kinetics400" in card
    assert "License of the weights: own" in card
    assert "| linear_probe " in card.replace("\\_", "_")


def test_one_run_by_the_beginning_of_its_key(results: Path, tmp_path: Path) -> None:
    list(publish_lines("knn-", results, tmp_path / "out"))
    (key,) = read_submission(tmp_path / "out").runs
    assert key.startswith("knn-")


@pytest.mark.parametrize("name", ["cdc", "xdc@audioset", ENCODERS])
def test_a_name_of_no_evaluation(results: Path, name: str) -> None:
    with pytest.raises(UserError, match="Try: a run's key, or one of xdc@kinetics400"):
        find_evaluations(name, RunStore.existing(results))


def test_nothing_is_overwritten_or_left_behind(results: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds something\. Try: another folder"):
        list(publish_lines("xdc", results, tmp_path / "out"))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="holds something"):
        list(publish_lines("xdc", results, tmp_path / "link"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        list(publish_lines("xdc", results, tmp_path / "file" / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {"out", "link", "file"}


def test_what_does_not_prove_itself_is_not_published(tmp_path: Path) -> None:
    results = write(tmp_path / "results")
    encoders = results / "runs" / ENCODERS
    write_json(
        encoders / "encoders.json", read_json(encoders / "encoders.json") | {"config_hash": "config-other"}
    )
    write_manifest(encoders)
    with pytest.raises(UserError, match="its settings do not give the config_hash of its record"):
        list(publish_lines("knn-", results, tmp_path / "out"))
    (encoders / "encoders.json").unlink()
    write_manifest(encoders)
    with pytest.raises(UserError, match=rf"its encoders \({ENCODERS}\) are not in"):
        list(publish_lines("knn-", results, tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
