"""Linear SVM: C by grouped folds inside the training part, against GridSearchCV; margins; the stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.unit.tiny import MODELS, small_index
from xdcbench.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluations import linear_svm
from xdcbench.evaluations.linear_svm import choose_c, svm
from xdcbench.models.encoders import Card
from xdcbench.schema import LinearSVM
from xdcbench.stages import EvaluationStage
from xdcbench.store import write_json

SETTINGS = LinearSVM(clips=3, cs=(1e-4, 1e-2, 1.0), precision="fp32")


def recordings(items: int, classes: int, *, seed: int = 0, noise: float = 2.5) -> tuple[np.ndarray, ...]:
    """Features, float32 (items, 3, 8), classes, and sources: two recordings each, alike among themselves."""
    rng = np.random.default_rng(seed)
    labels = np.arange(items) // 2 % classes
    groups = np.array([f"source{i // 2}" for i in range(items)])
    centres = np.random.default_rng(99).normal(size=(classes, 8))
    source = noise * rng.normal(size=(items // 2, 8)).repeat(2, axis=0)
    x = (centres[labels] + source)[:, None] + 0.5 * rng.normal(size=(items, 3, 8))
    return x.astype(np.float32), labels, groups


class OfWindows(ClassifierMixin, BaseEstimator):
    """Scaler and SVM over windows that predicts a recording by its mean margin."""

    def __init__(self, c: float = 1.0) -> None:
        self.c = c

    def fit(self, x: np.ndarray, y: np.ndarray) -> "OfWindows":
        svc = LinearSVC(C=self.c, max_iter=5000, random_state=0)
        self.model_ = make_pipeline(StandardScaler(), svc).fit(np.vstack(list(x)), y.repeat(x.shape[1]))
        self.classes_ = self.model_.classes_
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        margins = np.array([self.model_.decision_function(item).mean(axis=0) for item in x])
        return self.classes_[(margins > 0).astype(int) if margins.ndim == 1 else margins.argmax(axis=1)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_c_is_that_of_a_grid_search_over_the_same_folds(classes: int, seed: int) -> None:
    x, labels, groups = recordings(16 * classes, classes, seed=seed)
    c, folds = choose_c(x, labels, groups, settings=SETTINGS, seed=seed)
    split = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
    search = GridSearchCV(OfWindows(), {"c": list(SETTINGS.cs)}, cv=split.split(x, labels, groups))
    search.fit(x, labels)
    # GridSearchCV weighs folds alike; these folds hold equally many recordings.
    assert {len(held) for _, held in split.split(x, labels, groups)} == {len(x) // 4}
    assert folds == 4
    assert c == search.best_params_["c"]


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    calls: list[tuple[np.ndarray, np.ndarray]] = []
    true = linear_svm.svm

    def spy(train: np.ndarray, labels: np.ndarray, test: np.ndarray, **rest: Any) -> Any:
        calls.append((train, test))
        return true(train, labels, test, **rest)

    monkeypatch.setattr(linear_svm, "svm", spy)
    return calls


def numbers(x: np.ndarray, marks: np.ndarray) -> set[int]:
    return {int(np.flatnonzero(marks == item[0, 0])[0]) for item in x}


def test_inner_folds_keep_sources_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = spied(monkeypatch)
    x, labels, groups = recordings(36, 3)
    marks = x[:, 0, 0].copy()
    choose_c(x, labels, groups, settings=SETTINGS, seed=0)
    assert len(calls) == 4 * 3
    held_out: list[int] = []
    for train, held in calls[::3]:
        inside, outside = numbers(train, marks), numbers(held, marks)
        assert inside | outside == set(range(36)) and not inside & outside
        assert not {groups[i] for i in inside} & {groups[i] for i in outside}
        held_out += outside
    assert sorted(held_out) == list(range(36))


def test_the_smallest_of_equal_cs_is_taken() -> None:
    x, labels, groups = recordings(24, 2, noise=0.0)
    x[labels == 1] += 50
    assert choose_c(x, labels, groups, settings=SETTINGS, seed=0)[0] == 1e-4


def test_folds_are_limited_by_the_sources_of_a_class() -> None:
    x, labels, groups = recordings(36, 3)
    few = (labels != 2) | np.isin(groups, groups[labels == 2][[0, 2]])
    assert choose_c(x[few], labels[few], groups[few], settings=SETTINGS, seed=0)[1] == 2
    one = (labels != 2) | (groups == groups[labels == 2][0])
    with pytest.raises(UserError, match="a class has training recordings of one source only; give one C"):
        choose_c(x[one], labels[one], groups[one], settings=SETTINGS, seed=0)
    alone = SETTINGS.model_copy(update={"cs": (0.5,)})
    assert choose_c(x[one], labels[one], groups[one], settings=alone, seed=0) == (0.5, 0)


def test_margins_are_the_means_over_windows() -> None:
    x, labels, _ = recordings(30, 3)
    scores, converged = svm(x[:24], labels[:24], x[24:], c=0.01, classes=3, settings=SETTINGS)
    model = OfWindows(c=0.01).fit(x[:24], labels[:24]).model_
    np.testing.assert_allclose(scores, [model.decision_function(i).mean(axis=0) for i in x[24:]], atol=1e-4)
    assert converged


def test_two_classes_have_opposite_margins() -> None:
    x, labels, _ = recordings(24, 2)
    scores, _ = svm(x[:16], labels[:16], x[16:], c=0.01, classes=2, settings=SETTINGS)
    model = OfWindows(c=0.01).fit(x[:16], labels[:16])
    np.testing.assert_allclose(scores[:, 0], -scores[:, 1])
    assert scores.argmax(axis=1).tolist() == model.predict(x[16:]).tolist()


def test_a_class_that_nothing_trains_never_wins() -> None:
    x, labels, _ = recordings(24, 2)
    scores, _ = svm(x, 2 * labels, x, c=0.01, classes=4, settings=SETTINGS)
    assert (scores[:, [1, 3]].max(axis=1) < scores[:, [0, 2]].min(axis=1)).all()


def test_too_few_iterations_are_told() -> None:
    x, labels, _ = recordings(24, 3)
    few = SETTINGS.model_copy(update={"max_iter": 1})
    assert not svm(x, labels, x, c=1.0, classes=3, settings=few)[1]


def test_the_stage_never_shows_test_items_to_the_choice_of_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels, groups = recordings(48, 3)
    index = small_index(labels.tolist(), ["test"] * 12 + ["train"] * 36)
    index = Index(**{**vars(index), "items": index.items.assign(group=groups)})
    marks = x[:, 0, 0].copy()
    inputs = {name: tmp_path / name for name in ("data", "features")}
    for folder in inputs.values():
        folder.mkdir()
    index.save(inputs["data"])
    np.save(inputs["features"] / "features.npy", x, allow_pickle=False)
    write_json(inputs["features"] / "failed.json", {})
    write_json(
        inputs["features"] / "encoders.json", Card(recipe="r", seed=0, models=MODELS).model_dump(mode="json")
    )
    calls = spied(monkeypatch)
    config = EvaluationStage(name="svm", split="official", seed=5, settings=SETTINGS)
    linear_svm.run(config, inputs, tmp_path, Context("tests"))
    *inner, (train, test) = calls
    for fitted, held in inner:
        assert numbers(fitted, marks) | numbers(held, marks) == set(range(12, 48))
    assert numbers(train, marks) == set(range(12, 48)) and numbers(test, marks) == set(range(12))
    (record,) = json.loads((tmp_path / "records.json").read_text())
    c, _ = choose_c(x[12:], labels[12:], groups[12:], settings=SETTINGS, seed=5)
    guess = OfWindows(c=c).fit(x[12:], labels[12:]).predict(x[:12])
    assert record["value"] == pytest.approx(100 * (guess == labels[:12]).mean())
    assert record["outcomes"] == {"c": c, "inner_folds": 4, "converged": True}
    assert record["architecture"].startswith("ResNet-18 (audio)")
