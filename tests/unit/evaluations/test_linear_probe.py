"""Linear probe: against scikit-learn's pipeline, multi-clip means by hand, the whole stage."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit.tiny import MODELS, small_index
from xdcbench.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluations import linear_probe
from xdcbench.evaluations.linear_probe import probe
from xdcbench.models.encoders import Card
from xdcbench.schema import LinearProbe
from xdcbench.stages import EvaluationStage
from xdcbench.store import write_json


def blobs(items: int, clips: int, classes: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, float32 (items, clips, 5), around a centre per class, and the classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(items) % classes
    centres = np.random.default_rng(99).normal(size=(classes, 5))
    x = centres[labels][:, None] + 0.9 * rng.normal(size=(items, clips, 5))
    return (x * [1, 10, 100, 1, 0.1]).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 10.0])
def test_scores_are_those_of_a_pipeline(classes: int, c: float) -> None:
    (train, labels), (test, _) = blobs(40, 3, classes), blobs(12, 3, classes, seed=1)
    scores, converged = probe(train, labels, test, classes=classes, settings=LinearProbe(c=c, clips=3))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    model.fit(np.concatenate(list(train)), [label for label in labels for _ in range(3)])
    expected = [model.predict_proba(item).mean(axis=0) for item in test]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.sum(axis=1) == pytest.approx(np.ones(12))
    assert converged


def test_the_mean_softmax_of_clips_by_hand() -> None:
    train = np.array([[[-1.0]], [[1.0]]], dtype=np.float32)
    test = np.array([[[3.0], [-1.0], [-1.0]]], dtype=np.float32)
    scores, _ = probe(train, np.array([0, 1]), test, classes=2, settings=LinearProbe(c=1.0))
    # w minimises w^2/2 + 2 log(1 + exp(-w)): w = 2 / (1 + exp(w)).
    w = 0.0
    for _ in range(200):
        w = (w + 2 / (1 + np.exp(w))) / 2
    one = np.mean([1 / (1 + np.exp(-w * x)) for x in (3.0, -1.0, -1.0)])
    assert scores[0] == pytest.approx([1 - one, one], abs=1e-4)


def test_a_class_that_nothing_trains_scores_zero() -> None:
    train, labels = blobs(20, 1, 2)
    scores, _ = probe(train, labels * 2, train, classes=4, settings=LinearProbe())
    assert (scores[:, [1, 3]] == 0).all()
    assert (scores.argmax(axis=1) == labels * 2).mean() > 0.7


def test_too_few_iterations_are_told() -> None:
    train, labels = blobs(40, 2, 4)
    _, converged = probe(train, labels, train, classes=4, settings=LinearProbe(c=1e4, max_iter=2))
    assert not converged


def runs(tmp_path: Path, index: Index, features: np.ndarray, failed: dict[int, str]) -> dict[str, Path]:
    inputs = {name: tmp_path / name for name in ("data", "features")}
    for folder in inputs.values():
        folder.mkdir()
    index.save(inputs["data"])
    np.save(inputs["features"] / "features.npy", features, allow_pickle=False)
    write_json(inputs["features"] / "failed.json", failed)
    card = Card(recipe="r", seed=0, models=MODELS)
    write_json(inputs["features"] / "encoders.json", card.model_dump(mode="json"))
    return inputs


CONFIG = EvaluationStage(
    name="probe", split="official", seed=0, settings=LinearProbe(clips=2, precision="fp32")
)


def test_the_stage_learns_from_training_items_and_scores_test_items(tmp_path: Path) -> None:
    features, labels = blobs(40, 2, 3)
    index = small_index(labels.tolist(), ["train"] * 25 + ["test"] * 15)
    features[4] = np.nan
    features[30] = np.nan
    inputs = runs(tmp_path, index, features, {4: "torn", 30: "torn"})
    work = tmp_path / "work"
    work.mkdir()
    linear_probe.run(CONFIG, inputs, work, Context("tests"))
    (record,) = json.loads((work / "records.json").read_text())
    train, test = [i for i in range(25) if i != 4], [i for i in range(25, 40) if i != 30]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features[train].reshape(-1, 5), labels[train].repeat(2))
    guess = np.array([model.predict_proba(features[i]).mean(axis=0).argmax() for i in test])
    assert record["value"] == pytest.approx(100 * (guess == labels[test]).mean())
    assert [record[f"items_{n}"] for n in ("expected", "used", "failed")] == [15, 14, 1]
    assert record["outcomes"] == {"converged": True}


def test_a_class_without_training_item_is_refused(tmp_path: Path) -> None:
    features, labels = blobs(12, 2, 3)
    parts = ["test" if label == 1 or i > 8 else "train" for i, label in enumerate(labels)]
    inputs = runs(tmp_path, small_index(labels.tolist(), parts), features, {})
    with pytest.raises(UserError, match="no readable training item of class1"):
        linear_probe.run(CONFIG, inputs, tmp_path, Context("tests"))
