"""Temporal probe: the frames that each variant reads, top-1 against scikit-learn, drops against SciPy."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from tests.unit.data.media.videos import numbered_frame
from tests.unit.data.shards.prepared import write_dataset
from tests.unit.evaluation.conftest import FeatureRuns
from tests.unit.tiny import DATASETS, make_index, small_index
from xdcbench.config.evaluation import PLAIN, Temporal
from xdcbench.config.load import load_suite
from xdcbench.config.models import PretrainedEncoders, VideoInput
from xdcbench.config.stages import EvaluationStage, FeaturesStage, IndexStage, PretrainedStage
from xdcbench.data import index_stage
from xdcbench.data.context import Context
from xdcbench.data.decoded import DecodedItems
from xdcbench.data.index import Index
from xdcbench.data.shards.reader import open_shards
from xdcbench.data.synthetic.encode import encode_video
from xdcbench.errors import UserError
from xdcbench.evaluation import features as features_stage
from xdcbench.evaluation import temporal
from xdcbench.evaluation.features import load_features
from xdcbench.pretraining.pretrained import run as keep_encoders
from xdcbench.utils.code import Consent

OWN = "tests.unit.evaluation.test_temporal"
TRUSTED = Consent(everything=True)
SETTINGS = Temporal(num_clips=2, C=0.5, precision="fp32")
CONFIG = EvaluationStage(name="motion", split="official", seed=3, settings=SETTINGS)
LABELS = np.arange(120) % 4
PARTS = ["train"] * 80 + ["test"] * 40
TRAIN, TEST = np.arange(80), np.arange(80, 120)


class FrameNumbers(nn.Module):
    """The numbers that the frames of a clip spell, in the order in which they come."""

    input = VideoInput(frames=8, size=48, fps=8, short_side=(48, 48), mean=(0, 0, 0), std=(1, 1, 1))
    features = 8

    powers: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("powers", 2.0 ** torch.arange(6))

    def forward(self, x: Tensor) -> Tensor:
        bars = x[:, 0, :, 12, 4::8] > 0.45
        return (bars * self.powers).sum(dim=2)


class MeanFrame(nn.Module):
    """The mean of all frames, which does not tell their order."""

    input = FrameNumbers.input
    features = 3 * 6 * 6

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(x.mean(dim=2), 6).flatten(1)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("modality=audio", "'evaluations.temporal.modality' = 'audio': input should be 'video'"),
        ("rates=[0]", "'evaluations.temporal.rates.0' = 0: input should be greater than 0"),
        ("rates=[-2]", "'evaluations.temporal.rates.0' = -2: input should be greater than 0"),
        ("rates=[0.5, 1]", "rates holds 1, which is the plain clip"),
        ("rates=[0.5, 0.5]", "orders or rates holds a value twice"),
        ("orders=[forward]", "'evaluations.temporal.orders.0' = 'forward'"),
        ("rates=[]", "orders and rates are both empty, so nothing is changed"),
    ],
)
def test_what_changes_nothing_or_cannot_be_read_is_refused(override: str, said: str) -> None:
    empty = "evaluations.temporal.orders=[]"
    with pytest.raises(UserError) as error:
        load_suite("smoke", overrides=[empty, f"evaluations.temporal.{override}"])
    assert said in str(error.value)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of one second in two classes, eight frames each; those of item n begin with number n."""
    root = tmp_path_factory.mktemp("numbered")
    for number in range(6):
        shown = [numbered_frame(number + i, width=48) for i in range(8)]
        content = encode_video(np.stack(shown), None, container="mp4", fps=8, sample_rate=16_000)
        part, name = ("train", "val")[number // 4], f"item{number:07d}_000000_000010.mp4"
        path = root / "kinetics400" / part / ("even", "odd")[number % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture(scope="module")
def places(numbered: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Context]]:
    """Run directories of an index, and what reads its files, its files kept decoded, and its shards."""
    folder, name = tmp_path_factory.mktemp("places"), "kinetics400"
    dataset, root = DATASETS[name], numbered / name
    data, context = make_index(folder / "index", numbered, name), Context("tests", consent=TRUSTED)
    mark = write_dataset(folder / "shards", root, name, dataset).fingerprint
    shards = open_shards(str(folder / "shards"))
    (folder / "of-shards").mkdir()
    config = IndexStage(name=name, dataset=dataset, fingerprint=mark)
    index_stage.run(config, {}, folder / "of-shards", Context("tests", roots={name: shards}))
    files = replace(context, roots={name: root})
    return {
        "files": (data, files),
        "decoded": (data, replace(files, decoded=DecodedItems(1 << 30))),
        "shards": (folder / "of-shards", replace(context, roots={name: shards})),
    }


def encoder(kind: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    given = PretrainedEncoders.model_validate({"video": {"source": f"{OWN}:{kind}"}})
    config = PretrainedStage(name="mine", encoders=given, fingerprint="f")
    keep_encoders(config, {}, folder, Context("tests", consent=TRUSTED))
    return folder


def extracted(encoders: Path, place: tuple[Path, Context], work: Path, **changes: Any) -> Path:
    work.mkdir()
    config = FeaturesStage(modality="video", precision="fp32", **{"num_clips": 1, **changes})
    features_stage.run(config, {"encoders": encoders, "data": place[0]}, work, place[1])
    return work


@pytest.mark.parametrize("kind", ["files", "decoded", "shards"])
def test_frames_of_each_variant_by_hand(
    places: dict[str, tuple[Path, Context]], tmp_path: Path, kind: str
) -> None:
    encoders, place = encoder("FrameNumbers", tmp_path / "encoders"), places[kind]
    first = [int(path.split("item")[1][:7]) for path in Index.load(place[0]).items["path"]]

    def shown(**changes: Any) -> list[list[int]]:
        found = load_features(extracted(encoders, place, tmp_path / str(changes), **changes))
        assert not found.failed
        return [(of[0] - number).astype(int).tolist() for of, number in zip(found.of, first, strict=True)]

    def everywhere(*frames: int) -> list[list[int]]:
        return [list(frames)] * 6

    assert shown() == everywhere(0, 1, 2, 3, 4, 5, 6, 7)
    assert shown(frame_order="reversed") == everywhere(7, 6, 5, 4, 3, 2, 1, 0)
    assert shown(frame_order="frozen") == everywhere(4, 4, 4, 4, 4, 4, 4, 4)
    assert shown(rate=2.0) == everywhere(2, 2, 3, 3, 4, 4, 5, 5), "half a second around the middle"
    assert shown(rate=0.5) == everywhere(0, 2, 4, 6, 7, 7, 7, 7), "two seconds of one: the last frame stays"
    one, same, other = (shown(frame_order="shuffled", **more) for more in ({}, {"seed": 0}, {"seed": 1}))
    assert one == same != other
    assert len({tuple(of) for of in one}) == 6, "an order for each item"
    assert all(sorted(of) == list(range(8)) for of in one + other)


def test_all_clips_of_an_item_have_one_order(places: dict[str, tuple[Path, Context]], tmp_path: Path) -> None:
    encoders, place = encoder("FrameNumbers", tmp_path / "encoders"), places["files"]
    of = load_features(extracted(encoders, place, tmp_path / "run", num_clips=3, frame_order="shuffled")).of
    assert (of == of[:, :1]).all()


def test_only_test_items_of_the_split_are_read(
    places: dict[str, tuple[Path, Context]], tmp_path: Path
) -> None:
    encoders, place = encoder("FrameNumbers", tmp_path / "encoders"), places["files"]
    found = load_features(extracted(encoders, place, tmp_path / "run", test_split="official"))
    index = Index.load(place[0])
    rows = np.arange(len(index.items))
    assert found.readable(rows).tolist() == index.listed("official", "test").tolist()
    assert len(found.readable(rows)) == 2


def test_an_encoder_that_averages_frames_loses_nothing_by_their_order(
    places: dict[str, tuple[Path, Context]], tmp_path: Path
) -> None:
    encoders, place = encoder("MeanFrame", tmp_path / "encoders"), places["files"]
    orders = ("reversed", "shuffled")
    inputs = {
        order: extracted(encoders, place, tmp_path / order, frame_order=order, test_split="official")
        for order in orders
    }
    inputs |= {"data": place[0], "features": extracted(encoders, place, tmp_path / "plain")}
    settings = Temporal(num_clips=1, orders=orders, rates=(), precision="fp32")
    records = do(inputs, tmp_path / "work", CONFIG.model_copy(update={"settings": settings}))
    drops = {r["hyperparameters"]["variant"]: r["value"] for r in records if r["metric"] == "top1_drop"}
    assert drops == {"reversed": 0.0, "shuffled": 0.0}


def do(inputs: dict[str, Path], work: Path, config: EvaluationStage = CONFIG) -> list[dict[str, Any]]:
    work.mkdir()
    temporal.run(config, inputs, work, Context("tests"))
    return list(json.loads((work / "records.json").read_text()))


def varied() -> dict[str, np.ndarray]:
    """Features (120, 2, 6) of plain clips, and of changed ones that tell less and less of the class."""
    rng = np.random.default_rng(0)
    names = (PLAIN, *SETTINGS.variants)
    return {
        name: 9 + np.eye(4, 6)[LABELS][:, None] * (2 - 0.3 * step) + rng.normal(size=(120, 2, 6))
        for step, name in enumerate(names)
    }


def inputs_of(
    feature_runs: FeatureRuns, index: Index, features: dict[str, np.ndarray], **failed: dict[int, str]
) -> dict[str, Path]:
    runs = {name: feature_runs(index, of, failed.get(name), name=name) for name, of in features.items()}
    return {**runs[PLAIN], **{name: runs[name]["features"] for name in SETTINGS.variants}}


def predictions(work: Path) -> dict[str, pd.DataFrame]:
    table = pd.read_parquet(work / "predictions.parquet")
    return {str(name): of.reset_index(drop=True) for name, of in table.groupby("variant")}


def test_each_variant_is_scored_by_scikit_learns_probe_of_plain_clips(
    feature_runs: FeatureRuns, tmp_path: Path
) -> None:
    features, index = varied(), small_index(LABELS.tolist(), PARTS)
    records = do(inputs_of(feature_runs, index, features), tmp_path / "work")
    learned = features[PLAIN].astype(np.float32)[TRAIN].reshape(160, 6)
    scale = StandardScaler().fit(learned)
    model = LogisticRegression(C=0.5, max_iter=1000).fit(scale.transform(learned), LABELS[TRAIN].repeat(2))
    found = predictions(tmp_path / "work")
    top1 = {r["hyperparameters"]["variant"]: r for r in records if r["metric"] == "top1"}
    assert list(top1) == [PLAIN, "reversed", "shuffled", "frozen", "rate-0.5", "rate-2"]
    for name, of in features.items():
        clips = scale.transform(of.astype(np.float32)[TEST].reshape(80, 6))
        expected = model.predict_proba(clips).reshape(40, 2, 4).mean(axis=1).argmax(axis=1)
        assert found[name]["prediction"].tolist() == expected.tolist()
        record = top1[name]
        assert record["value"] == pytest.approx(100 * np.mean(expected == LABELS[TEST]))
        assert record["outcomes"]["converged"] and record["outcomes"]["chance"] == 25.0
        assert (record["items_expected"], record["items_used"], record["train_items_used"]) == (40, 40, 80)


def test_drops_are_paired(feature_runs: FeatureRuns, tmp_path: Path) -> None:
    index = small_index(LABELS.tolist(), PARTS)
    records = do(inputs_of(feature_runs, index, varied()), tmp_path / "work")
    right = {
        n: (of["prediction"] == of["label"]).to_numpy() for n, of in predictions(tmp_path / "work").items()
    }
    drops = [record for record in records if record["metric"] == "top1_drop"]
    assert [r["hyperparameters"]["variant"] for r in drops] == list(SETTINGS.variants)
    for record in drops:
        changed, outcomes = right[record["hyperparameters"]["variant"]], record["outcomes"]
        lost, won = int((right[PLAIN] & ~changed).sum()), int((~right[PLAIN] & changed).sum())
        assert record["value"] == pytest.approx(100 * (lost - won) / 40)
        assert (outcomes["right_alone"], outcomes["wrong_alone"], outcomes["groups"]) == (lost, won, 40)
        assert outcomes["p"] == pytest.approx(binomtest(won, won + lost).pvalue)
        low, high = outcomes["interval"]
        assert low < record["value"] < high and record["unit"] == "%"
    assert drops[-1]["value"] > drops[0]["value"]


def test_an_item_that_one_variant_cannot_read_is_left_out_of_all(
    feature_runs: FeatureRuns, tmp_path: Path
) -> None:
    features, index = varied(), small_index(LABELS.tolist(), PARTS)
    for name in SETTINGS.variants:
        features[name][TRAIN] = np.nan  # not read
    features["reversed"][90] = np.nan
    records = do(inputs_of(feature_runs, index, features, reversed={90: "torn"}), tmp_path / "work")
    kept = [f"item{i:02d}" for i in TEST if i != 90]
    assert all(of["id"].tolist() == kept for of in predictions(tmp_path / "work").values())
    for record in records:
        assert [record[f"items_{name}"] for name in ("expected", "used", "failed")] == [40, 39, 1]
        assert record["failed_items"] == ["item90"]


def test_a_split_whose_test_items_no_variant_can_read_is_refused(
    feature_runs: FeatureRuns, tmp_path: Path
) -> None:
    index = small_index(LABELS.tolist(), PARTS)
    half = {
        name: dict.fromkeys(TEST[at::2].tolist(), "torn") for at, name in enumerate(("reversed", "frozen"))
    }
    with pytest.raises(UserError, match="no readable test item with a video track"):
        do(inputs_of(feature_runs, index, varied(), **half), tmp_path / "work")
