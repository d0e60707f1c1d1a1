"""Features of every item of a data set as a run directory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.tiny import CPU, MODELS, linked, make_index, spoil
from xdcbench.context import Context
from xdcbench.data.clips import Clips, Draw
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluations import features as stage
from xdcbench.evaluations.features import Features, load_features
from xdcbench.models.encoders import Card, load_card, load_encoders, save_encoders
from xdcbench.models.weights import build_encoder
from xdcbench.schema import Modality
from xdcbench.stages import FeaturesStage

pytest_plugins = ["tests.unit.tiny"]


def do(modality: Modality, data: Path, encoders: Path, work: Path, context: Context, clips: int) -> Features:
    work.mkdir()
    config = FeaturesStage(modality=modality, clips=clips, precision="fp32")
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
    clips = Clips(index, world / "esc50", audio=MODELS.audio.input)
    for row in (0, 7):
        for number, place in enumerate((0.0, 0.5, 1.0)):
            raw = clips[Draw(row, place)]["audio"][None]
            with torch.no_grad():
                alone = encoder(encoder.prepare(raw))[0].numpy()
            np.testing.assert_allclose(found.of[row, number], alone, rtol=1e-3, atol=1e-4)
    assert load_card(tmp_path / "run") == load_card(tiny_runs / "init")


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


def test_an_item_counts_as_readable_only_if_all_its_clips_are() -> None:
    of = np.zeros((3, 2, 4), dtype=np.float32)
    of[1, 1] = np.nan
    assert Features(of, {1: "torn"}).readable(np.array([2, 1, 0])).tolist() == [2, 0]


def test_an_encoder_that_has_diverged_is_told(tiny_runs: Path, tiny_context: Context, tmp_path: Path) -> None:
    encoder = build_encoder(MODELS.audio, seed=0)
    with torch.no_grad():
        encoder.conv1.weight[0] = float("nan")
    (tmp_path / "init").mkdir()
    save_encoders(
        tmp_path / "init", {"audio": encoder}, Card(recipe="r", method="xdc", seed=0, models=MODELS)
    )
    with pytest.raises(UserError, match=r"xdc: the audio features of audio/\S+\.wav are not finite"):
        do("audio", tiny_runs / "esc50", tmp_path / "init", tmp_path / "run", tiny_context, clips=1)
