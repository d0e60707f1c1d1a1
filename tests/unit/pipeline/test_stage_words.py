"""What a stage and its result are in words, from records and files written by hand."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from xdcbench.config.base import Config
from xdcbench.config.evaluation import LinearProbe
from xdcbench.config.pretraining import Clustering, Pretrain
from xdcbench.config.stages import EvaluationStage, FeaturesStage, IndexStage, RoundStage
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.stage_words import result_words, stage_title
from xdcbench.results.records import Record, write_records
from xdcbench.utils.documents import write_json
from xdcbench.utils.mapped_table import write_table

Maker = Callable[..., Record]

PROBE = EvaluationStage(name="probe", split="1", seed=0, settings=LinearProbe(modality="audio"))


def words(config: Config, run: Path, *records: Record) -> list[str]:
    if records:
        write_records(run, records)
    return result_words(Stage("linear_probe", "any", config), run)


@pytest.mark.parametrize(
    ("name", "seeds", "title"),
    [
        ("xdc/kinetics400/seed0/round2", False, "xdc · kinetics400 · round 2"),
        ("xdc/kinetics400/seed1/round12", True, "xdc · kinetics400 · seed 1 · round 12"),
        ("scratch/seed0/finetune/ucf101/1", False, "scratch · finetune · ucf101 · 1"),
        ("rounded/seedling", False, "rounded · seedling"),
        ("seed0", False, "seed0"),
    ],
)
def test_titles(name: str, seeds: bool, title: str) -> None:
    stage = cast("Stage", SimpleNamespace(name=name))
    assert stage_title(stage, seeds=seeds) == title


def test_a_round_tells_its_loss_beside_chance(make_record: Maker, tmp_path: Path) -> None:
    """Two heads of 16 classes: a uniform guess costs 2 ln 16 = 5.545."""
    config = RoundStage(
        method="xdc",
        clusterings={"a": Clustering(features=("audio",), k=16), "v": Clustering(features=("video",), k=16)},
        heads={"video": ("a",), "audio": ("v",)},
        encoders=("video", "audio"),
        round=3,
        seed=0,
        pretrain=Pretrain(),
    )
    of = {name: {"metric": "nmi_class", "hyperparameters": {"clustering": name}} for name in "av"}
    found = [
        make_record(**of["a"], value=0.141, unit=""),
        make_record(**of["v"], value=0.129, unit=""),
        make_record(metric="loss", value=5.514, unit=""),
    ]
    assert words(config, tmp_path, *found) == ["loss 5.51 (chance 5.55)", "NMI a 0.14, v 0.13"]
    learned = config.model_copy(update={"heads": {"video": ("earlier",)}})
    assert words(learned, tmp_path)[0] == "loss 5.51", "how many classes an earlier run has is not known here"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"value": 34.52, "outcomes": {"chance": 12.5}}], ["top-1 34.5 % (chance 12.5 %)"]),
        ([{"metric": "recall_at_1", "value": 50.0}, {"metric": "recall_at_5", "value": 90.0}], ["recall@1 50.0 %"]),
        ([{"metric": "cluster_accuracy", "value": 61.0}, {"metric": "nmi", "value": 0.5, "unit": ""}],
         ["cluster accuracy 61.0 %", "NMI 0.50"]),
        ([{"value": v, "hyperparameters": {"shots": s, "draw": d}} for v, s, d in
          [(40.0, "1", 0), (50.0, "1", 1), (80.0, "50%", 0), (90.0, "50%", 1)]],
         ["top-1 45.0 % (1), 85.0 % (50%)"]),
    ],
)  # fmt: skip
def test_an_evaluation_tells_its_first_metric(
    make_record: Maker, tmp_path: Path, rows: list[dict[str, Any]], told: list[str]
) -> None:
    assert words(PROBE, tmp_path, *(make_record(**row) for row in rows)) == told


def test_features_and_indexes_tell_their_size(tmp_path: Path) -> None:
    features = FeaturesStage(modality="audio", num_clips=2, precision="fp32")
    assert words(features, tmp_path) == []
    np.save(tmp_path / "features.npy", np.zeros((30, 2, 64), dtype=np.float32))
    write_json(tmp_path / "failed.json", {"x": "no audio"})
    assert words(features, tmp_path) == ["30 items, 2 clips each, 64 features, 1 unreadable"]
    index = IndexStage.model_construct(name="esc50")
    write_table(tmp_path / "items.arrow", pd.DataFrame({"id": ["a", "b"]}))
    write_json(tmp_path / "index.json", {"classes": ["dog"]})
    assert result_words(cast("Stage", SimpleNamespace(config=index)), tmp_path) == ["2 items, 1 classes"]


def test_nothing_is_told_of_what_has_no_numbers(tmp_path: Path) -> None:
    assert words(PROBE, tmp_path) == []
