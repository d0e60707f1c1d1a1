"""k nearest neighbors: against scikit-learn, by hand, in blocks, and the whole stage."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.neighbors import KNeighborsClassifier
from torch.nn.functional import normalize

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import small_index
from xdcbench.config.evaluation import KNN
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.evaluation import knn, retrieval
from xdcbench.evaluation.knn import vote
from xdcbench.evaluation.retrieval import cosines

SETTINGS = KNN(num_clips=2, ks=(3, 1), precision="fp32")
CONFIG = EvaluationStage(name="near", split="official", seed=0, settings=SETTINGS)


@pytest.mark.parametrize("temperature", [0.02, 0.07, 1.0, 1e6])
def test_predictions_are_scikit_learns(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels, others = rng.integers(12, size=150), rng.integers(12, size=400)
    centers = rng.normal(size=(12, 16))
    x, y = (centers[of] + 3 * rng.normal(size=(len(of), 16)) for of in (labels, others))
    unit = [normalize(torch.from_numpy(of.astype(np.float32)), dim=1) for of in (x, y)]
    monkeypatch.setattr(retrieval, "BUDGET", 7 * 400)
    found = vote(cosines(*unit), torch.from_numpy(others), ks=(200, 1, 20), temperature=temperature)
    assert list(found) == [1, 20, 200]
    for k, predicted in found.items():
        model = KNeighborsClassifier(
            k, metric="cosine", algorithm="brute", weights=lambda far: np.exp((1 - far) / temperature)
        )
        assert predicted.tolist() == model.fit(y, others).predict(x).tolist()
    assert (found[1] != found[20]).any()
    assert temperature < 0.05 or (found[20] != found[200]).any()


def test_votes_by_hand() -> None:
    # One vote of exp(0.9) for class 1 against two of exp(0.3) for class 0: 2.46 and 2.70; at temperature 0.1,
    # exp(9) against 2 exp(3).
    similarities, labels = torch.tensor([[0.3, 0.9, 0.3, -1.0]]), torch.tensor([0, 1, 0, 2])
    for temperature, expected in ((1.0, 0), (0.1, 1)):
        found = vote([similarities], labels, ks=(1, 3, 4), temperature=temperature)
        assert {k: predicted.tolist() for k, predicted in found.items()} == {
            1: [1],
            3: [expected],
            4: [expected],
        }


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_blocks_and_a_shift_of_all_similarities_change_nothing(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    similarities = torch.from_numpy(rng.permutation(n * m).reshape(n, m).astype(np.float32))
    labels = torch.from_numpy(rng.integers(3, size=m))
    k, chunk = data.draw(st.integers(1, m)), data.draw(st.integers(1, 8))
    whole = vote([similarities], labels, ks=(k,), temperature=10.0)
    parts = vote((part + 4096 for part in similarities.split(chunk)), labels, ks=(k,), temperature=10.0)
    assert whole[k].tolist() == parts[k].tolist()


def test_a_low_temperature_leaves_the_vote_to_the_nearest() -> None:
    similarities = torch.tensor([[0.5, 0.5001, 0.5]])
    found = vote([similarities], torch.tensor([0, 1, 0]), ks=(3,), temperature=1e-6)
    assert found[3].tolist() == [1]


def do(inputs: dict[str, Path], work: Path, config: EvaluationStage = CONFIG) -> list[dict[str, Any]]:
    work.mkdir()
    knn.run(config, inputs, work, Context("tests"))
    return list(json.loads((work / "records.json").read_text()))


def test_the_stage_by_hand(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    # Training items at 0, 40, 50 and 180 degrees; the mean of a test item's two clips gives its angle.
    angles = np.radians([0, 40, 50, 180, 10, 21, 170, 0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None].repeat(2, axis=1)
    features[6] = [[-1.0, 0.5], [-1.0, -0.1]]
    features[7] = np.nan
    index = small_index([0, 1, 1, 0, 0, 1, 0, 1], ["train"] * 4 + ["test"] * 4)
    index = replace(index, max_failed=0.5)
    records = do(feature_runs(index, 3 * features, {7: "torn"}), tmp_path / "work")
    table = pd.read_parquet(tmp_path / "work" / "predictions.parquet")
    # Of the item at 21 degrees, that at 40 is nearest; at 10 degrees, exp(0.985 / 0.07) for class 0 outweighs
    # exp(0.866 / 0.07) + exp(0.766 / 0.07).
    assert table.drop(columns="group").to_dict("list") == {
        "id": ["item04", "item05", "item06"] * 2,
        "label": [0, 1, 0] * 2,
        "neighbors": [1] * 3 + [3] * 3,
        "prediction": [0, 1, 0, 0, 1, 0],
    }
    assert [(r["metric"], r["hyperparameters"]["neighbors"], r["value"]) for r in records] == [
        ("top1", 1, 100.0),
        ("top1", 3, 100.0),
    ]
    assert [records[0][f"items_{n}"] for n in ("expected", "used", "failed")] == [4, 3, 1]
    assert records[0]["outcomes"] == {"chance": 50.0, "most_frequent_class": pytest.approx(200 / 3)}


def test_equal_features_find_what_chance_finds(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    labels = [label for label in range(10) for _ in range(30)]  # class after class, as an index has them
    index = small_index(labels, ["train"] * 300)
    index = replace(index, items=index.items.assign(**{"split:official": (["train"] * 2 + ["test"]) * 100}))
    config = CONFIG.model_copy(update={"settings": KNN(num_clips=1, ks=(1, 20), precision="fp32")})
    records = do(feature_runs(index, np.ones((300, 1, 4))), tmp_path / "work", config)
    assert [record["value"] for record in records] == pytest.approx([10, 10])


def test_results_do_not_depend_on_the_order_of_items(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 1, 3))
    index = small_index((np.arange(40) % 4).tolist(), ["train"] * 24 + ["test"] * 16)
    config = CONFIG.model_copy(update={"settings": KNN(num_clips=1, ks=(1, 5), precision="fp32")})
    tables = []
    for name, order in (("one", np.arange(40)), ("other", rng.permutation(40))):
        moved = replace(index, items=index.items.iloc[order].reset_index(drop=True))
        do(feature_runs(moved, features[order], name=name), tmp_path / f"{name}-work", config)
        table = pd.read_parquet(tmp_path / f"{name}-work" / "predictions.parquet")
        tables.append(table.sort_values(["neighbors", "id"]).reset_index(drop=True))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize(("ks", "said"), [((3, 5), "[3]"), ((5,), "[4]"), ((1, 200, 2), "[1,2]")])
def test_more_neighbors_than_training_items_are_refused(
    feature_runs: FeatureRuns, tmp_path: Path, ks: tuple[int, ...], said: str
) -> None:
    index = small_index([0, 1] * 4, ["train"] * 4 + ["test"] * 4)
    config = CONFIG.model_copy(update={"settings": KNN(num_clips=2, ks=ks, precision="fp32")})
    with pytest.raises(UserError) as error:
        do(feature_runs(index, np.ones((8, 2, 3))), tmp_path / "work", config)
    assert str(error.value) == (
        f"near: {max(ks)} neighbors cannot vote where there are 4 training items. "
        f"Try: --set 'evaluations.near.ks={said}'"
    )


def test_all_training_items_may_vote(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index([0, 1] * 4, ["train"] * 4 + ["test"] * 4)
    features = np.random.default_rng(0).normal(size=(8, 2, 3))
    config = CONFIG.model_copy(update={"settings": KNN(num_clips=2, ks=(4,), precision="fp32")})
    assert (
        do(feature_runs(index, features), tmp_path / "work", config)[0]["hyperparameters"]["neighbors"] == 4
    )


@pytest.mark.parametrize("wrong", [{"ks": ()}, {"ks": (0,)}, {"temperature": 0}])
def test_settings_without_a_vote_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KNN(**wrong)


GROWTH = """
import resource, sys, torch
from xdcbench.evaluation.knn import vote
from xdcbench.evaluation.retrieval import cosines, rank_gallery
queries, gallery = torch.randn(500, 8), torch.randn(240_000, 8)
classes = torch.arange(len(gallery)) % 400
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = used()
if sys.argv[1] == "vote":
    vote(cosines(queries, gallery), classes, ks=(1, 200), temperature=0.07)
else:
    rank_gallery(cosines(queries, gallery), classes[:500], classes)
print(used() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["vote", "rank"])
def test_memory_holds_a_block_and_not_all_scores(what: str) -> None:
    """All scores of 500 queries would take 458 MiB; a block of them takes 16."""
    done = subprocess.run([sys.executable, "-c", GROWTH, what], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 350
