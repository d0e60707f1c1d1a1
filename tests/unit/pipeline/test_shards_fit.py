"""Shards that hold less than an encoder takes are refused when planning, and only those."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.data.shards.prepared import write_dataset
from tests.unit.tiny import DATASETS
from xdcbench.config.base import Modality
from xdcbench.config.data import ShardSettings
from xdcbench.config.models import AudioInput, Models, PretrainedEncoders, VideoInput, Waveform
from xdcbench.config.pretraining import Clustering, Pretrain
from xdcbench.config.stages import FeaturesStage, IndexStage, InitStage, PretrainedStage, RoundStage
from xdcbench.data.shards.layout import read_manifest
from xdcbench.data.shards.reader import open_shards
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.shards_fit import check_fit


@pytest.fixture(scope="module")
def folder(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "kinetics400"
    settings = ShardSettings(short_side=24, fps=8, sample_rate=16_000)
    write_dataset(folder, world / "kinetics400", "kinetics400", DATASETS["kinetics400"], settings=settings)
    return folder


def encoder(video: dict[str, Any], audio: dict[str, Any], *, kind: str = "init") -> Stage:
    inputs = {"video": {"input": VideoInput(**video)}, "audio": {"input": AudioInput(**audio)}}
    if kind == "pretrained":
        given = PretrainedEncoders(**{modality: {"model": part} for modality, part in inputs.items()})
        return Stage("pretrained", "mine", PretrainedStage(name="mine", encoders=given, fingerprint="f"))
    return Stage("init", "init/seed0", InitStage(models=Models(**inputs), seed=0))


DATA = Stage("index", "index/kinetics400", IndexStage(name="kinetics400", dataset=DATASETS["kinetics400"]))


def features(of: Stage, modality: Modality) -> Stage:
    config = FeaturesStage(modality=modality, num_clips=1, precision="fp32")
    return Stage("features", "features", config, (("encoders", of), ("data", DATA)))


def learned(of: Stage) -> Stage:
    config = RoundStage(
        method="xdc",
        clusterings={"a": Clustering(features=("audio",), k=2)},
        heads={"video": ("a",)},
        encoders=("video", "audio"),
        round=1,
        seed=0,
        pretrain=Pretrain(precision="fp32"),
    )
    return Stage("round", "round1", config, (("encoders", of), ("data", DATA)))


SMALL = {"size": 16, "short_side": (16, 24), "fps": 8}


@pytest.mark.parametrize("kind", ["init", "pretrained"])
@pytest.mark.parametrize(
    ("change", "held", "mend"),
    [
        (
            {"short_side": (16, 25)},
            "a short side of 24 pixels, an encoder takes up to 25 pixels",
            "--short-side 26",
        ),
        ({"fps": 8.5}, "8 frames per second, an encoder takes 8.5 frames per second", "--fps 8.5"),
    ],
)
def test_more_pixels_or_frames_are_refused_with_the_mend(
    folder: Path, kind: str, change: dict[str, Any], held: str, mend: str
) -> None:
    shards = {"kinetics400": open_shards(str(folder))}
    check_fit([features(encoder(SMALL, {}, kind=kind), "video")], shards)
    greedy = encoder(SMALL | change, {}, kind=kind)
    with pytest.raises(
        UserError, match=f"shards {folder} of kinetics400 hold {held}; prepare others with {mend},"
    ):
        check_fit([features(greedy, "video")], shards)
    check_fit([features(greedy, "audio")], shards)
    check_fit([features(greedy, "video")], {})
    with pytest.raises(UserError, match=held):
        check_fit([features(learned(encoder(SMALL | change, {})), "video")], shards)


def test_clips_that_are_read_faster_need_shards_of_that_rate(folder: Path) -> None:
    shards = {"kinetics400": open_shards(str(folder))}
    plain = features(encoder(SMALL, {}), "video")
    slow, fast = (
        replace(plain, config=plain.config.model_copy(update={"rate": rate})) for rate in (0.5, 2.0)
    )
    check_fit([plain, slow], shards)
    with pytest.raises(UserError, match=r"8 frames per second, an encoder takes 16 .* --fps 16,"):
        check_fit([fast], shards)


def test_a_higher_sampling_rate_is_refused_in_pretraining_too(folder: Path) -> None:
    shards = {"kinetics400": open_shards(str(folder))}
    check_fit([learned(encoder(SMALL, {}))], shards)
    greedy = encoder(SMALL, {"sample_rate": 22_050})
    for stage in (learned(greedy), features(greedy, "audio")):
        with pytest.raises(
            UserError, match=r"audio of 16000 Hz, an encoder takes 22050 Hz; .* --sample-rate 22050"
        ):
            check_fit([stage], shards)


@pytest.mark.parametrize("declared", [AudioInput, Waveform])
def test_the_rate_that_code_of_others_was_found_to_declare_counts(
    folder: Path, declared: type[AudioInput] | type[Waveform]
) -> None:
    shards = {"kinetics400": open_shards(str(folder))}
    given = PretrainedEncoders.model_validate({"audio": {"source": "my_encoder:Raw"}})
    mine = Stage("pretrained", "mine", PretrainedStage(name="mine", encoders=given, fingerprint="f"))

    def fits(rate: int) -> None:
        inputs = {"audio": declared(sample_rate=rate, seconds=1.0)}
        check_fit([features(mine, "audio")], shards, {"mine": Origin(("audio",), inputs=inputs)})

    fits(16_000)
    with pytest.raises(
        UserError, match=r"audio of 16000 Hz, an encoder takes 24000 Hz; .* --sample-rate 24000"
    ):
        fits(24_000)


def test_originals_that_were_smaller_and_slower_than_the_shards_are_no_reason(
    folder: Path, tmp_path: Path
) -> None:
    items = pd.read_parquet(folder / "items.parquet").assign(width=20, height=22, fps=7.5)
    small = Path(shutil.copytree(folder, tmp_path / "small"))
    items.to_parquet(small / "items.parquet", index=False)
    label = read_manifest(small)
    mark = hashlib.sha256((small / "items.parquet").read_bytes()).hexdigest()
    label.model_copy(update={"items_sha256": mark}).save(small)
    shards = {"kinetics400": open_shards(str(small))}
    check_fit([features(encoder(SMALL | {"short_side": (16, 160), "fps": 30}, {}), "video")], shards)
