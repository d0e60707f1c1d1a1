"""Audio encoders of raw samples: what they declare, what they are fed, and that files say it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.unit.data.media.bombs import wav
from tests.unit.models.own_encoder import OwnFront, Raw
from tests.unit.tiny import CPU, linked, make_index
from xdcbench.config.consistency import check
from xdcbench.config.load import load_suite
from xdcbench.config.models import AudioInput, AudioModel, Models, PretrainedEncoders, Waveform
from xdcbench.config.stages import FeaturesStage, PretrainedStage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.data.context import Context
from xdcbench.data.decoded import DecodedItems
from xdcbench.data.index import Index
from xdcbench.data.media import read_audio
from xdcbench.errors import UserError
from xdcbench.evaluation import features
from xdcbench.export.torch_export import TOLERANCE, differences, takes, write_program
from xdcbench.models.encoders import build, clips_for, load_encoder_metadata, load_encoders
from xdcbench.models.layers import at_layer
from xdcbench.models.pretrained.external import ExternalEncoder
from xdcbench.models.raw_inputs import noise
from xdcbench.pretraining.pretrained import run as pretrained_run
from xdcbench.utils.code import Consent

OWN = "tests.unit.models.own_encoder"
TRUSTED = Consent(everything=True)


def own(name: str) -> ExternalEncoder:
    encoder = build(f"{OWN}:{name}", AudioModel(), TRUSTED)
    assert isinstance(encoder, ExternalEncoder)
    return encoder.eval()


def test_a_file_without_kind_is_log_mel_as_it_always_was() -> None:
    for given in ({}, {"sample_rate": 24_000, "seconds": 2}, {"n_mels": 64}):
        assert AudioModel.model_validate({"input": given}).input == AudioInput.model_validate(given)
    assert "kind" not in AudioModel().model_dump()["input"]
    model = AudioModel(input=Waveform(sample_rate=24_000, seconds=2))
    assert AudioModel.model_validate(model.model_dump(mode="json")) == model
    assert Models.model_validate(Models(audio=model).model_dump(mode="json")).audio == model


def test_the_window_is_that_of_the_reader() -> None:
    assert Waveform(sample_rate=22_050, seconds=1.5).samples == 33_075
    assert Waveform(sample_rate=22_050, seconds=1.5).shape == (33_075,)
    with pytest.raises(ValidationError, match=r"0\.001 s at 100 Hz hold no sample"):
        Waveform(sample_rate=100, seconds=0.001)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("models.audio.input.n_melss=3", "key 'models.audio.input.n_melss': no field"),
        ("models.audio.input.kind=waveform", "'models.audio.input.sample_rate' is missing"),
    ],
)
def test_mistakes_in_the_input_of_the_audio_encoder_are_named_by_their_key(
    override: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_suite("table1", overrides=[override])


def test_a_suite_trains_no_encoder_of_waveforms() -> None:
    suite = load_suite("smoke")
    models = Models(audio=AudioModel(input=Raw.input))
    with pytest.raises(UserError, match="take log-mel spectrograms"):
        check(suite.model_copy(update={"models": models}))


def test_without_prepare_it_gets_the_samples_and_with_one_what_that_makes() -> None:
    samples = noise(Raw.input, 3)
    assert samples.shape == (3, 19_200)
    raw, front = own("Raw"), own("OwnFront")
    assert torch.equal(raw.prepare(samples), samples)
    torch.testing.assert_close(front.prepare(samples), 2 * samples[:, ::2])
    front.net.load_state_dict(raw.net.state_dict() | {"gain": torch.tensor(1.0)})
    torch.testing.assert_close(front(front.prepare(samples)), raw(samples[:, ::2]))
    assert isinstance(front.net, OwnFront)
    front(front.prepare(samples)).sum().backward()
    assert front.net.gain.grad is not None, "a front end of its own learns, too"


@pytest.mark.parametrize("kept", [0, 1 << 30])
def test_clips_are_cut_at_the_declared_rate_also_from_what_is_kept(
    world: Path, tiny_runs: Path, kept: int
) -> None:
    encoder = own("Raw")
    index = Index.load(tiny_runs / "kinetics400")
    clips = clips_for(index, world / "kinetics400", {"audio": encoder}, DecodedItems(kept))
    found = clips[ClipSpec(row=0, place=0.0)]["audio"]
    path = clips.path(ClipSpec(row=0))
    assert torch.equal(found, read_audio(path, start=0.0, seconds=0.8, sample_rate=24_000))
    assert clips.samples == len(found) == 19_200


@pytest.mark.parametrize("name", ["OwnFront", "FrontModule"])
def test_a_run_folder_says_what_it_takes_and_builds_it_again(name: str, tmp_path: Path) -> None:
    given = PretrainedEncoders.model_validate({"audio": {"source": f"{OWN}:{name}"}})
    config = PretrainedStage(name="mine", encoders=given, fingerprint="f")
    pretrained_run(config, {}, tmp_path, Context("tests", consent=TRUSTED))
    assert load_encoder_metadata(tmp_path).models.audio.input == Raw.input
    first, again = (
        load_encoders(tmp_path, ["audio"], device=CPU, consent=TRUSTED)["audio"] for _ in range(2)
    )
    samples = noise(first.input, 2)
    assert first.input == Raw.input
    assert torch.equal(first(first.prepare(samples)), again(again.prepare(samples)))


@pytest.mark.parametrize("name", ["Raw", "OwnFront", "FrontModule"])
def test_an_inner_layer_and_a_program_see_what_the_encoder_sees(name: str, tmp_path: Path) -> None:
    encoder = own(name)
    samples = noise(encoder.input, 3)
    inner = at_layer(encoder, "net.conv")
    expected = encoder.net.conv(encoder.prepare(samples)[:, None]).mean(dim=2)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(inner(inner.prepare(samples)), expected)
    write_program(encoder, tmp_path / "audio.pt2")
    assert differences({"audio": encoder}, tmp_path)["audio"] <= TOLERANCE
    assert takes(encoder.input) == "float32 (B, 19200): mono audio at 24000 samples per second, full scale 1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Sequence", r"gives \(2, 1197, 6\) for 2 inputs, a sequence. Try: return its mean over time"),
        ("Tiny", r"with `input` \(an AudioInput or Waveform\)"),
    ],
)
def test_what_is_no_feature_of_an_input_is_refused_when_it_is_built(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        own(name)


def extracted(name: str, work: Path, index: Path, context: Context) -> np.ndarray:
    """Features of the tiny ESC-50 of an encoder of tests/unit/models/own_encoder.py, one window each."""
    given = PretrainedEncoders.model_validate({"audio": {"source": f"{OWN}:{name}"}})
    (work / "encoders").mkdir(parents=True)
    (work / "features").mkdir()
    stage = PretrainedStage(name="mine", encoders=given, fingerprint="f")
    trusting = replace(context, consent=TRUSTED)
    pretrained_run(stage, {}, work / "encoders", trusting)
    config = FeaturesStage(modality="audio", num_clips=1, precision="fp32")
    features.run(config, {"data": index, "encoders": work / "encoders"}, work / "features", trusting)
    return features.load_features(work / "features").of


@pytest.mark.parametrize("name", ["Raw", "Squeezed"])
def test_features_are_those_of_each_window(
    name: str, tmp_path: Path, tiny_runs: Path, tiny_context: Context, world: Path
) -> None:
    of = extracted(name, tmp_path, tiny_runs / "esc50", tiny_context)
    encoder = load_encoders(tmp_path / "encoders", ["audio"], device=CPU, consent=TRUSTED)["audio"].eval()
    clips = ClipDataset(Index.load(tiny_runs / "esc50"), world / "esc50", audio=Raw.input)
    with torch.no_grad():
        expected = torch.stack(
            [encoder(clips[ClipSpec(row)]["audio"][None]).flatten() for row in range(len(of))]
        )
    np.testing.assert_allclose(of[:, 0], expected.numpy(), rtol=1e-4, atol=1e-6)


def test_a_width_that_changes_with_the_input_is_told(
    tmp_path: Path, tiny_runs: Path, tiny_context: Context
) -> None:
    with pytest.raises(
        UserError, match=r"encoder Fitful declares 6 features, but gives \(15, 5\) for 15 inputs"
    ):
        extracted("Fitful", tmp_path, tiny_runs / "esc50", tiny_context)


def test_features_that_are_not_finite_are_laid_to_the_encoder_not_to_the_file(
    tmp_path: Path, world: Path, tiny_context: Context
) -> None:
    root = linked(world / "esc50", tmp_path / "data" / "esc50")
    victim = sorted(root.glob("audio/*.wav"))[5]
    victim.unlink()
    wav(victim, np.zeros(24_000, np.float32), channels=1)
    context = replace(tiny_context, roots={"esc50": root})
    index = make_index(tmp_path / "index", tmp_path / "data", "esc50")
    with pytest.raises(
        UserError, match=rf"{victim.name} are not finite; .*Try: `xdcbench validate-encoder {OWN}:Un"
    ):
        extracted("Undefined", tmp_path / "runs", index, context)
