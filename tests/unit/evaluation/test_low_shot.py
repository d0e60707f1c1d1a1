"""Low-shot: the draws, each probe against scikit-learn, what the stage leaves behind."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import small_index
from xdcbench.config.evaluation import LowShot
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation import low_shot
from xdcbench.evaluation.low_shot import shots, shuffled, take

SETTINGS = LowShot(num_clips=2, per_class=(1, 4), fractions=(0.25, 0.005), num_draws=3, precision="fp32")
CONFIG = EvaluationStage(name="few", split="official", seed=5, settings=SETTINGS)
SIZES = (12, 8, 2)
LABELS = np.array([label for label, size in enumerate(SIZES) for _ in range(size)] + [0, 1, 2] * 5)
PARTS = ["train"] * sum(SIZES) + ["test"] * 15


def world() -> tuple[Index, np.ndarray]:
    rng = np.random.default_rng(0)
    centers = 2 * rng.normal(size=(3, 6))
    return small_index(LABELS.tolist(), PARTS), centers[LABELS][:, None] + rng.normal(
        size=(len(LABELS), 2, 6)
    )


def do(inputs: dict[str, Path], work: Path, config: EvaluationStage = CONFIG) -> list[dict[str, Any]]:
    work.mkdir()
    low_shot.run(config, inputs, work, Context("tests"))
    return list(json.loads((work / "records.json").read_text()))


def test_each_probe_is_that_of_scikit_learn_on_the_drawn_items(
    feature_runs: FeatureRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, features = world()
    drawn: list[np.ndarray] = []

    def spying(*args: Any) -> tuple[np.ndarray, int]:
        found = take(*args)
        drawn.append(found[0])
        return found

    monkeypatch.setattr(low_shot, "take", spying)
    records = do(feature_runs(index, features), tmp_path / "work")
    table = pd.read_parquet(tmp_path / "work" / "predictions.parquet")
    assert len(records) == len(drawn) == 4 * 3 and len(table) == 12 * 15
    for record, few in zip(records, drawn, strict=True):
        x = features.astype(np.float32)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(x[few].reshape(-1, 6), LABELS[few].repeat(2))
        guess = [model.predict_proba(item).mean(axis=0).argmax() for item in x[22:]]
        hyperparameters = record["hyperparameters"]
        own = table[(table["shots"] == hyperparameters["shots"]) & (table["draw"] == hyperparameters["draw"])]
        assert own["prediction"].tolist() == guess
        assert own["id"].tolist() == index.items["id"][22:].tolist()
        assert record["value"] == pytest.approx(100 * np.mean(guess == LABELS[22:]))
        assert record["metric"] == "top1" and record["outcomes"]["converged"]
        assert (record["items_used"], record["train_items_used"]) == (15, 22)
    said = {
        r["hyperparameters"]["shots"]: (r["outcomes"]["learned_from"], r["outcomes"]["short_classes"])
        for r in records
    }
    assert said == {"1": (3, 0), "4": (10, 1), "25%": (3 + 2 + 1, 0), "0.5%": (3, 0)}
    assert [(r["hyperparameters"]["shots"], r["hyperparameters"]["draw"]) for r in records[:5]] == [
        ("1", 0),
        ("4", 0),
        ("25%", 0),
        ("0.5%", 0),
        ("1", 1),
    ]


names = st.lists(st.text("abcdef0123/", min_size=1, max_size=6), min_size=1, max_size=20, unique=True)


@given(names, st.integers(0, 3), st.integers(0, 3), st.randoms())
def test_a_draw_depends_on_neither_order_nor_other_items(
    ids: list[str], seed: int, draw: int, rng: Any
) -> None:
    order = [ids[i] for i in shuffled(ids, seed=seed, draw=draw)]
    other = [name for name in ids if rng.random() < 0.7]
    rng.shuffle(other)
    assert [other[i] for i in shuffled(other, seed=seed, draw=draw)] == [n for n in order if n in set(other)]


def test_draws_and_seeds_differ() -> None:
    ids = [f"item{i}" for i in range(40)]
    orders = {tuple(shuffled(ids, seed=seed, draw=draw)) for seed in range(3) for draw in range(3)}
    assert len(orders) == 9


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 99))
def test_take_is_a_count_per_class(labels: list[int], n: int, per_cent: int) -> None:
    order = np.random.default_rng(0).permutation(len(labels))
    wanted = shots((n,), (per_cent / 100,))
    number, share = wanted.values()
    assert list(wanted) == [str(n), f"{per_cent}%"]
    of = np.array(labels)
    few, short = take(order, of, number)
    assert [row for row in order if row in set(few)] == few.tolist()
    for label in set(labels):
        own = [row for row in order if of[row] == label]
        assert [row for row in few if of[row] == label] == own[:n]
    assert short == sum(labels.count(label) < n for label in set(labels))
    some, short = take(order, of, share)
    assert short == 0 and set(of[some]) == set(labels)
    for label in set(labels):
        count = (of[some] == label).sum()
        assert count == 1 or abs(count - per_cent / 100 * labels.count(label)) <= 0.5 + 1e-9


def test_results_do_not_depend_on_the_order_of_items(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index, features = world()
    values = []
    for name, order in (("one", np.arange(37)), ("other", np.random.default_rng(0).permutation(37))):
        moved = replace(index, items=index.items.iloc[order].reset_index(drop=True))
        records = do(feature_runs(moved, features[order], name=name), tmp_path / f"{name}-work")
        values.append([record["value"] for record in records])
    assert values[0] == pytest.approx(values[1])
    assert len(set(values[0])) > 1


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"per_class": (0,)}, "0"),
        ({"fractions": (1.5,)}, r"1\.5"),
        ({"fractions": (0.0,)}, r"0\.0"),
        ({"per_class": (), "fractions": ()}, "no"),
    ],
)
def test_nothing_to_learn_from_is_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=f"low_shot: cannot learn from {what} items; give `per_class` from 1"):
        shots(settings.get("per_class", (1,)), settings.get("fractions", ()))


def test_nan_features_name_the_item(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index, features = world()
    features[3, 1, 2] = np.nan
    with pytest.raises(UserError, match="toy: the video features of item 'item03' are not finite"):
        do(feature_runs(index, features), tmp_path / "work")
