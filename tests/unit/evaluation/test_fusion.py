"""Fusion: each probe against scikit-learn, gains against SciPy, items without both tracks, and the whole stage."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import MODELS, small_index
from xdcbench.config.evaluation import Fusion
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation import fusion
from xdcbench.evaluation.fusion_answers import Answer
from xdcbench.evaluation.low_shot import shuffled, take
from xdcbench.evaluation.writer import Evaluation
from xdcbench.models.encoders import EncoderMetadata

CONFIG = EvaluationStage(
    name="both", split="official", seed=3, settings=Fusion(num_clips=2, C=0.5, precision="fp32")
)
LABELS = np.arange(120) % 4
PARTS = ["train"] * 80 + ["test"] * 40
TRAIN, TEST = np.arange(80), np.arange(80, 120)

Given = dict[str, np.ndarray]


def halves(*, noise: float) -> Given:
    """Features (120, 2, 3 or 4): audio tells classes {0, 1} from {2, 3}, video {0, 2} from {1, 3}."""
    rng = np.random.default_rng(0)
    of = {"audio": LABELS // 2, "video": LABELS % 2}
    width = {"audio": 3, "video": 4}
    return {
        name: 50 * (bit[:, None, None] + noise * rng.normal(size=(120, 2, width[name]))) + 9
        for name, bit in of.items()
    }


def inputs_of(
    feature_runs: FeatureRuns, index: Index, features: Given, failed: dict[str, dict[int, str]] | None = None
) -> dict[str, Path]:
    runs = {
        name: feature_runs(index, of, (failed or {}).get(name), name=name) for name, of in features.items()
    }
    return {**runs["video"], "other": runs["audio"]["features"]}


def do(inputs: dict[str, Path], work: Path, config: EvaluationStage = CONFIG) -> list[dict[str, Any]]:
    work.mkdir()
    fusion.run(config, inputs, work, Context("tests"))
    return list(json.loads((work / "records.json").read_text()))


def predictions(work: Path) -> dict[str, pd.DataFrame]:
    table = pd.read_parquet(work / "predictions.parquet")
    return {str(name): of.reset_index(drop=True) for name, of in table.groupby("modalities")}


@pytest.mark.parametrize("normalize", ["standardize", "l2"])
def test_each_probe_is_scikit_learns(feature_runs: FeatureRuns, tmp_path: Path, normalize: str) -> None:
    features, index = halves(noise=0.7), small_index(LABELS.tolist(), PARTS)
    settings = CONFIG.settings.model_copy(update={"normalize": normalize})
    config = CONFIG.model_copy(update={"settings": settings})
    records = do(inputs_of(feature_runs, index, features), tmp_path / "work", config)
    means = {name: of.astype(np.float32).mean(axis=1) for name, of in features.items()}
    joined = np.hstack([Normalizer().transform(of) for of in means.values()])
    if normalize == "standardize":
        joined = np.hstack(list(means.values()))
    found = predictions(tmp_path / "work")
    for name, x in {**means, "fused": joined}.items():
        alone = Normalizer() if name != "fused" else FunctionTransformer()
        model = make_pipeline(
            StandardScaler() if normalize == "standardize" else alone,
            LogisticRegression(C=0.5, max_iter=1000),
        )
        expected = model.fit(x[TRAIN], LABELS[TRAIN]).predict(x[TEST])
        assert found[name]["prediction"].tolist() == expected.tolist()
        (record,) = [
            r for r in records if r["metric"] == "top1" and r["hyperparameters"]["modalities"] == name
        ]
        assert record["value"] == pytest.approx(100 * np.mean(expected == LABELS[TEST]))
        assert record["outcomes"]["converged"] and record["outcomes"]["chance"] == 25.0
        assert (record["items_expected"], record["items_used"], record["train_items_used"]) == (40, 40, 80)


def test_both_tell_what_neither_does(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index(LABELS.tolist(), PARTS)
    records = do(inputs_of(feature_runs, index, halves(noise=0.05)), tmp_path / "work")
    top1 = {r["hyperparameters"]["modalities"]: r["value"] for r in records if r["metric"] == "top1"}
    assert list(top1) == ["video", "audio", "fused"]
    assert top1["fused"] == 100.0
    assert max(top1["audio"], top1["video"]) < 75
    for record in (r for r in records if r["metric"] == "top1_gain"):
        low, high = record["outcomes"]["interval"]
        assert 0 < low < record["value"] < high


def test_gains_are_paired(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index(LABELS.tolist(), PARTS)
    records = do(inputs_of(feature_runs, index, halves(noise=0.7)), tmp_path / "work")
    found = predictions(tmp_path / "work")
    right = {name: (of["prediction"] == of["label"]).to_numpy() for name, of in found.items()}
    gains = [record for record in records if record["metric"] == "top1_gain"]
    assert [r["hyperparameters"]["over"] for r in gains] == ["video", "audio"]
    for record in gains:
        other, outcomes = right[record["hyperparameters"]["over"]], record["outcomes"]
        won, lost = int((right["fused"] & ~other).sum()), int((~right["fused"] & other).sum())
        assert record["value"] == pytest.approx(100 * (won - lost) / 40)
        assert (outcomes["right_alone"], outcomes["wrong_alone"], outcomes["groups"]) == (won, lost, 40)
        assert outcomes["p"] == pytest.approx(binomtest(won, won + lost).pvalue)
        assert record["hyperparameters"]["modalities"] == "fused" and record["unit"] == "%"
    assert gains[0]["value"] != gains[1]["value"]


def test_items_of_one_group_are_drawn_together(tmp_path: Path) -> None:
    index = small_index(LABELS.tolist(), PARTS)
    wrong = (LABELS[TEST] + 1) % 4
    half = np.where(np.arange(40) < 20, LABELS[TEST], wrong)
    widths = []
    for size in (1, 4):
        items = index.items.assign(group=[f"group{row // size}" for row in range(120)])
        encoders = EncoderMetadata(config_hash="r", seed=0, models=MODELS)
        given = Evaluation(
            CONFIG, replace(index, items=items), encoders, TEST, {}, tmp_path, Context("tests")
        )
        (gain,) = fusion.gains(given, {"audio": [Answer(wrong)], "fused": [Answer(half)]})
        low, high = gain.outcomes["interval"]
        widths.append(high - low)
        assert (gain.value, gain.outcomes["groups"]) == (50.0, 40 // size)
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.2), "as wide as of a quarter of the items"


def test_items_without_both_tracks_are_left_out_and_said(
    feature_runs: FeatureRuns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features, index = halves(noise=0.7), small_index(LABELS.tolist(), PARTS)
    deaf, blind, torn = [0, 4, 81, 85, 89], [1, 82], 100
    items = index.items.assign(audio=~np.isin(np.arange(120), deaf), video=~np.isin(np.arange(120), blind))
    features["audio"][deaf], features["video"][blind], features["video"][torn] = np.nan, np.nan, np.nan
    runs = inputs_of(feature_runs, replace(index, items=items), features, {"video": {torn: "torn"}})
    with caplog.at_level(logging.WARNING, "xdcbench"):
        records = do(runs, tmp_path / "work")
    assert caplog.messages == [
        "both: 4 test and 3 training items of toy split official have no video or no audio and are left out"
    ]
    kept = [f"item{i:02d}" for i in TEST if i not in {*deaf, *blind, torn}]
    assert all(of["id"].tolist() == kept for of in predictions(tmp_path / "work").values())
    for record in records:
        counts = [record[f"items_{name}"] for name in ("expected", "used", "failed")]
        assert (counts, record["train_items_used"]) == ([40, 35, 1], 77)
        assert record["failed_items"] == ["item100"]
    assert records[0]["outcomes"]["lacking_a_track"] == 4


def test_chance_is_among_the_classes_that_have_both_tracks(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features, index = halves(noise=0.7), small_index(LABELS.tolist(), PARTS)
    deaf = replace(index, items=index.items.assign(audio=LABELS < 2))
    record = do(inputs_of(feature_runs, deaf, features), tmp_path / "work")[0]
    assert (record["items_used"], record["outcomes"]["chance"]) == (20, 50.0)
    assert record["outcomes"]["lacking_a_track"] == 20


def test_a_dataset_without_both_tracks_is_refused(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index(LABELS.tolist(), PARTS)
    silent = replace(index, items=index.items.assign(audio=False))
    with pytest.raises(UserError, match="no readable training item with both an audio and a video track"):
        do(inputs_of(feature_runs, silent, halves(noise=1)), tmp_path / "work")


@pytest.mark.parametrize("name", ["audio", "video"])
def test_features_that_are_not_finite_name_item_and_modality(
    feature_runs: FeatureRuns, tmp_path: Path, name: str
) -> None:
    features = halves(noise=1)
    features[name][7, 1, 2] = np.inf
    index = small_index(LABELS.tolist(), PARTS)
    with pytest.raises(UserError, match=f"toy: the {name} features of item 'item07' are not finite"):
        do(inputs_of(feature_runs, index, features), tmp_path / "work")


def test_an_item_of_no_direction_is_named(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features = halves(noise=1)
    features["video"][7] = 0
    settings = CONFIG.settings.model_copy(update={"normalize": "l2"})
    index = small_index(LABELS.tolist(), PARTS)
    with pytest.raises(UserError, match="item 'item07' is zero or not finite"):
        do(
            inputs_of(feature_runs, index, features),
            tmp_path / "work",
            CONFIG.model_copy(update={"settings": settings}),
        )


def test_each_ranking_is_scikit_learns(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features, index = halves(noise=0.7), small_index(LABELS.tolist(), PARTS)
    settings = CONFIG.settings.model_copy(update={"by": "retrieval", "ks": (1, 5), "normalize": "l2"})
    config = CONFIG.model_copy(update={"settings": settings})
    records = do(inputs_of(feature_runs, index, features), tmp_path / "work", config)
    means = {name: of.astype(np.float32).mean(axis=1) for name, of in features.items()}
    joined = np.hstack([Normalizer().transform(means[name]) for name in ("video", "audio")])
    found = predictions(tmp_path / "work")
    for name, x in {**means, "fused": joined}.items():
        near = NearestNeighbors(n_neighbors=5, metric="cosine").fit(x[TRAIN])
        neighbors = LABELS[TRAIN][near.kneighbors(x[TEST], return_distance=False)]
        right = neighbors == LABELS[TEST][:, None]
        assert found[name]["prediction"].tolist() == neighbors[:, 0].tolist()
        for k in (1, 5):
            (record,) = [
                r
                for r in records
                if r["metric"] == f"recall_at_{k}" and r["hyperparameters"]["modalities"] == name
            ]
            assert record["value"] == pytest.approx(100 * right[:, :k].any(axis=1).mean())
    for record in (r for r in records if r["metric"] == "top1_gain"):
        over = found[record["hyperparameters"]["over"]]
        both = found["fused"]
        gain = (both["prediction"] == both["label"]).mean() - (over["prediction"] == over["label"]).mean()
        assert record["value"] == pytest.approx(100 * gain)


def test_each_probe_on_few_items_learns_from_the_same_few(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features, index = halves(noise=0.7), small_index(LABELS.tolist(), PARTS)
    update = {"by": "low_shot", "per_class": (1, 5), "fractions": (0.5,), "num_draws": 2}
    config = CONFIG.model_copy(update={"settings": CONFIG.settings.model_copy(update=update)})
    records = do(inputs_of(feature_runs, index, features), tmp_path / "work", config)
    means = {name: of.astype(np.float32).mean(axis=1) for name, of in features.items()}
    x = np.hstack([StandardScaler().fit(means[m][TRAIN]).transform(means[m]) for m in ("video", "audio")])
    few, _ = take(TRAIN[shuffled([f"item{i:02d}" for i in TRAIN], seed=3, draw=1)], LABELS, lambda size: 5)
    expected = LogisticRegression(C=0.5, max_iter=1000).fit(x[few], LABELS[few]).predict(x[TEST])
    found = predictions(tmp_path / "work")["fused"]
    drawn = found[(found["shots"] == "5") & (found["draw"] == 1)]
    assert drawn["prediction"].tolist() == expected.tolist()
    named = [(r["metric"], *(r["hyperparameters"].get(n) for n in ("modalities", "over"))) for r in records]
    assert {name: named.count(name) for name in named} == {
        **{("top1", name, None): 6 for name in ("video", "audio", "fused")},
        **{("top1_gain", "fused", name): 6 for name in ("video", "audio")},
    }
    by_shots = {
        shots: np.mean(
            [
                r["value"]
                for r in records
                if r["metric"] == "top1"
                and (r["hyperparameters"]["modalities"], r["hyperparameters"]["shots"]) == ("fused", shots)
            ]
        )
        for shots in ("1", "50%")
    }
    assert by_shots["1"] < by_shots["50%"]
    assert {r["outcomes"]["learned_from"] for r in records if r["metric"] == "top1"} == {4, 20, 40}


def test_a_depth_that_says_nothing_is_refused(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    settings = CONFIG.settings.model_copy(update={"by": "retrieval", "ks": (1, 80)})
    config = CONFIG.model_copy(update={"settings": settings})
    index = small_index(LABELS.tolist(), PARTS)
    with pytest.raises(UserError, match="recall at 80 of 80 training items says nothing"):
        do(inputs_of(feature_runs, index, halves(noise=1)), tmp_path / "work", config)
