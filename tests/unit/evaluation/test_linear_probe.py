"""Linear probe: against scikit-learn's pipeline, multi-clip means by hand, the whole stage."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import small_index
from xdcbench.config.evaluation import LinearProbe
from xdcbench.config.pretraining import Schedule
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation import linear_probe
from xdcbench.evaluation.linear_probe import probe
from xdcbench.utils.runtime import numpy_generator


def blobs(items: int, clips: int, classes: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, float32 (items, clips, 5), around a center per class, and the classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(items) % classes
    centers = np.random.default_rng(99).normal(size=(classes, 5))
    x = centers[labels][:, None] + 0.9 * rng.normal(size=(items, clips, 5))
    return (x * [1, 10, 100, 1, 0.1]).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 10.0])
def test_scores_are_those_of_a_pipeline(classes: int, c: float) -> None:
    (train, labels), (test, _) = blobs(40, 3, classes), blobs(12, 3, classes, seed=1)
    scores, found = probe(train, labels, test, classes=classes, settings=LinearProbe(C=c, num_clips=3))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    model.fit(np.concatenate(list(train)), [label for label in labels for _ in range(3)])
    expected = [model.predict_proba(item).mean(axis=0) for item in test]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.sum(axis=1) == pytest.approx(np.ones(12))
    assert found == {"converged": True}


def test_the_mean_softmax_of_clips_by_hand() -> None:
    train = np.array([[[-1.0]], [[1.0]]], dtype=np.float32)
    test = np.array([[[3.0], [-1.0], [-1.0]]], dtype=np.float32)
    scores, _ = probe(train, np.array([0, 1]), test, classes=2, settings=LinearProbe(C=1.0))
    # w minimizes w^2/2 + 2 log(1 + exp(-w)): w = 2 / (1 + exp(w)).
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
    _, found = probe(train, labels, train, classes=4, settings=LinearProbe(C=1e4, max_iter=2))
    assert found == {"converged": False}


SGD = LinearProbe(
    solver="sgd",
    num_clips=3,
    batch_size=16,
    schedule=Schedule(
        epochs=4, lr=0.05, warmup_epochs=1, lr_scheduler="step", milestones=(2, 3), weight_decay=1e-2
    ),
)


def plain_loop(x: np.ndarray, y: np.ndarray, test: np.ndarray, *, seed: int) -> np.ndarray:
    """The settings of SGD by hand: softmax regression with its gradient and momentum written out."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, test = (x - mean) / deviation, (test - mean) / deviation
    classes = y.max() + 1
    w, v = np.zeros((x.shape[1] + 1, classes)), np.zeros((x.shape[1] + 1, classes))

    def softmax(of: np.ndarray) -> np.ndarray:
        powers = np.exp(np.concatenate([of, np.ones((len(of), 1))], axis=1) @ w)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    for epoch in range(4):
        order = numpy_generator(seed, 8, epoch).permutation(len(x))
        for begin in range(0, len(x), 16):
            part = order[begin : begin + 16]
            rate = 0.05 * (0.001 + begin / len(x) if epoch == 0 else {1: 1.0, 2: 0.1, 3: 0.01}[epoch])
            errors = (softmax(x[part]) - np.eye(classes)[y[part]]) / len(part)
            gradient = np.concatenate([x[part], np.ones((len(part), 1))], axis=1).T @ errors + 0.01 * w
            v = 0.9 * v + gradient
            w = w - rate * (gradient + 0.9 * v)  # Nesterov's
    return softmax(test)


def test_sgd_is_a_plain_loop() -> None:
    (train, labels), (test, _) = blobs(41, 3, 4), blobs(12, 3, 4, seed=1)
    scores, found = probe(train, labels, test, classes=4, settings=SGD, seed=7)
    x, y = train.reshape(-1, 5).astype(np.float64), labels.repeat(3)
    expected = plain_loop(x, y, test.reshape(-1, 5), seed=7).reshape(12, 3, 4).mean(axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert 0 < found["loss"] < np.log(4)


def test_sgd_depends_on_the_seed_alone() -> None:
    train, labels = blobs(40, 3, 4)
    one, same, other = (probe(train, labels, train, classes=4, settings=SGD, seed=s)[0] for s in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


def test_sgd_nears_the_optimum_that_scikit_learn_finds() -> None:
    (train, labels), (test, _) = blobs(60, 2, 3), blobs(30, 1, 3, seed=1)
    # Weight decay is of the mean loss, C of the sum; it takes in the bias, hence a column of ones.
    schedule = Schedule(
        epochs=200, lr=0.05, warmup_epochs=0, lr_scheduler="cosine", weight_decay=1 / (0.1 * 120)
    )
    sgd = LinearProbe(solver="sgd", batch_size=30, schedule=schedule)
    found, _ = probe(train, labels, test, classes=3, settings=sgd)
    scale = StandardScaler().fit(train.reshape(-1, 5))
    x, y = (np.insert(scale.transform(of.reshape(-1, 5)), 5, 1.0, axis=1) for of in (train, test))
    model = LogisticRegression(C=0.1, fit_intercept=False, tol=1e-8).fit(x, labels.repeat(2))
    np.testing.assert_allclose(found, model.predict_proba(y), atol=2e-3)


def test_a_rate_that_is_too_high_is_told() -> None:
    train, labels = blobs(40, 3, 4)
    wild = SGD.model_copy(update={"schedule": SGD.schedule.model_copy(update={"lr": 1e38})})
    with pytest.raises(
        UserError, match=r"the loss became (nan|inf) in epoch \d; lower `schedule.lr`, which is 1e\+38"
    ):
        probe(train, labels, train, classes=4, settings=wild)


CONFIG = EvaluationStage(
    name="probe", split="official", seed=0, settings=LinearProbe(num_clips=2, precision="fp32")
)


def test_the_stage_learns_from_training_items_and_scores_test_items(
    feature_runs: FeatureRuns, tmp_path: Path
) -> None:
    features, labels = blobs(40, 2, 3)
    index = small_index(labels.tolist(), ["train"] * 25 + ["test"] * 15)
    features[4] = np.nan
    features[30] = np.nan
    inputs = feature_runs(index, features, {4: "torn", 30: "torn"})
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
    assert record["outcomes"]["converged"] is True
    most = np.bincount(labels[test]).max() / len(test)
    assert record["outcomes"]["chance"] == pytest.approx(100 / len(np.unique(labels)))
    assert record["outcomes"]["most_frequent_class"] == pytest.approx(100 * most)


def test_a_class_without_training_item_is_refused(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features, labels = blobs(12, 2, 3)
    parts = ["test" if label == 1 or i > 8 else "train" for i, label in enumerate(labels)]
    inputs = feature_runs(small_index(labels.tolist(), parts), features)
    with pytest.raises(UserError, match="no readable training item of class1"):
        linear_probe.run(CONFIG, inputs, tmp_path, Context("tests"))


def test_a_class_that_lost_its_training_items_is_refused(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    features, labels = blobs(12, 2, 3)
    features[1] = np.nan
    index = small_index(labels.tolist(), ["train"] * 3 + ["test"] * 9)
    index = Index(**{**vars(index), "max_failed": 0.5})
    with pytest.raises(UserError, match="no readable training item of class1"):
        linear_probe.run(CONFIG, feature_runs(index, features, {1: "torn"}), tmp_path, Context("tests"))


@pytest.mark.parametrize("row", [2, 20])
def test_nan_features_of_an_item_that_was_decoded_name_it(
    feature_runs: FeatureRuns, tmp_path: Path, row: int
) -> None:
    features, labels = blobs(24, 2, 3)
    features[row, 1, 3] = np.nan
    index = small_index(labels.tolist(), ["train"] * 12 + ["test"] * 12)
    with pytest.raises(UserError, match=f"toy: the video features of item 'item{row:02d}' are not finite"):
        linear_probe.run(CONFIG, feature_runs(index, features), tmp_path, Context("tests"))


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_augmented_clips_are_learned_from_and_not_scored(
    feature_runs: FeatureRuns, tmp_path: Path, solver: Literal["lbfgs", "sgd"]
) -> None:
    features, labels = blobs(40, 5, 3)  # two evenly spaced clips, three augmented ones
    index = small_index(labels.tolist(), ["train"] * 25 + ["test"] * 15)
    config = CONFIG.model_copy(
        update={
            "settings": SGD.model_copy(update={"num_clips": 2, "num_augmented_clips": 3, "solver": solver})
        }
    )
    linear_probe.run(config, feature_runs(index, features), tmp_path, Context("tests"))
    expected, _ = probe(
        features[:25], labels[:25], features[25:, :2], classes=3, settings=config.settings, seed=0
    )
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy", allow_pickle=False), expected, rtol=1e-6)
    (record,) = json.loads((tmp_path / "records.json").read_text())
    assert record["epochs"] == (4 if solver == "sgd" else 0)
    fewer, _ = probe(
        features[:25, :2], labels[:25], features[25:, :2], classes=3, settings=config.settings, seed=0
    )
    assert np.abs(fewer - expected).max() > 1e-3
