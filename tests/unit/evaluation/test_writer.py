"""From scores to a record: accuracy, counts, predictions, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tiny import MODELS, small_index
from xdcbench.config.evaluation import LinearProbe
from xdcbench.config.keys import VERSIONS
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import Features
from xdcbench.evaluation.writer import (
    Evaluation,
    Metric,
    part_rows,
    split_rows,
    write_classification,
    write_results,
)
from xdcbench.models.encoders import EncoderMetadata

CONFIG = EvaluationStage(
    name="probe", split="official", seed=3, settings=LinearProbe(num_clips=7, precision="fp32")
)
METADATA = EncoderMetadata(
    config_hash="r",
    method="xdc",
    pretrain_data="k400",
    pretrain_items=9,
    seed=2,
    models=MODELS,
    hyperparameters={"k_a": 5},
)
LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
PARTS = ["train"] * 3 + ["test"] * 7


def changed(index: Index, row: int, **values: Any) -> Index:
    items = index.items.copy()
    for name, value in values.items():
        items.loc[row, name] = value
    return Index(**{**vars(index), "items": items})


def one_hot(classes: list[int]) -> np.ndarray:
    return np.eye(3)[classes]


def close(
    work: Path, index: Index, rows: list[int], scores: np.ndarray, *, failed: dict[int, str] | None = None
) -> dict[str, Any]:
    evaluation = Evaluation(CONFIG, index, METADATA, np.array(rows), failed or {}, work, Context("suite"))
    write_classification(evaluation, scores, epochs=4, outcomes={"c": 0.1})
    (record,) = json.loads((work / "records.json").read_text())
    return dict(record)


def test_accuracy_and_record(tmp_path: Path) -> None:
    rows = list(range(3, 10))
    record = close(tmp_path, small_index(LABELS, PARTS), rows, one_hot([0, 1, 2, 1, 1, 0, 2]))
    assert record["value"] == pytest.approx(100 * 4 / 7)
    expected = {
        "metric": "top1",
        "unit": "%",
        "higher_is_better": True,
        "selection": "last",
        "evaluation": "probe",
        "protocol": "linear_probe",
        "evaluation_version": VERSIONS["linear_probe"],
        "method": "xdc",
        "pretrain_data": "k400",
        "pretrain_seed": 2,
        "seed": 3,
        "split": "official",
        "suite": "suite",
        "run": tmp_path.name,
        "epochs": 4,
        "world": "synthetic",
        "architecture": "R(2+1)D-18, width 4, blocks 1-1-1-1",
        "hyperparameters": {"k_a": 5, "frames": 4, "size": 16, "num_clips": 7},
    }
    assert {name: record[name] for name in expected} == expected
    # Of seven test items of three classes, three are of the most frequent one.
    assert record["outcomes"] == pytest.approx({"c": 0.1, "chance": 100 / 3, "most_frequent_class": 300 / 7})
    assert [record[f"items_{name}"] for name in ("expected", "used", "failed")] == [7, 7, 0]


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_first_of_equal_scores_wins(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = list(range(3, 10))
    scores = np.array([data.draw(st.lists(st.integers(0, 2), min_size=3, max_size=3)) for _ in rows])
    work = tmp_path_factory.mktemp("ties")
    record = close(work, small_index(LABELS, PARTS), rows, scores.astype(float))
    first = [max(range(3), key=lambda c, row=row: (row[c], -c)) for row in scores.tolist()]
    right = [guess == LABELS[row] for guess, row in zip(first, rows, strict=True)]
    assert record["value"] == pytest.approx(100 * sum(right) / 7)
    assert pd.read_parquet(work / "predictions.parquet")["prediction"].tolist() == first


def test_missing_and_unreadable_items_are_counted_apart(tmp_path: Path) -> None:
    index = small_index(LABELS, PARTS)
    index = Index(**{**vars(index), "max_failed": 0.5})
    index = changed(index, 4, ok=False, reason="missing", bytes=-1)
    index = changed(index, 5, ok=False, reason="torn")
    failed = {6: "torn while reading", 0: "torn, but an item of the training part"}
    record = close(tmp_path, index, [3, 7, 8, 9], one_hot([0, 1, 2, 0]), failed=failed)
    assert [record[f"items_{name}"] for name in ("expected", "used", "failed")] == [7, 4, 2]
    assert record["value"] == 100.0


def test_too_many_unreadable_items_are_refused(tmp_path: Path) -> None:
    index = changed(small_index(LABELS, PARTS), 5, ok=False, reason="torn")
    said = r"toy split official: 1 of 7 test items are unreadable, first item05; .*datasets\.toy\.max_failed"
    with pytest.raises(UserError, match=said):
        close(tmp_path, index, [3, 4, 6, 7, 8, 9], one_hot([0, 1, 0, 1, 2, 0]))
    assert not (tmp_path / "records.json").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_name_the_item(tmp_path: Path, bad: float) -> None:
    scores = one_hot([0, 1, 2, 0, 1, 2, 0])
    scores[2, 1] = bad
    with pytest.raises(UserError, match="toy: the scores of item 'item05' are not finite"):
        close(tmp_path, small_index(LABELS, PARTS), list(range(3, 10)), scores)
    assert not list(tmp_path.iterdir())


def test_predictions_lie_beside_the_record(tmp_path: Path) -> None:
    index = small_index(LABELS, PARTS)
    scores = np.array([[0.2, 0.5, 0.3], [0.1, 0.6, 0.3]])
    close(tmp_path, index, [8, 4], scores)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert table.to_dict("list") == {
        "id": ["item08", "item04"],
        "group": ["item08", "item04"],
        "label": [2, 1],
        "prediction": [1, 1],
    }
    kept = np.load(tmp_path / "scores.npy", allow_pickle=False)
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept, scores, rtol=1e-6)


def test_split_rows_are_readable_labeled_and_have_the_track() -> None:
    index = small_index([0, 1, 0, 1, -1, 0, 1, 0, -1, 1], PARTS)
    index = changed(index, 5, ok=False)
    index = changed(index, 6, video=False)
    train, test = split_rows(CONFIG, index)
    assert (train.tolist(), test.tolist()) == ([0, 1, 2], [3, 7, 9])


def test_a_test_class_without_training_item_is_refused() -> None:
    index = changed(small_index(LABELS, PARTS), 1, ok=False)
    with pytest.raises(UserError, match="toy split official: no readable training item of class1"):
        split_rows(CONFIG, index)


@pytest.mark.parametrize(("part", "word"), [("train", "training"), ("test", "test")])
def test_an_empty_part_is_refused(part: str, word: str) -> None:
    other = "test" if part == "train" else "train"
    with pytest.raises(UserError, match=f"toy split official: no readable {word} item with a video track"):
        split_rows(CONFIG, small_index(LABELS, [other] * len(LABELS)))


def test_one_class_to_learn_from_is_refused() -> None:
    index = small_index([1, 1, 1, 0, 1, 1, 1, 1, 1, 1], PARTS)
    with pytest.raises(
        UserError, match="toy split official: all training items are of class1, and one class"
    ):
        split_rows(CONFIG, index)


def test_rows_without_features_are_left_out_only_with_a_reason() -> None:
    index, of = small_index(LABELS, PARTS), np.zeros((10, 2, 3), dtype=np.float32)
    of[4] = np.nan
    assert part_rows(CONFIG, index, "test", Features(of, {4: "torn"})).tolist() == [3, 5, 6, 7, 8, 9]
    of[7, 1, 2] = np.inf
    with pytest.raises(UserError, match="toy: the video features of item 'item07' are not finite, which"):
        part_rows(CONFIG, index, "test", Features(of, {4: "torn"}))


def test_a_class_whose_training_items_have_no_features_is_refused() -> None:
    of = np.zeros((10, 2, 3), dtype=np.float32)
    with pytest.raises(UserError, match="toy split official: no readable training item of class2"):
        split_rows(CONFIG, small_index(LABELS, PARTS), Features(of, {2: "torn"}))


def test_several_measures_have_factors_outcomes_and_predictions_of_their_own(tmp_path: Path) -> None:
    measures = [
        Metric("top1", 50.0, hyperparameters={"draw": 0}, outcomes={"converged": True}),
        Metric("nmi", 0.5, unit="", higher_is_better=False, hyperparameters={"draw": 1, "num_clips": 9}),
    ]
    index, rows = small_index(LABELS, PARTS), np.array([8, 4])
    predictions = pd.DataFrame({"draw": [0, 0, 1, 1], "prediction": [2, 1, 0, 1]})
    evaluation = Evaluation(CONFIG, index, METADATA, rows, {}, tmp_path, Context("suite"))
    write_results(evaluation, measures, predictions, outcomes={"k": 3})
    one, other = json.loads((tmp_path / "records.json").read_text())
    assert one["outcomes"] == {"k": 3, "converged": True} and other["outcomes"] == {"k": 3}
    assert (
        one["hyperparameters"]["draw"],
        one["hyperparameters"]["num_clips"],
        other["hyperparameters"]["num_clips"],
    ) == (0, 7, 9)
    assert (other["metric"], other["unit"], other["higher_is_better"]) == ("nmi", "", False)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert table["id"].tolist() == ["item08", "item04"] * 2
    assert table["draw"].tolist() == [0, 0, 1, 1] and table["prediction"].tolist() == [2, 1, 0, 1]
