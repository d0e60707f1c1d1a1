"""Samples that are no numbers: an unreadable window, an undecodable recording, and never a silent mean."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.data.media.bombs import wav
from xdcbench.config.data import ShardSettings
from xdcbench.data.media import read_audio, read_track
from xdcbench.data.media.inspect import inspect
from xdcbench.data.media.limits import LOUDEST
from xdcbench.data.media.samples import BadSampleError, check_numbers
from xdcbench.data.preparation.transcode import transcode
from xdcbench.errors import MediaError

RATE = 16_000
BAD = [math.nan, math.inf, -math.inf, 1e29, -1e29, 2 * LOUDEST]


def noise(channels: int = 1) -> NDArray[np.float32]:
    """Three seconds, (n, channels)."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (3 * RATE, channels)).astype(np.float32)


def spoiled(path: Path, value: float, *, at: float = 1.25, channels: int = 1, channel: int = 0) -> Path:
    wave = noise(channels)
    wave[round(at * RATE), channel] = value
    return wav(path, wave.ravel(), channels=channels)


@pytest.mark.parametrize("rate", [RATE, 8000, 44_100])
@pytest.mark.parametrize("value", BAD, ids=str)
def test_a_window_with_a_bad_sample_is_unreadable_and_says_where(
    tmp_path: Path, value: float, rate: int
) -> None:
    path = spoiled(tmp_path / "a.wav", value)
    with pytest.raises(
        MediaError, match=rf"audio sample at 1\.250 s is {f'{value:g}'.replace('+', '.')}; .*65536"
    ) as caught:
        read_audio(path, start=1.0, seconds=0.5, sample_rate=rate)
    assert caught.value.path == path
    for start in (0.0, 1.5):
        assert read_audio(path, start=start, seconds=1.0, sample_rate=rate).isfinite().all(), (
            "other windows are fine"
        )


@pytest.mark.parametrize("value", BAD, ids=str)
def test_verify_finds_it_wherever_it_is(tmp_path: Path, value: float) -> None:
    facts = inspect(spoiled(tmp_path / "a.wav", value, at=2.9))
    assert facts.bad_sample.startswith(f"the audio sample at 2.900 s is {value:g}")
    assert 0.4 < facts.peak <= 0.5
    assert inspect(wav(tmp_path / "b.wav", noise().ravel())).bad_sample == ""


@pytest.mark.parametrize("value", [math.nan, 1e29])
@pytest.mark.parametrize("channel", [0, 9, 15])
def test_one_channel_of_sixteen_is_enough(tmp_path: Path, channel: int, value: float) -> None:
    path = spoiled(tmp_path / "a.wav", value, channels=16, channel=channel)
    with pytest.raises(MediaError, match=r"at 1\.250 s"):
        read_audio(path, start=1.0, seconds=0.5, sample_rate=RATE)
    assert "at 1.250 s" in inspect(path).bad_sample


def test_channels_that_cancel_out_hide_nothing(tmp_path: Path) -> None:
    wave = noise(2)
    wave[20_000] = 1e29, -1e29
    path = wav(tmp_path / "a.wav", wave.ravel(), channels=2)
    with pytest.raises(MediaError, match=r"at 1\.250 s is 1e\+29"):
        read_audio(path, start=1.0, seconds=0.5, sample_rate=RATE)
    assert inspect(path).bad_sample


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_shards_keep_no_such_recording(tmp_path: Path, kind: str) -> None:
    path = spoiled(tmp_path / "a.wav", math.nan)
    settings = ShardSettings.model_validate({"audio_codec": kind})
    assert read_track(path, sample_rate=8000) is None  # a window beside the sample is sound
    with pytest.raises(MediaError, match=r"at 1\.250 s is nan"):
        transcode(path, "audio", settings, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_the_file_of_the_trials(trial_media: Path) -> None:
    path = trial_media / "one_nan_sample.wav"
    assert "at 1.250 s is nan" in inspect(path).bad_sample
    with pytest.raises(MediaError, match="is nan"):
        read_audio(path, start=0, seconds=3, sample_rate=RATE)


def test_loud_but_sound(tmp_path: Path) -> None:
    """16 bits that were never scaled are 32,768 times too loud, and numbers."""
    path = wav(tmp_path / "a.wav", noise().ravel() * 2**16)
    assert read_audio(path, start=0, seconds=1, sample_rate=RATE).abs().max() > 30_000
    assert inspect(path).bad_sample == ""


@given(
    place=st.integers(0, 99),
    channel=st.integers(0, 3),
    value=st.floats(width=32).filter(lambda x: not abs(x) <= LOUDEST),
    offset=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_first_bad_sample_is_named(place: int, channel: int, value: float, offset: int) -> None:
    wave = np.zeros((4, 100), np.float32)
    check_numbers(wave)
    wave[channel, place] = value
    wave[3 - channel, 99] = math.nan
    with pytest.raises(BadSampleError) as caught:
        check_numbers(wave, offset)
    assert caught.value.place == offset + place
    np.testing.assert_equal(
        caught.value.value, math.nan if place == 99 and channel == 3 else caught.value.value
    )
