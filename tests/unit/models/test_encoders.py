"""Encoders as run directories, and features of batches."""

from pathlib import Path

import pytest
import torch

from tests.unit.tiny import CPU, MODELS, weights_of
from xdcbench.config.stages import InitStage
from xdcbench.data.clip_dataset import Batch, CropBoxes
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.models.encoders import (
    EncoderMetadata,
    encode,
    load_encoder_metadata,
    load_encoders,
    save_encoders,
    to_device,
)
from xdcbench.models.weights import build_encoder
from xdcbench.pretraining import init


def batch(*, video: bool = True, audio: bool = True) -> Batch:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3 * 4 * 16 * 16 * 3,), dtype=torch.uint8, generator=rng)
    return Batch(
        rows=torch.arange(3),
        positions=torch.arange(3),
        video=CropBoxes(pixels, (16, 16, 16), 4, (False, False, False)) if video else None,
        audio=torch.randn(3, 12_800, generator=rng) if audio else None,
        failed=(),
    )


def test_the_start_is_drawn_from_the_seed_alone(tiny_runs: Path, tmp_path: Path) -> None:
    for name, seed in (("same", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        torch.rand(3)
        init.run(InitStage(models=MODELS, seed=seed), {}, tmp_path / name, Context("tests"))
    for modality in ("video", "audio"):
        start = weights_of(tiny_runs / "init", modality)
        assert weights_of(tmp_path / "same", modality) == start
        assert weights_of(tmp_path / "other", modality) != start
    metadata = load_encoder_metadata(tmp_path / "other")
    assert metadata == EncoderMetadata(
        config_hash=load_encoder_metadata(tmp_path / "same").config_hash, seed=1, models=MODELS
    ), "no seed in a recipe"
    assert (metadata.method, metadata.pretrain_data, metadata.round, metadata.epochs) == (
        "scratch",
        "none",
        0,
        0,
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    encoders = {m: build_encoder(getattr(MODELS, m), seed=4) for m in ("video", "audio")}
    with torch.no_grad():
        for encoder in encoders.values():
            encoder.train()
            encode(encoder, batch(), device=CPU)  # moves the running statistics
    metadata = EncoderMetadata(
        config_hash="r", seed=4, models=MODELS, method="xdc", hyperparameters={"k_a": 3}
    )
    save_encoders(tmp_path, encoders, metadata)
    assert load_encoder_metadata(tmp_path) == metadata
    again = load_encoders(tmp_path, ("audio", "video"), device=CPU)
    assert list(again) == ["audio", "video"]
    for modality, encoder in again.items():
        states = encoder.state_dict(), encoders[modality].state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_weights_that_do_not_fit_the_metadata_are_refused(tmp_path: Path) -> None:
    wide = MODELS.video.model_copy(update={"width": 8})
    save_encoders(
        tmp_path,
        {"video": build_encoder(wide, seed=0)},
        EncoderMetadata(config_hash="r", seed=0, models=MODELS),
    )
    with pytest.raises(UserError, match="weights do not fit"):
        load_encoders(tmp_path, ("video",), device=CPU)


def test_an_encoder_takes_its_own_modality() -> None:
    for modality, features in (("video", 32), ("audio", 64)):
        encoder = build_encoder(getattr(MODELS, modality), seed=0).eval()
        with torch.no_grad():
            found = encode(encoder, batch(), device=CPU)
            assert found.shape == (3, features)
            whole = batch()
            raw = torch.stack(whole.video.split()) if modality == "video" else whole.audio
            assert torch.equal(found, encoder(encoder.prepare(raw)))
        with pytest.raises(ValueError, match="the batch holds nothing for"):
            encode(encoder, batch(**{modality: False}), device=CPU)


def test_the_memory_format_changes_no_feature() -> None:
    plain = build_encoder(MODELS.video, seed=0).eval()
    placed = to_device(build_encoder(MODELS.video, seed=0), CPU).eval()
    assert placed.stem[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        torch.testing.assert_close(
            encode(placed, batch(), device=CPU), encode(plain, batch(), device=CPU), rtol=1e-4, atol=1e-4
        )


def test_the_audio_encoder_stays_contiguous() -> None:
    placed = to_device(build_encoder(MODELS.audio, seed=0), CPU)
    assert all(p.is_contiguous() for p in placed.parameters())
