from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.pipeline.costs.test_sizes import dataset
from tests.unit.tiny import small_index
from xdcbench.config.data import ShardSettings
from xdcbench.config.evaluation import Finetune, Sweep
from xdcbench.config.models import Models, PretrainedEncoders, PretrainedVideo, VideoModel
from xdcbench.config.pretraining import Clustering, Pretrain, Schedule
from xdcbench.config.stages import (
    EvaluationStage,
    FeaturesStage,
    IndexStage,
    InitStage,
    PretrainedStage,
    RoundStage,
    ShardsStage,
)
from xdcbench.models.encoders import save_encoders
from xdcbench.models.weights import build_encoder
from xdcbench.pipeline.costs.flops import FLOAT, forward_flop, training_flop, weight_bytes
from xdcbench.pipeline.costs.rates import RATES, Rates
from xdcbench.pipeline.costs.sizes import PARTS, TRACKS, Sizes
from xdcbench.pipeline.costs.work import ASSIGNMENT, Work, Works, seconds, total
from xdcbench.pipeline.graph import Stage
from xdcbench.pretraining.pseudo_labels import PseudoLabels, write_clusters

MODELS = Models()
SIZES = Sizes(
    "index",
    {("official", part, tracks): n for part, n in zip(PARTS, (1000, 200), strict=True) for tracks in TRACKS},
    {tracks: 1200 for tracks in TRACKS},
    1300,
)
INDEX = Stage("index", "index/k", IndexStage(name="kinetics400", dataset=dataset("kinetics400")))
INIT = Stage("init", "init/seed0", InitStage(models=MODELS, seed=0))
PRETRAIN = Pretrain(clips_per_epoch=None, val_fraction=0.05, schedule=Schedule(epochs=3), kmeans_max_iter=20)


def round_of(
    sources: dict[str, tuple[str, ...]], clustered: dict[str, Clustering], **settings: object
) -> Stage:
    config = RoundStage(
        method="m",
        clusterings=clustered,
        heads=sources,  # type: ignore[arg-type]
        encoders=("video", "audio"),
        round=1,
        seed=0,
        pretrain=PRETRAIN.model_copy(update=settings),
    )
    return Stage("round", "m/k/seed0/round1", config, (("encoders", INIT), ("data", INDEX)))


XDC = round_of(
    {"video": ("a",), "audio": ("v",)},
    {"a": Clustering(features=("audio",), k=128), "v": Clustering(features=("video",), k=64)},
)


def work(stage: Stage, sizes: Sizes | None = SIZES) -> Work:
    return Works(lambda _: sizes).of(stage)


def test_a_round_of_xdc_by_hand() -> None:
    found = work(XDC)
    trained, held = 950 * 3, 50 * 3
    assert found.clips["train video"] == found.clips["train audio"] == trained
    assert found.clips["encode video"] == 1000 + held
    assert found.clips["read audio"] == 1000 + trained + held
    assert found.flop["train video"] == trained * training_flop(MODELS.video)
    assert found.flop["encode audio"] == (1000 + held) * forward_flop(MODELS.audio)
    assert found.flop["cluster"] == 2 * 1000 * 512 * (128 + 64) * 21
    weights = weight_bytes(MODELS.video) + weight_bytes(MODELS.audio)
    assert found.written == weights + (ASSIGNMENT + 2 * FLOAT) * 1000


def test_an_epoch_of_stated_clips_does_not_depend_on_the_items() -> None:
    config = XDC.config
    assert isinstance(config, RoundStage)
    found = work(round_of(dict(config.heads), dict(config.clusterings), clips_per_epoch=77))
    assert found.clips["train video"] == 77 * 3


def test_a_supervised_round_neither_clusters_nor_encodes_but_for_validation() -> None:
    found = work(round_of({"video": ("labels",)}, {}))
    assert found.flop["cluster"] == 0
    assert found.clips["encode video"] == 50 * 3
    assert found.clips["train audio"] == 0
    assert found.clips["read audio"] == found.clips["read video"], "its clips are read with their audio"


def test_features_are_of_all_items_and_kept_for_each_row_of_the_index() -> None:
    config = FeaturesStage(modality="video", num_clips=10, frames=32, precision="fp32")
    found = work(Stage("features", "f", config, (("encoders", XDC), ("data", INDEX))))
    assert found.clips["encode video"] == 12_000
    longer = MODELS.video.model_copy(update={"input": MODELS.video.input.model_copy(update={"frames": 32})})
    assert found.flop["encode video"] == 12_000 * forward_flop(longer)
    assert found.written == np.zeros((1300, 10, 512), dtype=np.float32).nbytes


def test_changed_clips_are_read_of_test_items_alone() -> None:
    config = FeaturesStage(modality="video", num_clips=10, rate=2.0, test_split="official", precision="fp32")
    stage = Stage("features", "f", config, (("encoders", XDC), ("data", INDEX)))
    assert work(stage).clips["encode video"] == work(stage).clips["read video"] == 2000
    assert work(stage, replace(SIZES, parts={})).unknown


def test_finetuning_trains_on_the_split_and_scores_the_clips_of_its_test_items() -> None:
    def finetune(**changes: object) -> Work:
        settings = Finetune(schedule=Schedule(epochs=4), num_clips=10).model_copy(update=changes)
        config = EvaluationStage(name="finetune", split="official", seed=0, settings=settings)
        return work(Stage("finetune", "f", config, (("encoders", INIT), ("data", INDEX))))

    assert finetune().clips == {"read video": 6000, "train video": 4000, "encode video": 2000}
    chosen = finetune(selection="val-best", val_fraction=0.1)
    assert chosen.clips == {"read video": 9600, "train video": 3600, "encode video": 6000}
    swept = finetune(sweep=Sweep(lr=(0.1, 0.01)), val_fraction=0.1)
    assert swept.clips == {"read video": 15_200, "train video": 11_200, "encode video": 4000}


def test_items_are_prepared_once_and_their_clips_read_from_shards() -> None:
    shards = Stage(
        "shards",
        "shards/kinetics400",
        ShardsStage(name="kinetics400", dataset=dataset("kinetics400"), settings=ShardSettings()),
    )
    found = work(shards)
    assert found.clips == {"prepare": SIZES.rows}
    assert found.written == SIZES.rows * 10 * 86_000
    assert "items of kinetics400" in " ".join(work(shards, None).unknown)
    index = replace(INDEX, inputs=(("shards", shards),))
    config = FeaturesStage(modality="video", num_clips=2, precision="fp32")
    reading = work(Stage("features", "f", config, (("encoders", INIT), ("data", index))))
    assert reading.clips == {"read prepared video": 2400, "encode video": 2400}


@pytest.mark.parametrize("stage", [XDC], ids=["round"])
def test_an_unknown_size_is_named_and_never_guessed(stage: Stage) -> None:
    found = work(stage, None)
    assert not found.clips and not found.flop
    assert "items of kinetics400" in " ".join(found.unknown)


def test_arithmetic_of_encoders_from_elsewhere_is_named_as_unknown() -> None:
    given = PretrainedEncoders(video=PretrainedVideo(source="torchvision:r3d_18"))
    encoder = Stage("pretrained", "g", PretrainedStage(name="g", encoders=given, fingerprint="f"))
    config = FeaturesStage(modality="video", num_clips=2, precision="fp32")
    found = work(Stage("features", "f", config, (("encoders", encoder), ("data", INDEX))))
    assert found.clips["encode video"] == 2400
    assert not found.flop and "video encoders" in " ".join(found.unknown)


def test_works_add_up() -> None:
    one = work(XDC)
    assert total([one, one]).flop == Counter({name: 2 * flop for name, flop in one.flop.items()})
    assert total([one, one]).written == 2 * one.written


def rates(**per_second: float) -> Rates:
    named = {name.replace("_", " "): value for name, value in per_second.items()}
    return Rates(machine="m", precision="fp32", models=MODELS, per_second=dict.fromkeys(RATES, 1e18) | named)


def test_reading_runs_beside_computing_only_where_processes_do_it() -> None:
    job = Work(Counter({"read video": 100}), Counter({"train video": 300}))
    speed = rates(read_video=10, train_video=100)
    assert seconds(job, speed, 0) == pytest.approx(13)
    assert seconds(job, speed, 1) == pytest.approx(10)
    assert seconds(job, speed, 5) == pytest.approx(3)


# ------------------------------------------------------------------ what the package itself writes and reads


def test_bytes_of_weights_are_those_of_the_files(tmp_path: Path) -> None:
    from xdcbench.models.encoders import EncoderMetadata

    model = VideoModel(width=16)
    save_encoders(
        tmp_path,
        {"video": build_encoder(model, seed=0)},
        EncoderMetadata(seed=0, config_hash="r", models=MODELS),
    )
    assert (tmp_path / "video.safetensors").stat().st_size == pytest.approx(weight_bytes(model), rel=0.02)


def identifiers(count: int) -> Iterable[str]:
    rng = np.random.default_rng(0)
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
    return ("".join(row) for row in rng.choice(letters, (count, 11)))


def test_bytes_of_assignments_are_those_of_the_file(tmp_path: Path) -> None:
    count, rng = 50_000, np.random.default_rng(0)
    index = small_index([0] * 10, ["train"] * 10)
    items = index.items.sample(count, replace=True, random_state=0).assign(id=list(identifiers(count)))
    object.__setattr__(index, "items", items)
    labels = {"a": rng.integers(0, 128, count), "v": rng.integers(0, 64, count)}
    distances = {name: rng.random(count).astype(np.float32) for name in labels}
    write_clusters(tmp_path, index, PseudoLabels(labels, {"a": 128, "v": 64}, {}, {}), distances)
    size = (tmp_path / "assignments.parquet").stat().st_size
    assert size / count == pytest.approx(ASSIGNMENT + 2 * FLOAT, rel=0.15)
