"""The multi-label probe: against scikit-learn one class at a time, and the whole stage."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import MODELS, small_index
from xdcbench.config.evaluation import LinearProbe, MultilabelProbe
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation import multilabel_probe
from xdcbench.evaluation.multilabel_metrics import d_prime
from xdcbench.evaluation.multilabel_probe import fit, probe
from xdcbench.evaluation.multilabel_writer import write_multilabel
from xdcbench.evaluation.writer import Evaluation, split_rows
from xdcbench.models.encoders import EncoderMetadata

SETTINGS = MultilabelProbe(num_clips=2, precision="fp32")
CONFIG = EvaluationStage(name="sets", split="official", seed=0, settings=SETTINGS)


def correlated(n: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Points whose features are far from independent, and classes from rare to frequent."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, features)) @ (np.eye(features) + rng.normal(size=(features, features)))
    x = StandardScaler().fit_transform(x).astype(np.float32)
    z = 2 * x @ rng.normal(size=(features, classes)) / features**0.5 - np.linspace(0, 5, classes)
    return x, (rng.random(z.shape) < expit(z)).astype(np.float32)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("block", [64, 8192])
def test_each_class_is_scikit_learns(c: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilabel_probe, "BLOCK", block)
    x, labels = correlated(600, 12, 6)
    weights, converged = fit(x, csr_array(labels), c=c, max_iter=1000)
    assert converged and 0 < labels.mean(axis=0).min() < 0.03
    for w, y in zip(weights, labels.T, strict=True):
        model = LogisticRegression(C=c, max_iter=10_000, tol=1e-9).fit(x.astype(np.float64), y)
        expected = model.predict_proba(x)[:, 1]
        np.testing.assert_allclose(expit(x @ w[:-1] + w[-1]), expected, atol=2e-3)


def test_too_few_steps_are_said() -> None:
    x, labels = correlated(200, 8, 3)
    assert not fit(x, csr_array(labels), c=1.0, max_iter=1)[1]


def test_equal_features_give_every_item_the_share_of_each_class() -> None:
    sets = csr_array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    ones = np.ones((4, 2, 3), dtype=np.float32)
    scores, converged = probe(ones, sets, ones[:2], settings=SETTINGS)
    assert converged
    np.testing.assert_allclose(scores, [[0.25, 0.75]] * 2, atol=1e-5)


def test_a_class_of_all_training_items_or_none_has_one_score() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
    sets = csr_array(np.array([[1, 0, i % 2] for i in range(6)], dtype=np.float32))
    scores, _ = probe(x, sets, x, settings=SETTINGS)
    assert (scores[:, 0] == 1).all() and (scores[:, 1] == 0).all() and np.ptp(scores[:, 2]) > 0.1


# ---------------------------------------------------------------------------------------- the stage


def several(sets: np.ndarray, parts: list[str]) -> Index:
    """An index of items that have the classes of the rows of ``sets``."""
    index = small_index([sets.shape[1] - 1] * len(sets), parts)
    each = [tuple(np.flatnonzero(row).tolist()) for row in sets]
    return replace(index, items=index.items.assign(label=-1, labels=each))


def do(inputs: dict[str, Path], work: Path) -> list[dict[str, Any]]:
    work.mkdir()
    multilabel_probe.run(CONFIG, inputs, work, Context("tests"))
    return list(json.loads((work / "records.json").read_text()))


def test_the_stage_against_scikit_learn(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    x, sets = correlated(200, 6, 5)
    sets[:, 4] = 0  # of the vocabulary, and of no item
    sets[sets.sum(axis=1) == 0, 0] = 1
    clips = x[:, None] + 0.1 * np.random.default_rng(1).normal(size=(200, 2, 6))
    clips[199] = np.nan
    index = several(sets, ["train"] * 120 + ["test"] * 80)
    records = do(feature_runs(index, clips, {199: "torn"}), tmp_path / "work")

    points = clips.astype(np.float32)[:120].reshape(-1, 6)
    scale = StandardScaler().fit(points)
    expected = np.zeros((79, 5))
    for k in range(4):
        model = LogisticRegression(tol=1e-9, max_iter=10_000)
        model.fit(scale.transform(points), sets[:120, k].repeat(2))
        of = model.predict_proba(scale.transform(clips[120:199].reshape(-1, 6)))[:, 1]
        expected[:, k] = of.reshape(79, 2).mean(axis=1)
    found = np.load(tmp_path / "work" / "scores.npy", allow_pickle=False)
    np.testing.assert_allclose(found, expected, atol=2e-3)

    truth, scores = sets[120:199, :4], found[:, :4]
    auc = roc_auc_score(truth, scores)
    assert {r["metric"]: (r["unit"], pytest.approx(r["value"])) for r in records} == {
        "mAP": ("%", 100 * average_precision_score(truth, scores)),
        "mAUC": ("%", 100 * auc),
        "d_prime": ("", d_prime(auc)),
    }
    counts = {
        "classes_scored": 4,
        "classes_without_test_item": 1,
        "classes_not_learned": 1,
        "converged": True,
    }
    chance = {"chance": pytest.approx(100 * truth.mean())}
    assert [r["outcomes"] for r in records] == [counts | chance, counts, counts]
    assert [records[0][f"items_{n}"] for n in ("expected", "used", "failed")] == [80, 79, 1]

    by_class = pd.read_parquet(tmp_path / "work" / "classes.parquet").set_index("class")
    assert by_class["positives"].tolist() == [*truth.sum(axis=0), 0]
    assert by_class.loc["class1", "roc_auc"] == pytest.approx(roc_auc_score(truth[:, 1], scores[:, 1]))
    assert by_class.loc["class4", ["average_precision", "roc_auc"]].isna().all()
    table = pd.read_parquet(tmp_path / "work" / "predictions.parquet")
    assert [tuple(of) for of in table["labels"]] == index.items["labels"][120:199].tolist()


def test_an_infinite_d_prime_is_said_and_not_recorded(
    feature_runs: FeatureRuns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sets = np.array([[1, 0], [0, 1]] * 8)
    index = several(sets, ["train"] * 8 + ["test"] * 8)
    records = do(feature_runs(index, 3.0 * sets[:, None].repeat(2, axis=1)), tmp_path / "work")
    assert {r["metric"]: r["value"] for r in records} == {"mAP": 100, "mAUC": 100}
    assert "sets on toy: d' of an AUC of 1 is infinite and not recorded" in caplog.messages


def test_items_without_a_class_are_left_out() -> None:
    sets = np.array([[1, 0], [0, 1], [0, 0], [1, 1]] * 2)
    train, test = split_rows(CONFIG, several(sets, ["train"] * 4 + ["test"] * 4))
    assert (train.tolist(), test.tolist()) == ([0, 1, 3], [4, 5, 7])


@pytest.mark.parametrize(("part", "word"), [("train", "training"), ("test", "test")])
def test_items_of_equal_classes_are_refused(part: str, word: str) -> None:
    sets = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    parts = ["train", "train", "test", "test"]
    sets[[name == part for name in parts]] = [1, 0]
    with pytest.raises(UserError) as error:
        split_rows(CONFIG, several(sets, parts))
    assert str(error.value) == (
        f"toy split official: no class has both a readable {word} item with it and one without. "
        "Try: a larger subset or another split"
    )


def test_test_items_that_lose_their_only_negatives_while_they_are_read_are_refused(tmp_path: Path) -> None:
    index = several(np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), ["train"] * 2 + ["test"] * 2)
    metadata = EncoderMetadata(config_hash="r", seed=0, models=MODELS)
    evaluation = Evaluation(CONFIG, index, metadata, np.array([2]), {3: "torn"}, tmp_path, Context("tests"))
    with pytest.raises(UserError, match="no class has both a readable test item with it and one without"):
        write_multilabel(evaluation, np.array([[0.7, 0.2]]))
    assert not list(tmp_path.iterdir())


def test_one_class_each_and_several_are_told_apart_in_the_stage_too() -> None:
    parts = ["train"] * 2 + ["test"] * 2
    one = CONFIG.model_copy(update={"name": "fc", "settings": LinearProbe(precision="fp32")})
    with pytest.raises(
        UserError, match="fc predicts one class of each item, but items of 'toy' have several"
    ):
        split_rows(one, several(np.array([[1, 0], [1, 1]] * 2), parts))
    with pytest.raises(UserError, match=r"sets predicts a set of classes .* items of 'toy' have one class"):
        split_rows(CONFIG, small_index([0, 1, 0, 1], parts))
