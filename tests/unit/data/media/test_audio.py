"""Windows of audio against ffmpeg's own decode: placed by sample, mixed, resampled, silent outside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.data.media.referee import H264, PATTERN, ffmpeg, track
from tests.unit.data.media.videos import RATE, write
from xdcbench.data.media import probe, read_audio, read_clip, read_track
from xdcbench.errors import MediaError

FORMATS = ("u8", "s16le", "s16be", "s24le", "s32le", "s64le", "f32le", "f64le", "alaw", "mulaw")
RATES = (8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
CODECS: dict[str, tuple[str, ...]] = {
    "aac.m4a": ("-c:a", "aac"),
    "aac.adts": ("-c:a", "aac", "-f", "adts"),
    "lame.mp3": ("-c:a", "libmp3lame"),
    "vorbis.ogg": ("-c:a", "libvorbis"),
    "opus.ogg": ("-c:a", "libopus", "-ar", "48000"),
    "flac.flac": ("-c:a", "flac"),
    "flac24.mka": ("-c:a", "flac", "-sample_fmt", "s32"),
    "ac3.mka": ("-c:a", "ac3"),
    "wma.wma": ("-c:a", "wmav2"),
    "layer2.mpg": ("-c:a", "mp2"),
}


def recording(path: Path, wave: NDArray[np.float32], *options: str, rate: int = 44_100) -> Path:
    """Encode float32 (samples, channels)."""
    raw = path.with_suffix(".raw")
    wave.astype("<f4").tofile(raw)
    ffmpeg("-f", "f32le", "-ar", rate, "-ac", wave.shape[1], "-i", raw, *options, path)
    return path


def noise(channels: int, *, rate: int = 44_100, seconds: float = 1.5) -> NDArray[np.float32]:
    """Independent noise in every channel, a little softer from each to the next."""
    rng = np.random.default_rng(0)
    wave = rng.uniform(-0.5, 0.5, (round(rate * seconds), channels)) * 0.9 ** np.arange(channels)
    return wave.astype(np.float32)


def assert_same(path: Path, *, atol: float = 1e-6, peak: float = 0.02) -> None:
    """At its own rate, the audio is ffmpeg's from a window's first sample to its last, and no silence."""
    truth, origin = track(path), probe(path).start
    begin = round((truth.start - origin) * truth.rate)
    for skip, size in ((0, len(truth.samples)), (len(truth.samples) // 3, 5000)):
        start, seconds = (begin + skip) / truth.rate, size / truth.rate
        own = read_audio(path, start=start, seconds=seconds, sample_rate=truth.rate).numpy()
        np.testing.assert_allclose(own, truth.samples[skip : skip + size], atol=atol)
    assert np.abs(truth.samples).max() >= peak


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_of_samples(tmp_path: Path, kind: str) -> None:
    assert_same(recording(tmp_path / "track.mka", noise(2), "-c:a", f"pcm_{kind}"))


@pytest.mark.parametrize("name", CODECS)
def test_codecs(tmp_path: Path, name: str) -> None:
    assert_same(recording(tmp_path / name, noise(2), *CODECS[name]))


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("name", CODECS)
def test_windows_of_a_whole_track_are_those_that_are_read(tmp_path: Path, name: str, rate: int) -> None:
    path = recording(tmp_path / name, noise(2), *CODECS[name])
    whole = read_track(path, sample_rate=rate)
    assert whole is not None
    for start, seconds in ((-0.4, 0.5), (0.0, 1.5), (0.7123, 0.5), (1.3, 1.0), (5.0, 0.1)):
        window = read_audio(path, start=start, seconds=seconds, sample_rate=rate)
        assert torch.equal(whole.window(start=start, seconds=seconds, sample_rate=rate), window)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 8, 11, 16])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    path = recording(tmp_path / "track.wav", noise(channels), "-c:a", "pcm_f32le")
    assert probe(path).channels == channels
    assert_same(path)
    own = read_audio(path, start=0, seconds=1.5, sample_rate=44_100).numpy()
    np.testing.assert_allclose(own, noise(channels).mean(1), atol=1e-6)


@pytest.mark.parametrize("codec", ["aac", "ac3", "libopus", "flac"])
def test_six_channels_of_surround_audio(tmp_path: Path, codec: str) -> None:
    """The mean of all, the low one among them: no downmix that a decoder chooses."""
    six = noise(6, rate=48_000)
    path = recording(
        tmp_path / "six.mka", six, "-c:a", codec, "-af", "aformat=channel_layouts=5.1", rate=48_000
    )
    assert probe(path).channels == 6
    assert_same(path)


@pytest.mark.parametrize("native", RATES)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_rates(tmp_path: Path, native: int, rate: int) -> None:
    """A tone in time, level and phase, and ffmpeg's resampler on the same file."""
    time = np.arange(2 * native) / native
    wave = (0.5 * np.sin(2 * np.pi * 440 * time))[:, None].astype(np.float32)
    path = recording(tmp_path / "sine.wav", wave, "-c:a", "pcm_f32le", rate=native)
    own = read_audio(path, start=0.7, seconds=1.0, sample_rate=rate).numpy()
    truth = 0.5 * np.sin(2 * np.pi * 440 * (0.7 + np.arange(rate) / rate))
    np.testing.assert_allclose(own, truth, atol=2e-3)
    raw, _ = ffmpeg("-i", path, "-af", f"aresample={rate}", "-f", "f32le", "-")
    begin = round(0.7 * rate)
    np.testing.assert_allclose(own, np.frombuffer(raw, np.float32)[begin : begin + rate], atol=2e-3)


@pytest.mark.parametrize("seconds", [2.0, 1.0, 0.0375])
def test_what_lies_outside_the_track_is_silent(tmp_path: Path, seconds: float) -> None:
    path = recording(tmp_path / "track.wav", noise(1), "-c:a", "pcm_s16le")
    for start in (-seconds, 1.5, 70.0):
        own = read_audio(path, start=start, seconds=seconds, sample_rate=44_100)
        assert own.shape == (round(seconds * 44_100),)
        assert not own.any()
    around = read_audio(path, start=-0.25, seconds=2.0, sample_rate=44_100).numpy()
    loud = np.flatnonzero(around)
    assert (loud[0], loud[-1]) == (round(0.25 * 44_100), round(1.75 * 44_100) - 1)


KINDS: dict[str, dict[str, Any]] = {
    "aac.mp4": {"options": {"g": "12", "bf": "2"}},
    "opus.mkv": {"options": {"g": "7"}, "audio": "libopus", "rate": 48_000},
    "mp3.avi": {"video": "mpeg4", "audio": "mp3", "options": {"g": "8", "bf": "2"}},
    "pcm.avi": {"video": "mjpeg", "audio": "pcm_s16le"},
    "late.mkv": {"options": {"g": "7"}, "audio": "flac", "offset": 2.0},
    "late.mp4": {"offset": 4.0},
}


@pytest.mark.parametrize("name", KINDS)
def test_windows_are_cut_from_one_signal(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, **KINDS[name])
    whole = read_audio(path, start=-0.5, seconds=4.0, sample_rate=RATE)
    assert whole.shape == (4 * RATE,)
    assert whole.dtype == torch.float32
    assert whole.abs().max() > 0.1
    for start in (-0.25, 0.3, 1.15, 2.9):
        part = read_audio(path, start=start, seconds=0.5, sample_rate=RATE)
        begin = round((start + 0.5) * RATE)
        assert torch.equal(part, whole[begin : begin + RATE // 2])


def test_no_audio_silence_and_audio_that_ends_early_differ(tmp_path: Path) -> None:
    mute, silent, short = (tmp_path / f"{name}.mp4" for name in ("mute", "silent", "short"))
    ffmpeg(*PATTERN, *H264, mute)
    ffmpeg(*PATTERN, "-f", "lavfi", "-i", "anullsrc=r=16000:d=2", *H264, "-c:a", "aac", silent)
    ffmpeg(*PATTERN, "-f", "lavfi", "-i", "sine=r=16000:d=0.768", *H264, "-c:a", "aac", short)
    assert [probe(path).has_audio for path in (mute, silent, short)] == [False, True, True]
    with pytest.raises(MediaError, match="no audio track"):
        read_audio(mute, start=0, seconds=1, sample_rate=RATE)
    assert not read_audio(silent, start=0, seconds=1, sample_rate=RATE).any()
    audio = read_audio(short, start=0.5, seconds=1.0, sample_rate=RATE)
    assert audio[: round(0.2 * RATE)].abs().max() > 0.1
    assert not audio[round(0.35 * RATE) :].any()
    for path in (mute, silent, short):
        assert read_clip(path, start=1.0, frames=2, fps=4, short_side=48).shape == (2, 48, 64, 3)


def test_a_recording_has_no_video(tmp_path: Path) -> None:
    path = recording(tmp_path / "track.wav", noise(1))
    assert (probe(path).has_video, probe(path).duration) == (False, 1.5)
    with pytest.raises(MediaError, match="no video stream"):
        read_clip(path, start=0, frames=1, fps=1, short_side=24)


def test_a_rate_that_changes_is_a_media_error(tmp_path: Path) -> None:
    slow = recording(tmp_path / "slow.mp3", noise(1, rate=22_050), rate=22_050)
    fast = recording(tmp_path / "fast.mp3", noise(1), rate=44_100)
    (tmp_path / "both.mp3").write_bytes(slow.read_bytes() + fast.read_bytes())
    with pytest.raises(MediaError, match="sample rate changes from 22050 to 44100 Hz"):
        read_audio(tmp_path / "both.mp3", start=0, seconds=3, sample_rate=RATE)
