"""Stores that hold less than an encoder takes are refused when planning, and only those."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.data.prepared.stores import write_store
from tests.unit.tiny import DATASETS
from xdcbench.data.prepared.fit import check_fit
from xdcbench.data.prepared.layout import Settings, read_label
from xdcbench.data.prepared.reader import open_store
from xdcbench.errors import UserError
from xdcbench.schema import AudioInput, Clustering, Given, Modality, Models, Pretrain, VideoInput
from xdcbench.stages import FeaturesStage, GivenStage, IndexStage, InitStage, RoundStage, Stage


@pytest.fixture(scope="module")
def folder(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "kinetics400"
    settings = Settings(short_side=24, rate=8, sound_rate=16_000)
    write_store(folder, world / "kinetics400", "kinetics400", DATASETS["kinetics400"], settings=settings)
    return folder


def encoder(video: dict[str, Any], audio: dict[str, Any], *, kind: str = "init") -> Stage:
    inputs = {"video": {"input": VideoInput(**video)}, "audio": {"input": AudioInput(**audio)}}
    if kind == "given":
        given = Given(**{modality: {"model": part} for modality, part in inputs.items()})
        return Stage("given", "mine", GivenStage(name="mine", given=given, fingerprint="f"))
    return Stage("init", "init/seed0", InitStage(models=Models(**inputs), seed=0))


DATA = Stage("index", "index/kinetics400", IndexStage(name="kinetics400", dataset=DATASETS["kinetics400"]))


def features(of: Stage, modality: Modality) -> Stage:
    config = FeaturesStage(modality=modality, clips=1, precision="fp32")
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


SMALL = {"size": 16, "short_side": (16, 24), "rate": 8}


@pytest.mark.parametrize("kind", ["init", "given"])
@pytest.mark.parametrize(
    ("change", "held", "mend"),
    [
        (
            {"short_side": (16, 25)},
            "a short side of 24 pixels, an encoder takes up to 25 pixels",
            "--short-side 26",
        ),
        ({"rate": 8.5}, "8 frames per second, an encoder takes 8.5 frames per second", "--rate 8.5"),
    ],
)
def test_more_pixels_or_frames_are_refused_with_the_mend(
    folder: Path, kind: str, change: dict[str, Any], held: str, mend: str
) -> None:
    stores = {"kinetics400": open_store(str(folder))}
    check_fit([features(encoder(SMALL, {}, kind=kind), "video")], stores)
    greedy = encoder(SMALL | change, {}, kind=kind)
    with pytest.raises(
        UserError, match=f"store {folder} of kinetics400 holds {held}; prepare another with {mend},"
    ):
        check_fit([features(greedy, "video")], stores)
    check_fit([features(greedy, "audio")], stores)
    check_fit([features(greedy, "video")], {})
    with pytest.raises(UserError, match=held):
        check_fit([features(learned(encoder(SMALL | change, {})), "video")], stores)


def test_a_higher_sampling_rate_is_refused_in_pretraining_too(folder: Path) -> None:
    stores = {"kinetics400": open_store(str(folder))}
    check_fit([learned(encoder(SMALL, {}))], stores)
    greedy = encoder(SMALL, {"rate": 22_050})
    for stage in (learned(greedy), features(greedy, "audio")):
        with pytest.raises(
            UserError, match=r"sound of 16000 Hz, an encoder takes 22050 Hz; .* --sound-rate 22050"
        ):
            check_fit([stage], stores)


def test_originals_that_were_smaller_and_slower_than_the_store_are_no_reason(
    folder: Path, tmp_path: Path
) -> None:
    items = pd.read_parquet(folder / "items.parquet").assign(width=20, height=22, rate=7.5)
    small = Path(shutil.copytree(folder, tmp_path / "small"))
    items.to_parquet(small / "items.parquet", index=False)
    label = read_label(small)
    mark = hashlib.sha256((small / "items.parquet").read_bytes()).hexdigest()
    label.model_copy(update={"items_sha256": mark}).save(small)
    stores = {"kinetics400": open_store(str(small))}
    check_fit([features(encoder(SMALL | {"short_side": (16, 160), "rate": 30}, {}), "video")], stores)
