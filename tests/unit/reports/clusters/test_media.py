import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from tests.unit.data.media.bombs import wav
from xdcbench.config.models import AudioInput
from xdcbench.data.media import read_audio
from xdcbench.errors import MediaError
from xdcbench.reports.clusters import media

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def raw(path: Path, *options: str) -> bytes:
    """What FFmpeg's own tool decodes."""
    words = [FFMPEG, "-v", "error", "-i", str(path), *options, "-"]
    return subprocess.run(words, check=True, capture_output=True).stdout


def test_video_is_what_every_browser_plays(tmp_path: Path) -> None:
    ramp = torch.arange(24, dtype=torch.uint8)[:, None, None, None].expand(24, 144, 144, 3) * 10
    media.write_video(ramp, 12, tmp_path / "video.mp4")
    with av.open(str(tmp_path / "video.mp4")) as file:
        codec = file.streams.video[0].codec_context
        assert (codec.name, codec.profile, codec.pix_fmt) == ("h264", "Constrained Baseline", "yuv420p")
        assert file.duration / av.time_base == pytest.approx(2.0)
    content = (tmp_path / "video.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    shown = np.frombuffer(raw(tmp_path / "video.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24"), np.uint8)
    assert np.abs(shown.reshape(24, -1).mean(1) - np.arange(24) * 10).max() < 4


def test_audio_is_heard_as_it_was(tmp_path: Path) -> None:
    tone = 0.5 * torch.sin(torch.arange(32_000) * 2 * torch.pi * 440 / 16_000)
    media.write_audio(tone, 16_000, tmp_path / "tone.mp3")
    heard = np.frombuffer(raw(tmp_path / "tone.mp3", "-f", "f32le", "-ar", "16000"), np.float32)
    assert len(heard) / 16_000 == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard[8_000:24_000]))
    assert int(spectrum.argmax()) == 440
    assert np.sqrt(2 * np.mean(heard[8_000:24_000] ** 2)) == pytest.approx(0.5, rel=0.05)


def test_rates_that_mp3_lacks_are_raised(tmp_path: Path) -> None:
    media.write_audio(torch.zeros(10_000), 10_000, tmp_path / "quiet.mp3")
    with av.open(str(tmp_path / "quiet.mp3")) as file:
        assert file.streams.audio[0].rate == 11_025


def test_spectrogram_has_low_pitch_at_the_bottom(tmp_path: Path) -> None:
    from matplotlib.image import imread

    wave = torch.sin(torch.arange(32_000) * 2 * torch.pi * 300 / 16_000)
    media.write_spectrogram(wave, AudioInput(), tmp_path / "mel.png")
    light = imread(tmp_path / "mel.png")[..., :3].sum(-1).mean(1)
    assert light.shape == (40,)
    assert light.argmax() > 30


def test_silence_has_a_spectrogram(tmp_path: Path) -> None:
    media.write_spectrogram(torch.zeros(32_000), AudioInput(), tmp_path / "mel.png")
    assert (tmp_path / "mel.png").stat().st_size > 0


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), media.atomic_write(tmp_path / "x.mp4") as part:
        part.write_text("half")
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty minutes of AAC, a chirp whose pitch tells the time."""
    path = tmp_path_factory.mktemp("long") / "long.m4a"
    source = "aevalsrc=0.4*sin(2*PI*(300+t/10)*t):s=8000:d=1200"
    words = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", source, "-c:a", "aac", "-b:a", "16k", str(path)]
    subprocess.run(words, check=True)
    return path


def test_long_files_are_sought_in(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, real = [], media.decoded
    monkeypatch.setattr(media, "decoded", lambda *a: (decoded.append(f) or f for f in real(*a)))
    found = media.audio_within(long, start=1000, seconds=2, sample_rate=8000)
    assert found.shape == (16_000,)
    assert len(decoded) < 100
    exact = read_audio(long, start=1000, seconds=2, sample_rate=8000)
    correlation = np.corrcoef(found.numpy(), exact.numpy())[0, 1]
    assert correlation > 0.99


def test_window_past_the_end_is_silent_there(long: Path) -> None:
    found = media.audio_within(long, start=1199, seconds=4, sample_rate=8000)
    assert found.shape == (32_000,)
    assert found[:7_000].abs().max() > 0.1
    assert found[-16_000:].abs().max() == 0


def test_without_audio_there_is_a_reason(tmp_path: Path) -> None:
    media.write_video(torch.zeros(4, 32, 32, 3, dtype=torch.uint8), 4, tmp_path / "mute.mp4")
    with pytest.raises(MediaError, match="no audio track"):
        media.audio_within(tmp_path / "mute.mp4", start=0, seconds=1, sample_rate=8000)


def test_samples_that_are_no_numbers_have_no_preview(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", np.where(np.arange(48_000) == 20_000, np.nan, 0.1).astype(np.float32))
    with pytest.raises(MediaError, match=r"the audio sample at 1\.250 s is nan"):
        media.audio_within(path, start=1, seconds=1, sample_rate=8000)
