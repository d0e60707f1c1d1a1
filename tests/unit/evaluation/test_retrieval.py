"""Retrieval: against sorting by hand and scikit-learn, ties, and the whole stage."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom
from sklearn.neighbors import NearestNeighbors
from torch.nn.functional import normalize

from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import small_index
from xdcbench.config.evaluation import Retrieval
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.evaluation import retrieval
from xdcbench.evaluation.retrieval import cosines, rank_gallery

CONFIG = EvaluationStage(
    name="retrieval", split="official", seed=0, settings=Retrieval(num_clips=2, ks=(1, 3), precision="fp32")
)


def sorted_by_hand(
    scores: list[list[float]], queries: list[int], gallery: list[int]
) -> list[tuple[int, int]]:
    """Nearest item and rank of the first right one, per query, of a stable sort."""
    found = []
    for row, label in zip(scores, queries, strict=True):
        order = sorted(range(len(gallery)), key=lambda item, row=row: -row[item])
        right = [place for place, item in enumerate(order, 1) if gallery[item] == label]
        found.append((order[0], right[0] if right else len(gallery) + 1))
    return found


@given(data=st.data(), chunk=st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_ranks_are_those_of_a_stable_sort(data: st.DataObject, chunk: int) -> None:
    n, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 8))
    score = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 0.5, 2.0])  # ties are the rule here
    scores = data.draw(st.lists(st.lists(score, min_size=m, max_size=m), min_size=n, max_size=n))
    queries = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    gallery = data.draw(st.lists(st.integers(0, 2), min_size=m, max_size=m))  # class 3 is in no gallery
    found = rank_gallery(torch.tensor(scores).split(chunk), torch.tensor(queries), torch.tensor(gallery))
    expected = sorted_by_hand(scores, queries, gallery)
    assert list(zip(found.nearest.tolist(), found.rank.tolist(), strict=True)) == expected


def test_recall_is_that_of_scikit_learns_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels, others = rng.integers(12, size=150), rng.integers(12, size=400)
    centers = rng.normal(size=(12, 16))
    x, y = (centers[of] + 2 * rng.normal(size=(len(of), 16)) for of in (labels, others))
    unit = [normalize(torch.from_numpy(of.astype(np.float32)), dim=1) for of in (x, y)]
    monkeypatch.setattr(retrieval, "BUDGET", 7 * 400)
    chunks = list(cosines(*unit))
    assert [len(chunk) for chunk in chunks] == [7] * 21 + [3]
    found = rank_gallery(chunks, torch.from_numpy(labels), torch.from_numpy(others))
    near = NearestNeighbors(n_neighbors=20, metric="cosine", algorithm="brute").fit(y).kneighbors(x)[1]
    assert found.nearest.tolist() == near[:, 0].tolist()
    for k in (1, 5, 10, 20):
        hits = (others[near[:, :k]] == labels[:, None]).any(axis=1)
        assert found.recall(k) == pytest.approx(100 * hits.mean())
    assert 10 < found.recall(1) < found.recall(20) <= 100


def test_scores_that_do_not_fit_are_refused() -> None:
    queries, gallery = torch.tensor([0, 1, 0]), torch.tensor([0, 1])
    scores = torch.tensor([[0.1, 0.2], [0.3, 0.1], [0.5, float("nan")]])
    with pytest.raises(ValueError, match="a score of query 2 is NaN"):
        rank_gallery(scores.split(2), queries, gallery)
    with pytest.raises(ValueError, match="2 rows of scores for 3 queries"):
        rank_gallery([scores[:2]], queries, gallery)


def do(inputs: dict[str, Path], work: Path, config: EvaluationStage = CONFIG) -> dict[str, dict[str, Any]]:
    work.mkdir()
    retrieval.run(config, inputs, work, Context("tests"))
    return {record["metric"]: record for record in json.loads((work / "records.json").read_text())}


def test_the_stage_by_hand(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    # Four training items at 0, 40, 100 and 180 degrees; the mean of a test item's two clips gives its angle.
    angles = np.radians([0, 40, 100, 180, 10, 70, 30, 0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None].repeat(2, axis=1)
    features[5] = [[np.cos(0.0), 0.0], [np.cos(0.0) * -0.5, 2.0]]  # mean (0.25, 1): 76 degrees
    features[7] = np.nan
    index = small_index([0, 1, 1, 0, 0, 0, 1, 1], ["train"] * 4 + ["test"] * 4)
    index = replace(index, max_failed=0.5)
    records = do(feature_runs(index, 3 * features, {7: "torn"}), tmp_path / "work")
    table = pd.read_parquet(tmp_path / "work" / "predictions.parquet")
    assert table.drop(columns="group").to_dict("list") == {
        "id": ["item04", "item05", "item06"],
        "label": [0, 0, 1],
        "prediction": [0, 1, 1],
        "rank": [1, 3, 1],
        "nearest": ["item00", "item02", "item01"],
    }
    assert records.keys() == {"recall_at_1", "recall_at_3"}
    assert records["recall_at_1"]["value"] == pytest.approx(200 / 3)
    assert records["recall_at_3"]["value"] == 100.0
    # Two of the four are of each query's class: three of them cannot all be of the other.
    assert [records[f"recall_at_{k}"]["outcomes"] for k in (1, 3)] == [{"chance": 50.0}, {"chance": 100.0}]
    assert [records["recall_at_1"][f"items_{n}"] for n in ("expected", "used", "failed")] == [4, 3, 1]
    assert records["recall_at_1"]["unit"] == "%" and records["recall_at_1"]["higher_is_better"]


def test_equal_features_find_what_chance_finds(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    labels = [label for label in range(10) for _ in range(30)]  # class after class, as an index has them
    index = small_index(labels, ["train"] * 300)
    index = replace(index, items=index.items.assign(**{"split:official": (["train"] * 2 + ["test"]) * 100}))
    config = CONFIG.model_copy(update={"settings": Retrieval(num_clips=1, ks=(1, 5, 20), precision="fp32")})
    records = do(feature_runs(index, np.ones((300, 1, 4))), tmp_path / "work", config)
    assert records["recall_at_1"]["value"] == pytest.approx(10)
    for k in (1, 5, 20):
        # 20 of the 200 training items are of each class.
        chance = records[f"recall_at_{k}"]["outcomes"]["chance"]
        assert chance == pytest.approx(100 * hypergeom.sf(0, 200, 20, k))
    for k in (5, 20):
        assert records[f"recall_at_{k}"]["value"] == pytest.approx(100 * (1 - 0.9**k), abs=15)


def test_a_result_does_not_depend_on_the_order_of_items(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    features = rng.integers(1, 3, size=(40, 1, 2)).astype(float)  # many ties
    index = small_index((np.arange(40) % 4).tolist(), ["train"] * 24 + ["test"] * 16)
    tables = []
    for name, order in (("one", np.arange(40)), ("other", rng.permutation(40))):
        moved = replace(index, items=index.items.iloc[order].reset_index(drop=True))
        do(feature_runs(moved, features[order], name=name), tmp_path / f"{name}-work")
        table = pd.read_parquet(tmp_path / f"{name}-work" / "predictions.parquet")
        tables.append(table.sort_values("id").reset_index(drop=True))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("row", [0, 7])
@pytest.mark.parametrize(("value", "words"), [(0.0, "is zero or not finite"), (np.nan, "are not finite")])
def test_an_item_without_direction_is_named(
    feature_runs: FeatureRuns, tmp_path: Path, row: int, value: float, words: str
) -> None:
    features = np.random.default_rng(0).normal(size=(8, 2, 3))
    features[row] = value
    index = small_index([0, 1] * 4, ["train"] * 4 + ["test"] * 4)
    with pytest.raises(UserError, match=rf"toy: .* item 'item0{row}' {words}"):
        do(feature_runs(index, features), tmp_path / "work")


def test_a_depth_that_says_nothing_is_refused(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index([0, 1] * 4, ["train"] * 3 + ["test"] * 5)
    with pytest.raises(
        UserError, match="recall at 3 of 3 training items says nothing; give `ks` from 1 to 2"
    ):
        do(feature_runs(index, np.ones((8, 2, 3))), tmp_path / "work")
