"""Features of every item of a dataset as a run directory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.data.media.bombs import wav
from tests.unit.tiny import CPU, MODELS, linked, make_index, spoil
from xdcbench.config.base import Modality
from xdcbench.config.stages import FeaturesStage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.data.context import Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.transforms import square_crops
from xdcbench.errors import MediaUnreachableError, UserError
from xdcbench.evaluation import features as stage
from xdcbench.evaluation.features import Features, load_features
from xdcbench.models.encoders import EncoderMetadata, load_encoder_metadata, load_encoders, save_encoders
from xdcbench.models.weights import build_encoder


def do(modality: Modality, data: Path, encoders: Path, work: Path, context: Context, clips: int) -> Features:
    work.mkdir()
    config = FeaturesStage(modality=modality, num_clips=clips, precision="fp32")
    stage.run(config, {"data": data, "encoders": encoders}, work, context)
    return load_features(work)


def test_each_clip_has_the_features_of_its_place(
    tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path
) -> None:
    index = Index.load(tiny_runs / "esc50")
    found = do("audio", tiny_runs / "esc50", tiny_runs / "init", tmp_path / "run", tiny_context, clips=3)
    assert found.of.shape == (len(index.items), 3, 64) and found.of.dtype == np.float32
    assert found.failed == {}
    encoder = load_encoders(tiny_runs / "init", ("audio",), device=CPU)["audio"].eval()
    clips = ClipDataset(index, world / "esc50", audio=MODELS.audio.input)
    for row in (0, 7):
        for number, place in enumerate((0.0, 0.5, 1.0)):
            raw = clips[ClipSpec(row, place)]["audio"][None]
            with torch.no_grad():
                alone = encoder(encoder.prepare(raw))[0].numpy()
            np.testing.assert_allclose(found.of[row, number], alone, rtol=1e-3, atol=1e-4)
    assert load_encoder_metadata(tmp_path / "run") == load_encoder_metadata(tiny_runs / "init")


def test_items_without_features(tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path) -> None:
    root = linked(world / "esc50", tmp_path / "data" / "esc50")
    victims = sorted(root.glob("audio/*.wav"))
    victims[3].unlink()  # missing when it was indexed
    data = make_index(tmp_path / "index", tmp_path / "data", "esc50")
    spoil(victims[5])  # unreadable since then
    index = Index.load(data)
    rows = {Path(path).stem: row for row, path in enumerate(index.items["path"])}
    context = replace(tiny_context, roots={"esc50": root})
    found = do("audio", data, tiny_runs / "init", tmp_path / "run", context, clips=2)
    missing, torn = rows[victims[3].stem], rows[victims[5].stem]
    assert list(found.failed) == [torn]
    everything = np.arange(len(index.items))
    assert set(everything) - set(found.readable(everything)) == {missing, torn}
    assert np.isnan(found.of[[missing, torn]]).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e29])
def test_one_sample_that_is_no_number_costs_one_item(
    world: Path, tiny_runs: Path, tiny_context: Context, tmp_path: Path, value: float
) -> None:
    """In one of sixteen channels; before, "features of all items are equal; the encoder has collapsed"."""
    root = linked(world / "esc50", tmp_path / "data" / "esc50")
    victim = sorted(root.glob("audio/*.wav"))[5]
    victim.unlink()
    wave = np.full((24_000, 16), 0.1, np.float32)
    wave[12_000, 7] = value
    wav(victim, wave.ravel(), channels=16)
    data = make_index(tmp_path / "index", tmp_path / "data", "esc50")
    items = Index.load(data).items
    context = replace(tiny_context, roots={"esc50": root})
    found = do("audio", data, tiny_runs / "init", tmp_path / "run", context, clips=1)
    (row,) = found.failed
    assert items["path"].iloc[row] == f"audio/{victim.name}"
    assert f"the audio sample at 0.750 s is {value:g}" in found.failed[row]
    assert np.isfinite(np.delete(found.of, row, axis=0)).all()


def test_an_item_counts_as_readable_only_if_all_its_clips_are() -> None:
    of = np.zeros((3, 2, 4), dtype=np.float32)
    of[1, 1] = np.nan
    assert Features(of, {1: "torn"}).readable(np.array([2, 1, 0])).tolist() == [2, 0]


def test_means_are_those_of_the_clips_of_each_item() -> None:
    of = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    means = Features(of, {}).means(np.array([4, 0, 4]))
    assert means.dtype == np.float32
    np.testing.assert_array_equal(means, of.mean(axis=1)[[4, 0, 4]])


def test_an_encoder_that_has_diverged_is_told(tiny_runs: Path, tiny_context: Context, tmp_path: Path) -> None:
    encoder = build_encoder(MODELS.audio, seed=0)
    with torch.no_grad():
        encoder.conv1.weight[0] = float("nan")
    (tmp_path / "init").mkdir()
    save_encoders(
        tmp_path / "init",
        {"audio": encoder},
        EncoderMetadata(config_hash="r", method="xdc", seed=0, models=MODELS),
    )
    with pytest.raises(UserError, match=r"xdc: the audio features of audio/\S+\.wav are not finite"):
        do("audio", tiny_runs / "esc50", tmp_path / "init", tmp_path / "run", tiny_context, clips=1)


def test_augmented_clips_follow_the_even_ones_and_depend_on_the_item_alone(
    tiny_runs: Path, tiny_context: Context, tmp_path: Path
) -> None:
    inputs = {"data": tiny_runs / "esc50", "encoders": tiny_runs / "init"}
    plain = FeaturesStage(modality="audio", num_clips=2, precision="fp32")
    found = []
    for name, config in (("plain", plain), ("more", plain.model_copy(update={"num_augmented_clips": 2}))):
        (tmp_path / name).mkdir()
        stage.run(config, inputs, tmp_path / name, tiny_context)
        found.append(load_features(tmp_path / name).of)
    np.testing.assert_allclose(found[1][:, :2], found[0], rtol=1e-4, atol=1e-5)
    assert found[1].shape[1] == 4
    assert not np.allclose(found[1][:, 2], found[1][:, 3]), "two random windows of an item"
    index = Index.load(tiny_runs / "esc50")
    config = plain.model_copy(update={"num_augmented_clips": 2})
    moved = replace(index, items=index.items.iloc[::-1].reset_index(drop=True))
    here, there = (
        stage.clips_of(config, index, 0, frames=1)[2:],
        stage.clips_of(config, moved, len(index.items) - 1, frames=1)[2:],
    )
    assert [spec.place for spec in here] == [spec.place for spec in there]


@pytest.mark.parametrize(("modality", "data"), [("audio", "esc50"), ("video", "kinetics400")])
def test_a_layers_feature_is_its_mean_output(
    modality: Modality, data: str, tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path
) -> None:
    inputs = {"data": tiny_runs / data, "encoders": tiny_runs / "init"}
    config = FeaturesStage(modality=modality, num_clips=1, layer="layer2", precision="fp32")
    stage.run(config, inputs, tmp_path, tiny_context)
    found = load_features(tmp_path).of
    encoder = load_encoders(tiny_runs / "init", (modality,), device=CPU)[modality].eval()
    clips = ClipDataset(Index.load(tiny_runs / data), world / data, **{modality: encoder.input})  # type: ignore[arg-type]
    (batch,) = batches(clips, [ClipSpec(0)], size=1, workers=0)
    raw = batch.audio if modality == "audio" else square_crops(batch.video, encoder.input.size)
    with torch.no_grad():
        x = encoder.prepare(raw)
        for name in ("conv1", "stem", "layer1", "layer2"):
            x = getattr(encoder, name)(x) if hasattr(encoder, name) else x
    np.testing.assert_allclose(found[0, 0], x.flatten(2).mean(2)[0].numpy(), rtol=1e-3, atol=1e-4)


def test_an_unknown_layer_is_told(tiny_runs: Path, tiny_context: Context, tmp_path: Path) -> None:
    inputs = {"data": tiny_runs / "esc50", "encoders": tiny_runs / "init"}
    config = FeaturesStage(modality="audio", num_clips=1, layer="layer5", precision="fp32")
    with pytest.raises(UserError, match="unknown layer of AudioResNet 'layer5'; did you mean 'layer"):
        stage.run(config, inputs, tmp_path, tiny_context)


def test_media_that_are_away_fail_the_stage_and_are_not_remembered(
    tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdcbench.data.media.local_file.PAUSES", ())
    inputs = {"data": tiny_runs / "esc50", "encoders": tiny_runs / "init"}
    root = linked(world / "esc50", tmp_path / "esc50")
    context = replace(tiny_context, roots={"esc50": root})
    config = FeaturesStage(modality="audio", num_clips=1, precision="fp32")
    (tmp_path / "run").mkdir()
    for workers in (0, 1):
        root.rename(tmp_path / "away")
        with pytest.raises(MediaUnreachableError, match=r"media not reachable: .*esc50/audio/.*No such file"):
            stage.run(config, inputs, tmp_path / "run", replace(context, num_workers=workers))
        assert not list(tmp_path.rglob("blocks/*"))
        (tmp_path / "away").rename(root)
    stage.run(config, inputs, tmp_path / "run", context)
    whole = do("audio", tiny_runs / "esc50", tiny_runs / "init", tmp_path / "whole", tiny_context, clips=1)
    found = load_features(tmp_path / "run")
    assert found.failed == {} and found.of.tobytes() == whole.of.tobytes()


def test_too_many_unreadable_items_fail_the_stage(
    tiny_runs: Path, tiny_context: Context, world: Path, tmp_path: Path
) -> None:
    root = linked(world / "esc50", tmp_path / "esc50")
    for victim in sorted(root.glob("audio/*.wav"))[:2]:
        spoil(victim)
    context = replace(tiny_context, roots={"esc50": root})
    with pytest.raises(UserError, match="esc50: 2 of 15 items could not be decoded, first audio/"):
        do("audio", tiny_runs / "esc50", tiny_runs / "init", tmp_path / "run", context, clips=1)
    assert not (tmp_path / "run" / "features.npy").exists()
