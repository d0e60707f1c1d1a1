"""Clusters of frozen features: the measures by scikit-learn and by hand, the whole stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import small_index
from xdcbench.config.evaluation import Clusters
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.evaluation import clusters
from xdcbench.evaluation.clusters import accuracy_by_chance, measures

SETTINGS = Clusters(num_clips=2, precision="fp32")
LABELS = np.array([0, 1] + [0, 1, 2] * 8)
PARTS = ["train"] * 2 + ["test"] * 24


def do(
    inputs: dict[str, Path], work: Path, settings: Clusters = SETTINGS, seed: int = 0
) -> dict[str, dict[str, Any]]:
    work.mkdir()
    config = EvaluationStage(name="clusters", split="official", seed=seed, settings=settings)
    clusters.run(config, inputs, work, Context("tests"))
    return {record["metric"]: record for record in json.loads((work / "records.json").read_text())}


def blobs(spread: float) -> np.ndarray:
    """Features (26, 2, 4): a direction per class, any length."""
    rng = np.random.default_rng(2)
    x = np.eye(3, 4)[LABELS][:, None] + spread * rng.normal(size=(26, 2, 4))
    return x * rng.uniform(1, 9, size=(26, 1, 1))


def test_classes_that_lie_apart_are_found(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    records = do(feature_runs(small_index(LABELS.tolist(), PARTS), blobs(0.05)), tmp_path / "work")
    values = {name: record["value"] for name, record in records.items()}
    perfect = {"cluster_accuracy": 100.0, "class_entropy": 0.0, "empty": 0.0}
    perfect |= dict.fromkeys(("nmi", "ami", "ari", "purity", "purity_plain", "entropy"), 1.0)
    perfect |= dict.fromkeys(("size_min", "size_median", "size_max"), 8.0)
    assert values == pytest.approx(perfect)
    table = pd.read_parquet(tmp_path / "work" / "predictions.parquet")
    assert table["prediction"].tolist() == table["label"].tolist() == LABELS[2:].tolist()
    assert table.groupby("cluster")["label"].nunique().tolist() == [1, 1, 1]
    record = records["nmi"]
    assert [record[f"items_{n}"] for n in ("expected", "used", "failed")] == [24, 24, 0]
    assert (record["train_items_used"], record["outcomes"]["k"], record["outcomes"]["classes"]) == (0, 3, 3)


def test_measures_are_those_of_scikit_learn(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"k": 5, "preprocess": "pca_whiten_l2", "pca_dim": 3})
    records = do(feature_runs(small_index(LABELS.tolist(), PARTS), blobs(0.6)), tmp_path / "work", settings)
    table = pd.read_parquet(tmp_path / "work" / "predictions.parquet")
    assignments, labels = table["cluster"].to_numpy(), table["label"].to_numpy()
    referees = {
        "nmi": normalized_mutual_info_score,
        "ami": adjusted_mutual_info_score,
        "ari": adjusted_rand_score,
    }
    for name, referee in referees.items():
        assert records[name]["value"] == pytest.approx(referee(labels, assignments))
        assert 0 < records[name]["value"] < 1 and records[name]["higher_is_better"]
    assert records["cluster_accuracy"]["value"] == pytest.approx(100 * (table["prediction"] == labels).mean())
    assert (table["prediction"] == clusters.UNMATCHED).any()  # five clusters, three classes
    assert records["class_entropy"]["unit"] == "bits" and not records["class_entropy"]["higher_is_better"]
    assert records["size_max"]["value"] == np.bincount(assignments).max()
    assert records["nmi"]["outcomes"]["k"] == 5


def test_empty_clusters_are_told(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features = np.eye(4)[LABELS % 2][:, None].repeat(2, axis=1)  # two distinct points
    settings = SETTINGS.model_copy(update={"k": 6})
    records = do(feature_runs(small_index(LABELS.tolist(), PARTS), features), tmp_path / "work", settings)
    assert (records["empty"]["value"], records["size_min"]["value"]) == (4, 0)


def test_measures_by_hand() -> None:
    found = {m.metric: m.value for m in measures(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), k=3)}
    assert found["cluster_accuracy"] == pytest.approx(75)
    assert found["purity"] == pytest.approx(3 / 4) and found["purity_plain"] == pytest.approx((2 / 3 + 1) / 2)
    thirds = -(2 / 3) * np.log2(2 / 3) - (1 / 3) * np.log2(1 / 3)
    assert found["class_entropy"] == pytest.approx(3 / 4 * thirds)
    assert [found[f"size_{n}"] for n in ("min", "median", "max")] == [0, 1, 3] and found["empty"] == 1


def test_a_collapsed_encoder_tells_nothing_of_the_classes(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    records = do(feature_runs(small_index(LABELS.tolist(), PARTS), np.ones((26, 2, 4))), tmp_path / "work")
    assert records["nmi"]["value"] == records["ari"]["value"] == 0
    assert records["cluster_accuracy"]["value"] == pytest.approx(100 / 3)
    assert records["empty"]["value"] == 2


def test_the_same_seed_gives_the_same_clusters(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    inputs = feature_runs(small_index(LABELS.tolist(), PARTS), blobs(1.0))
    found = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        do(inputs, tmp_path / name, SETTINGS.model_copy(update={"k": 7, "n_init": 1}), seed)
        found.append(pd.read_parquet(tmp_path / name / "predictions.parquet")["cluster"].tolist())
    assert found[0] == found[1] != found[2]


def test_training_items_are_not_needed(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index([0, 1, 0, 1], ["test"] * 4)
    records = do(feature_runs(index, np.eye(2)[[0, 1, 0, 1]][:, None].repeat(2, axis=1)), tmp_path / "work")
    assert records["ari"]["value"] == 1


def test_one_class_is_refused(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index([0, 1, 1, 1], ["train"] * 2 + ["test"] * 2)
    with pytest.raises(UserError, match="toy split official: all test items are of class1, with which"):
        do(feature_runs(index, np.ones((4, 2, 3))), tmp_path / "work")


def test_more_clusters_than_items_are_refused(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    inputs = feature_runs(small_index(LABELS.tolist(), PARTS), blobs(0.5))
    with pytest.raises(UserError, match="k = 25 clusters of 24 items; choose k from 1 to 24"):
        do(inputs, tmp_path / "work", SETTINGS.model_copy(update={"k": 25}))


def test_nan_features_name_the_item(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features = blobs(0.5)
    features[9, 1] = np.nan
    with pytest.raises(UserError, match="toy: the video features of item 'item09' are not finite"):
        do(feature_runs(small_index(LABELS.tolist(), PARTS), features), tmp_path / "work")


def test_accuracy_by_chance_of_hand_worked_cases() -> None:
    """Of two pairs in two clusters of two, a third of the draws are right and the rest half right."""
    assert accuracy_by_chance(np.array([0, 0, 1, 1]), 2) == pytest.approx(2 / 3, abs=0.1)
    assert accuracy_by_chance(np.array([0, 1, 2]), 3) == 1.0, "each cluster stands for its one item"
    assert accuracy_by_chance(np.array([5, 5, 5, 9]), 1) == 0.75
    many = np.repeat(np.arange(4), 1000)
    assert accuracy_by_chance(many, 4) == pytest.approx(0.25, abs=0.03)
