"""Settings chosen on held-out training items: known best ones, scikit-learn's grid search, restarts, test labels."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import small_index
from xdcbench.config.evaluation import Finetune, LinearProbe, Sweep
from xdcbench.config.load import validate
from xdcbench.config.pretraining import Schedule
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.clips import ClipSpec
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import DivergedError, UserError
from xdcbench.evaluation import finetune, linear_probe
from xdcbench.evaluation.sweep import candidates, choose, hold_out, sweep

SETTINGS = Finetune(
    modality="audio",
    batch_size=5,
    schedule=Schedule(epochs=4, lr=0.01, warmup_epochs=0, lr_scheduler="constant", weight_decay=5e-3),
    head_lr=0.1,
    num_clips=1,
    val_fraction=0.25,
    sweep=Sweep(lr=(1e30, 0.003)),
    precision="fp32",
)
EPOCHS = [0, *range(4), *range(4)]
"""Of the rate that diverges in its first epoch, of the other one, and of the training after them."""
INDEX = small_index([0, 1, 2] * 8, ["train"] * 18 + ["test"] * 6)


def chosen(scores: dict[float, float | None], work: Path) -> tuple[Finetune, dict[str, Any]]:
    """The sweep over these rates, in which a training yields the given top-1, or diverges where that is None."""

    def train(settings: Finetune, rows: np.ndarray, held: np.ndarray, folder: Path) -> float:
        score = scores[settings.schedule.lr]
        if score is None:
            raise DivergedError("the loss became nan")
        return score

    settings = SETTINGS.model_copy(update={"sweep": Sweep(lr=tuple(scores))})
    return sweep(settings, train, INDEX, INDEX.rows("official", "train"), seed=0, work=work)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({0.1: 20.0, 0.2: 60.0, 0.3: 40.0}, 0.2),
        ({0.3: 50.0, 0.1: 50.0}, 0.3),
        ({0.1: None, 0.2: 0.0}, 0.2),
    ],
)
def test_the_first_of_the_best_is_chosen_and_all_are_noted(
    scores: dict[float, float | None], best: float, tmp_path: Path
) -> None:
    settings, outcomes = chosen(scores, tmp_path)
    assert settings.schedule.lr == best and settings.sweep is None
    assert {row["lr"]: row["val_top1"] for row in outcomes["sweep"]} == scores
    assert (outcomes["lr"], outcomes["weight_decay"]) == (best, 5e-3)
    assert outcomes["head_lr"] == settings.head_lr == pytest.approx(10 * best)


@pytest.mark.parametrize("rates", [(1e-12, 1.0), (1.0, 1e-12)])
def test_a_rate_that_learns_is_chosen_over_one_that_does_nothing(
    rates: tuple[float, ...], tmp_path: Path
) -> None:
    """By hand: a step of rate 1 learns the class from the class itself; one of 1e-12 leaves the guess at class 0."""
    labels = INDEX.labels

    def train(settings: Finetune, rows: np.ndarray, held: np.ndarray, folder: Path) -> float:
        x = np.eye(3)[labels]
        weights = settings.schedule.lr * x[rows].T @ (x[rows] - 1 / 3) / len(rows)
        return 100.0 * float(((x[held] @ weights).round(6).argmax(1) == labels[held]).mean())

    settings = SETTINGS.model_copy(update={"sweep": Sweep(lr=rates)})
    rows = INDEX.rows("official", "train")
    best, outcomes = sweep(settings, train, INDEX, rows, seed=0, work=tmp_path)
    scores = {row["lr"]: row["val_top1"] for row in outcomes["sweep"]}
    assert best.schedule.lr == 1.0 and scores[1.0] == 100.0 and scores[1e-12] < 50


def test_rates_that_all_diverge_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"diverged at every rate of the sweep \(5, 9\)\. Try: lower `sweep\.lr`"
    ):
        chosen({5.0: None, 9.0: None}, tmp_path)


def test_the_grid_is_every_pair() -> None:
    grid = SETTINGS.model_copy(update={"sweep": Sweep(lr=(0.1, 0.2), weight_decay=(1e-3, 1e-2))})
    pairs = [(one.schedule.lr, one.schedule.weight_decay) for one in candidates(grid)]
    assert pairs == [(0.1, 1e-3), (0.1, 1e-2), (0.2, 1e-3), (0.2, 1e-2)]
    decays = SETTINGS.model_copy(update={"sweep": Sweep(weight_decay=(1e-3, 1e-2))})
    assert [one.schedule.lr for one in candidates(decays)] == [0.01, 0.01]


def test_held_out_groups_are_of_the_training_items_and_whole() -> None:
    rows = INDEX.rows("official", "train")
    pairs = replace(INDEX, items=INDEX.items.assign(group=[f"g{i // 2}" for i in range(24)]))
    learned, held = hold_out(pairs, rows, share=0.25, seed=0)
    assert sorted([*learned, *held]) == rows.tolist()
    groups = pairs.items["group"].to_numpy()
    assert len(held) and not set(groups[learned]) & set(groups[held])


def test_too_few_groups_to_hold_out_are_told() -> None:
    rows = INDEX.rows("official", "train")
    with pytest.raises(
        UserError, match=r"18 groups .* too few to hold out a share of 0\.01\. Try: raise val_f"
    ):
        hold_out(INDEX, rows, share=0.01, seed=0)


@pytest.mark.parametrize(
    ("kind", "tree", "said"),
    [
        (Finetune, {"sweep": {"lr": [0.1, 0.0]}}, r"sweep\.lr\.1.*greater than 0"),
        (Finetune, {"sweep": {"weight_decay": [-1e-3]}}, r"sweep\.weight_decay\.0.*greater than 0"),
        (Finetune, {"sweep": {}}, "the grid is empty; give values of `lr` or `weight_decay`"),
        (Finetune, {"sweep": {"lr": []}}, "the grid is empty"),
        (Finetune, {"sweep": {"lr": [0.1]}, "selection": "val-best"}, "exclude each other"),
        (LinearProbe, {"Cs": [1.0, 0.0]}, r"Cs\.1.*greater than 0"),
        (LinearProbe, {"Cs": [1.0], "solver": "sgd"}, "sgd has no C"),
    ],
)
def test_a_grid_that_cannot_be_searched_is_told(kind: Any, tree: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"the suite: .*{said}"):
        validate(kind, tree, where="the suite")


# ------------------------------------------------------------------------------------------- whole stages


def do(
    data: Path, encoders: Path, work: Path, context: Context, settings: Finetune = SETTINGS
) -> dict[str, Any]:
    work.mkdir(exist_ok=True, parents=True)
    config = EvaluationStage(name="finetune", split="1", seed=4, settings=settings)
    finetune.run(config, {"data": data, "encoders": encoders}, work, context)
    (record,) = json.loads((work / "records.json").read_text())
    return dict(record)


@pytest.fixture(scope="module")
def done(tiny_runs: Path, tiny_context: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("sweep")
    do(tiny_runs / "esc50", tiny_runs / "init", work, tiny_context)
    return work


def outcomes_of(work: Path) -> dict[str, Any]:
    (record,) = json.loads((work / "records.json").read_text())
    return dict(record["outcomes"])


def test_a_rate_that_learns_is_chosen_over_one_that_diverges(done: Path) -> None:
    outcomes = outcomes_of(done)
    diverged, learned = (row["val_top1"] for row in outcomes["sweep"])
    assert diverged is None and 0 <= learned <= 100
    assert (outcomes["lr"], outcomes["head_lr"]) == (0.003, pytest.approx(0.03))


def test_afterwards_it_learns_from_all_training_items_as_without_a_sweep(
    done: Path, tiny_runs: Path, tiny_context: Context, tmp_path: Path
) -> None:
    fixed = candidates(SETTINGS)[1]
    do(tiny_runs / "esc50", tiny_runs / "init", tmp_path, tiny_context, fixed)
    for name in ("scores.npy", "predictions.parquet"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes()


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_killed_sweep_goes_on_to_the_same_choice_and_scores(
    done: Path,
    tiny_runs: Path,
    tiny_context: Context,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
) -> None:
    """Killed at the start, in the second candidate, and in the training after both."""
    true, begun = finetune.training_clips, []

    def counting(rows: np.ndarray, *, epoch: int, **rest: Any) -> Sequence[ClipSpec]:
        begun.append(epoch)
        if len(begun) == stop:
            raise Killed
        return true(rows, epoch=epoch, **rest)

    monkeypatch.setattr(finetune, "training_clips", counting)
    context = replace(tiny_context, checkpoint_seconds=0.0)
    with pytest.raises(Killed):
        do(tiny_runs / "esc50", tiny_runs / "init", tmp_path, context)
    do(tiny_runs / "esc50", tiny_runs / "init", tmp_path, context)
    assert begun == EPOCHS[:stop] + EPOCHS[stop - 1 :]
    assert outcomes_of(tmp_path) == outcomes_of(done)
    for name in ("scores.npy", "predictions.parquet"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes()
    assert not list((tmp_path / "sweep").rglob("checkpoint*"))


def with_other_test_labels(index: Index, split: str) -> Index:
    """All test items of class 0."""
    labels = index.labels.copy()
    labels[index.listed(split, "test")] = 0
    return replace(index, items=index.items.assign(label=labels))


def test_test_items_and_their_labels_have_no_part_in_the_choice_of_finetuning(
    done: Path, tiny_runs: Path, tiny_context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index").mkdir()
    index = Index.load(tiny_runs / "esc50")
    with_other_test_labels(index, "1").save(tmp_path / "index")
    true_predict, true_clips = finetune.predict, finetune.training_clips
    scored: list[set[int]] = []
    learned: list[set[int]] = []

    def predict(classifier: Any, clips: Any, rows: np.ndarray, *rest: Any, several: bool) -> Any:
        scored.append(set(rows.tolist()))
        return true_predict(classifier, clips, rows, *rest, several=several)

    def training_clips(rows: np.ndarray, **rest: Any) -> Sequence[ClipSpec]:
        learned.append(set(rows.tolist()))
        return true_clips(rows, **rest)

    monkeypatch.setattr(finetune, "predict", predict)
    monkeypatch.setattr(finetune, "training_clips", training_clips)
    record = do(tmp_path / "index", tiny_runs / "init", tmp_path / "run", tiny_context)
    for name in ("sweep", "lr", "weight_decay", "held_out"):
        assert record["outcomes"][name] == outcomes_of(done)[name]
    assert (tmp_path / "run" / "scores.npy").read_bytes() == (done / "scores.npy").read_bytes()
    train, test = (set(index.listed("1", part).tolist()) for part in ("train", "test"))
    held, last = scored
    assert last == test and held < train and len(held) == record["outcomes"]["held_out"]
    assert learned == [train - held] * 5 + [train] * 4


# ------------------------------------------------------------------------------------ C of the linear probe

PROBE = LinearProbe(Cs=(10.0, 1e-4, 0.1), num_clips=1)


def items(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy features, float32 (count, 1, 20), of 3 classes, and groups of two items."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) // 2 % 3
    x = np.random.default_rng(7).normal(size=(3, 20))[labels] + 2.0 * rng.normal(size=(count, 20))
    return x[:, None].astype(np.float32), labels, np.arange(count) // 2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_c_is_that_of_a_grid_search_over_the_same_folds(seed: int) -> None:
    x, labels, groups = items(96, seed=seed)
    settings, outcomes = linear_probe.choose_c(x, labels, groups, PROBE, seed)
    split = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    grid = {"logisticregression__C": sorted(PROBE.Cs)}
    search = GridSearchCV(pipeline, grid, cv=list(split.split(x, labels, groups))).fit(x[:, 0], labels)
    assert settings.C == outcomes["c"] == search.best_params_["logisticregression__C"]
    assert [row["C"] for row in outcomes["sweep"]] == sorted(PROBE.Cs)
    expected = 100 * search.cv_results_["mean_test_score"]
    assert [row["val_top1"] for row in outcomes["sweep"]] == pytest.approx(expected)


def test_labels_of_test_items_change_no_choice_of_c(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    x, labels, _ = items(72, seed=3)
    index = small_index(labels, ["train"] * 48 + ["test"] * 24)
    found = []
    for name, one in {"true": index, "other": with_other_test_labels(index, "official")}.items():
        (tmp_path / name / "out").mkdir(parents=True)
        config = EvaluationStage(name="probe", split="official", seed=1, settings=PROBE)
        inputs = feature_runs(one, x, name=f"{name}-inputs")
        linear_probe.run(config, inputs, tmp_path / name / "out", Context("tests"))
        found.append(json.loads((tmp_path / name / "out" / "records.json").read_text())[0])
    assert found[0]["value"] != found[1]["value"]
    assert len(found[0]["outcomes"]["sweep"]) == 3 and found[0]["outcomes"]["inner_folds"] == 4
    for name in ("sweep", "c", "inner_folds"):
        assert found[0]["outcomes"][name] == found[1]["outcomes"][name]


def test_without_cs_the_one_c_stands(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    x, labels, _ = items(24, seed=3)
    inputs = feature_runs(small_index(labels, ["train"] * 18 + ["test"] * 6), x)
    config = EvaluationStage(name="probe", split="official", seed=1, settings=LinearProbe(num_clips=1))
    linear_probe.run(config, inputs, tmp_path, Context("tests"))
    assert not {"sweep", "c", "inner_folds"} & outcomes_of(tmp_path).keys()


def test_a_class_of_one_group_leaves_no_choice() -> None:
    labels, groups = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    with pytest.raises(
        UserError, match=r"a class has training items of one group only\. Try: give one C in `Cs`"
    ):
        choose(lambda train, held: [], labels, groups, cs=(1.0, 2.0), folds=2, seed=0)
