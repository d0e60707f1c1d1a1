"""Room on the disk: by hand, against what lies there, and before a stage begins."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.pipeline.costs.test_work import INDEX, INIT, MODELS, SIZES, XDC, round_of
from xdcbench.config.data import World
from xdcbench.config.evaluation import Finetune, LinearProbe
from xdcbench.config.pretraining import Clustering
from xdcbench.config.stages import EvaluationStage, FeaturesStage, WorldStage
from xdcbench.data.context import Context
from xdcbench.pipeline.building import run_stage
from xdcbench.pipeline.costs import disk
from xdcbench.pipeline.costs.disk import CHECKPOINT, need, peak_line, require_space, scratch
from xdcbench.pipeline.costs.flops import weight_bytes
from xdcbench.pipeline.costs.sizes import Sizes
from xdcbench.pipeline.costs.work import Works
from xdcbench.pipeline.graph import Stage
from xdcbench.results.run_store import RunStore

BOTH = weight_bytes(MODELS.video) + weight_bytes(MODELS.audio)
N, D, FLOAT = 1000, 512, 4


def works(sizes: Sizes | None = SIZES) -> Works:
    return Works(lambda _: sizes)


def test_a_round_needs_checkpoints_and_features_beside_what_it_leaves() -> None:
    assert scratch(XDC, works(), checkpoints=2) == 2 * CHECKPOINT * BOTH + FLOAT * N * 2 * 2 * D
    assert need(XDC, works(), checkpoints=2) == works().of(XDC).written + scratch(XDC, works(), checkpoints=2)


def test_joined_and_preprocessed_features_are_matrices_of_their_own() -> None:
    joint = {"joint": Clustering(features=("video", "audio"), k=3)}
    heads = {"video": ("joint",)}
    video = CHECKPOINT * weight_bytes(MODELS.video)
    plain, whitened = round_of(heads, joint), round_of(heads, joint, preprocess="l2")
    assert scratch(plain, works(), checkpoints=1) == video + FLOAT * N * (2 * 2 * D + 2 * D)
    assert scratch(whitened, works(), checkpoints=1) == video + FLOAT * N * (2 * 2 * D + 4 * D)


def test_other_kinds_by_hand() -> None:
    inputs = (("encoders", INIT), ("data", INDEX))
    features = Stage("features", "f", FeaturesStage(modality="audio", num_clips=10, precision="fp32"), inputs)
    assert need(features, works(), checkpoints=2) == 2 * 1300 * 10 * D * FLOAT
    for settings, more in ((Finetune(), 6 * weight_bytes(MODELS.video)), (LinearProbe(), 0)):
        config = EvaluationStage(name="e", split="official", seed=0, settings=settings)
        stage = Stage(settings.kind, "e", config, inputs)
        assert need(stage, works(), checkpoints=2) == 200 * disk.SCORED + more


def test_what_cannot_be_counted_is_not_guessed() -> None:
    assert need(XDC, works(None), checkpoints=2) is None
    assert need(Stage("world", "world", WorldStage(world=World())), works(), checkpoints=2) is None


def drive(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_a_stage_that_does_not_fit_fails_before_it_begins_and_room_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = RunStore(tmp_path / "results")
    drive(monkeypatch, BOTH - 1)
    outcome = run_stage(INIT, store, Context("tests"))
    assert outcome.status == "failed"
    for word in (f"{BOTH:,} bytes", str(store.runs), "xdcbench prune", "--results"):
        assert word in outcome.detail
    assert not list(store.work(INIT.key).glob("*.safetensors"))
    drive(monkeypatch, BOTH)
    caplog.clear()
    with caplog.at_level(logging.INFO, "xdcbench"):
        require_space(INIT, store, checkpoints=2)
    assert not caplog.messages
    with caplog.at_level(logging.DEBUG, "xdcbench"):
        require_space(INIT, store, checkpoints=2)
    assert caplog.messages == [f"needs about {BOTH / 1e6:.3g} MB on the disk, {BOTH / 1e6:.3g} MB free"]


def test_what_an_earlier_attempt_has_written_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path / "results")
    store.work(INIT.key).mkdir()
    (store.work(INIT.key) / "video.safetensors").write_bytes(b"x" * 2_000_000)
    drive(monkeypatch, BOTH - 1_900_000)
    require_space(INIT, store, checkpoints=2)


def test_the_dry_run_says_whether_all_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(tmp_path / "results", write=False)
    drive(monkeypatch, 5_000_000)
    fits = "disk: about 5 MB (3 MB stay, 2 MB while a stage works), 5 MB free"
    assert peak_line(3_000_000, 2_000_000, store) == fits
    assert peak_line(3_000_000, 2_100_000, store).endswith("; not enough")
