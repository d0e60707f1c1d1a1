"""Linear SVM: C by grouped folds inside the training part, margins, the stage; against scikit-learn."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.unit.tiny import MODELS, small_index
from xdcbench.config.data import Dataset
from xdcbench.config.evaluation import LinearSVM
from xdcbench.config.stages import EvaluationStage, FeaturesStage, IndexStage, InitStage
from xdcbench.data import index_stage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation import features as features_stage
from xdcbench.evaluation import linear_svm
from xdcbench.evaluation.linear_svm import choose_c, svm, svms
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.pretraining import init as init_stage
from xdcbench.utils.documents import write_json
from xdcbench.utils.progress import log

SETTINGS = LinearSVM(num_clips=3, Cs=(1e-4, 1e-2, 1.0), precision="fp32")


def recordings(items: int, classes: int, *, seed: int = 0, noise: float = 2.5) -> tuple[np.ndarray, ...]:
    """Features, float32 (items, 3, 8), classes, and sources: two recordings each, alike among themselves."""
    rng = np.random.default_rng(seed)
    labels = np.arange(items) // 2 % classes
    groups = np.array([f"source{i // 2}" for i in range(items)])
    centers = np.random.default_rng(99).normal(size=(classes, 8))
    source = noise * rng.normal(size=(items // 2, 8)).repeat(2, axis=0)
    x = (centers[labels] + source)[:, None] + 0.5 * rng.normal(size=(items, 3, 8))
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
    search = GridSearchCV(OfWindows(), {"c": list(SETTINGS.Cs)}, cv=split.split(x, labels, groups))
    search.fit(x, labels)
    # GridSearchCV weighs folds alike; these folds hold equally many recordings.
    assert {len(held) for _, held in split.split(x, labels, groups)} == {len(x) // 4}
    assert folds == 4
    assert c == search.best_params_["c"]


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    calls: list[tuple[np.ndarray, np.ndarray]] = []
    true = linear_svm.svms

    def spy(train: np.ndarray, labels: np.ndarray, test: np.ndarray, **rest: Any) -> Any:
        calls.append((train, test))
        return true(train, labels, test, **rest)

    monkeypatch.setattr(linear_svm, "svms", spy)
    return calls


def numbers(x: np.ndarray, marks: np.ndarray) -> set[int]:
    return {int(np.flatnonzero(marks == item[0, 0])[0]) for item in x}


def test_inner_folds_keep_sources_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = spied(monkeypatch)
    x, labels, groups = recordings(36, 3)
    marks = x[:, 0, 0].copy()
    choose_c(x, labels, groups, settings=SETTINGS, seed=0)
    assert len(calls) == 4
    held_out: list[int] = []
    for train, held in calls:
        inside, outside = numbers(train, marks), numbers(held, marks)
        assert inside | outside == set(range(36)) and not inside & outside
        assert not {groups[i] for i in inside} & {groups[i] for i in outside}
        held_out += outside
    assert sorted(held_out) == list(range(36))


def test_the_smallest_of_equal_cs_is_taken() -> None:
    x, labels, groups = recordings(24, 2, noise=0.0)
    x[labels == 1] += 50
    backwards = SETTINGS.model_copy(update={"Cs": SETTINGS.Cs[::-1]})
    for settings in (SETTINGS, backwards):
        assert choose_c(x, labels, groups, settings=settings, seed=0)[0] == 1e-4


def test_folds_are_limited_by_the_sources_of_a_class() -> None:
    x, labels, groups = recordings(36, 3)
    few = (labels != 2) | np.isin(groups, groups[labels == 2][[0, 2]])
    assert choose_c(x[few], labels[few], groups[few], settings=SETTINGS, seed=0)[1] == 2
    one = (labels != 2) | (groups == groups[labels == 2][0])
    with pytest.raises(UserError, match=r"a class has training items of one group only\. Try: give one C"):
        choose_c(x[one], labels[one], groups[one], settings=SETTINGS, seed=0)
    alone = SETTINGS.model_copy(update={"Cs": (0.5,)})
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


def test_an_inner_fold_that_does_not_converge_is_told(caplog: pytest.LogCaptureFixture) -> None:
    x, labels, groups = recordings(36, 3)
    few = SETTINGS.model_copy(update={"max_iter": 1, "Cs": (1e-9, 1.0)})
    with caplog.at_level("WARNING", logger=log.name):
        choose_c(x, labels, groups, settings=few, seed=0)
    assert [r.getMessage() for r in caplog.records] == 4 * ["C = 1: not converged; raise max_iter"]


def test_several_cs_at_once_are_each_alone() -> None:
    x, labels, _ = recordings(36, 3)
    together = svms(x[:24], labels[:24], x[24:], cs=(1.0, 1e-4, 1e-2), classes=3, settings=SETTINGS)
    for c, (scores, converged) in zip((1e-4, 1e-2, 1.0), together, strict=True):
        alone, _ = svm(x[:24], labels[:24], x[24:], c=c, classes=3, settings=SETTINGS)
        np.testing.assert_allclose(scores, alone, atol=1e-4)
        assert converged


def test_one_class_is_refused() -> None:
    x, labels, _ = recordings(24, 3)
    with pytest.raises(UserError, match="needs training recordings of two classes or more; there is one"):
        svm(x, 0 * labels, x, c=1.0, classes=3, settings=SETTINGS)


def test_recordings_given_twice_change_no_decision() -> None:
    x, labels, _ = recordings(48, 3)
    once, _ = svm(x[:36], labels[:36], x[36:], c=0.02, classes=3, settings=SETTINGS)
    again = (np.concatenate([x[:36], x[:36]]), np.concatenate([labels[:36], labels[:36]]))
    twice, _ = svm(*again, x[36:], c=0.01, classes=3, settings=SETTINGS)
    np.testing.assert_allclose(twice, once, atol=1e-4)


def inputs_of(folder: Path, x: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, Path]:
    """Run directories of an index, whose first 12 items are for the test, and of its features."""
    inputs = {name: folder / name for name in ("data", "features")}
    for run in inputs.values():
        run.mkdir()
    index = small_index(labels.tolist(), ["test"] * 12 + ["train"] * (len(x) - 12))
    Index(**{**vars(index), "items": index.items.assign(group=groups)}).save(inputs["data"])
    np.save(inputs["features"] / "features.npy", x, allow_pickle=False)
    write_json(inputs["features"] / "failed.json", {})
    metadata = EncoderMetadata(config_hash="r", seed=0, models=MODELS).model_dump(mode="json")
    write_json(inputs["features"] / "encoders.json", metadata)
    return inputs


def test_the_stage_never_shows_test_items_to_the_choice_of_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels, groups = recordings(48, 3)
    marks, inputs = x[:, 0, 0].copy(), inputs_of(tmp_path, x, labels, groups)
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
    assert record["outcomes"].items() >= {"c": c, "inner_folds": 4, "converged": True}.items()
    assert record["architecture"].startswith("ResNet-18 (audio)")


def test_an_item_with_features_that_are_not_finite_is_named(tmp_path: Path) -> None:
    x, labels, groups = recordings(48, 3)
    x[20, 1, 3] = np.nan
    config = EvaluationStage(name="svm", split="official", seed=5, settings=SETTINGS)
    with pytest.raises(UserError, match="the audio features of item 'item20' are not finite"):
        linear_svm.run(config, inputs_of(tmp_path, x, labels, groups), tmp_path, Context("tests"))


def esc10(data: Path, runs: Path, *, clips: int) -> dict[str, Path]:
    """Run directories of ESC-10's index and of its features by a randomly initialized encoder."""
    inputs = {name: runs / name for name in ("data", "encoders", "features")}
    for run in inputs.values():
        run.mkdir()
    folds = ("1", "2", "3", "5")
    dataset = Dataset(title="ESC-10", adapter="esc50", folder="esc10", media="audio", splits=folds)
    context = Context("tests", roots={"esc10": data / "esc10"})
    index_stage.run(IndexStage(name="esc10", dataset=dataset), {}, inputs["data"], context)
    init_stage.run(InitStage(models=MODELS, seed=0), {}, inputs["encoders"], context)
    extraction = FeaturesStage(modality="audio", num_clips=clips, precision="fp32")
    features_stage.run(extraction, inputs, inputs["features"], context)
    return inputs


def agree(inputs: dict[str, Path], split: str, work: Path) -> None:
    """C and the decision for every recording are those of a script that only uses scikit-learn."""
    work.mkdir()
    config = EvaluationStage(name="svm", split=split, seed=3, settings=LinearSVM(precision="fp32"))
    linear_svm.run(config, inputs, work, Context("tests"))
    (record,) = json.loads((work / "records.json").read_text())
    own = pd.read_parquet(work / "predictions.parquet").set_index("id")["prediction"]
    script = Path(__file__).parents[2] / "referees" / "esc10_svm.py"
    words = [sys.executable, script, inputs["data"], inputs["features"], split, "3"]
    first, *rest = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    referee = {name: int(label) for name, label in (line.split() for line in rest)}
    assert first == f"C {record['outcomes']['c']:g}"
    assert own.to_dict() == referee and len(own) == 80
    assert record["value"] > 30  # of ten classes: there is something to decide


def test_decisions_on_esc10_are_those_of_an_independent_script(shared_data: Path, tmp_path: Path) -> None:
    agree(esc10(shared_data, tmp_path, clips=2), "1", tmp_path / "svm")
