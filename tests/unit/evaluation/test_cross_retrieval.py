"""Retrieval across modalities on a hand-worked case: two clusters of audio, four recordings, three videos."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import MODELS, small_index
from xdcbench.clustering.assigner import Assigner, save_assigners
from xdcbench.clustering.preprocess import fit
from xdcbench.config.evaluation import CrossRetrieval
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.evaluation import cross_retrieval
from xdcbench.models.encoders import EncoderMetadata, save_encoders
from xdcbench.models.heads import Heads
from xdcbench.models.weights import save_weights

CONFIG = EvaluationStage(
    name="cross_retrieval",
    split="official",
    seed=0,
    settings=CrossRetrieval(num_clips=2, clustering="a", ks=(1, 2, 3), precision="fp32"),
)
# Recordings by their distance from their own centroid, at 0 or 10: item2, item1, item0, item3.
RECORDINGS = [[1.0, 0.0], [0.5, 0.0], [10.0, 0.0], [12.0, 0.0]]
LABELS = [0, 1, 1, 0, 0, 1, 0]


@pytest.fixture
def inputs(feature_runs: FeatureRuns) -> dict[str, Path]:
    """Videos that are sure of the first cluster, of the second, and in two minds."""
    index = small_index(LABELS, ["train"] * 4 + ["test"] * 3)
    videos = np.zeros((7, 2, 2))
    videos[4:] = [[[5, 0], [5, 0]], [[0, 5], [0, 5]], [[3, 0], [0, 9]]]
    folders = feature_runs(index, videos)
    audio = np.zeros((7, 1, 2))
    audio[:4, 0] = RECORDINGS
    folders["gallery"] = feature_runs(index, audio, name="audio")["features"]
    folders["encoders"] = folders["data"].parent / "encoders"
    folders["encoders"].mkdir()
    save_encoders(
        folders["encoders"], {}, EncoderMetadata(config_hash="r", seed=0, method="xdc", models=MODELS)
    )
    heads = Heads(2, {"v": 3, "a": 2})
    with torch.no_grad():
        heads.linear.weight.zero_()
        heads.linear.weight[3:] = torch.eye(2)
    save_weights(heads, folders["encoders"] / "video_heads.safetensors", metadata={"sources": "v a"})
    same = fit(torch.zeros(1, 2), mode="none", dim=2)
    assigners = {
        "v": Assigner(same, torch.zeros(3, 2)),
        "a": Assigner(same, torch.tensor([[0.0, 0.0], [10.0, 0.0]])),
    }
    save_assigners(assigners, folders["encoders"] / "centroids.safetensors")
    return folders


def test_recordings_of_the_predicted_cluster_come_first_the_most_typical_ahead(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    cross_retrieval.run(CONFIG, inputs, work, Context("tests"))
    table = pd.read_parquet(work / "predictions.parquet")
    assert table["nearest"].tolist() == ["item01", "item02", "item02"]
    assert table["rank"].tolist() == [2, 1, 2]
    found = {r["metric"]: r for r in json.loads((work / "records.json").read_text())}
    assert found["recall_at_1"]["value"] == pytest.approx(100 / 3)
    assert found["recall_at_2"]["value"] == 100
    assert found["recall_at_1"]["outcomes"] == {"gallery": 4, "clustering": "a", "chance": 50.0}
    assert found["recall_at_1"]["protocol"] == "cross_retrieval"


def test_a_recording_without_features_is_not_in_the_gallery(inputs: dict[str, Path], tmp_path: Path) -> None:
    of = np.load(inputs["gallery"] / "features.npy")
    of[2] = np.nan
    np.save(inputs["gallery"] / "features.npy", of)
    config = CONFIG.model_copy(update={"settings": CONFIG.settings.model_copy(update={"ks": (1, 2)})})
    (tmp_path / "work").mkdir()
    cross_retrieval.run(config, inputs, tmp_path / "work", Context("tests"))
    table = pd.read_parquet(tmp_path / "work" / "predictions.parquet")
    assert table["nearest"].tolist() == ["item01", "item03", "item03"]


def test_without_any_recording_there_is_nothing_to_find(inputs: dict[str, Path], tmp_path: Path) -> None:
    of = np.load(inputs["gallery"] / "features.npy")
    np.save(inputs["gallery"] / "features.npy", np.full_like(of, np.nan))
    (tmp_path / "work").mkdir()
    with pytest.raises(UserError, match="no training item has both video and audio"):
        cross_retrieval.run(CONFIG, inputs, tmp_path / "work", Context("tests"))
