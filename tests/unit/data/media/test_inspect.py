import math
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from xdcbench.data.media.inspect import inspect
from xdcbench.errors import MediaError, MediaUnreachableError

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
VIDEO = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=2")
LARGE_VIDEO = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=4")
TONE = ("-f", "lavfi", "-i", "sine=440:r=16000:d=2")


def ffmpeg(*words: object) -> str:
    done = subprocess.run(
        [FFMPEG, "-hide_banner", "-y", *map(str, words)], check=True, capture_output=True, text=True
    )
    return done.stderr


def make(path: Path, *words: object) -> Path:
    ffmpeg(*words, path)
    return path


# ------------------------------------------------------------------------------------------- facts


def test_video_and_audio_are_described(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.mp4", *VIDEO, *TONE, "-t", "1.5", "-pix_fmt", "yuv420p", "-ac", "2", "-ar", "22050"
    )
    facts = inspect(path)
    assert "mp4" in facts.container
    assert (facts.video_codec, facts.pix_fmt, facts.audio_codec) == ("h264", "yuv420p", "aac")
    assert (facts.width, facts.height, facts.rotation) == (64, 48, 0)
    assert (facts.frames, facts.variable, facts.damaged) == (15, False, 0)
    assert facts.fps == pytest.approx(10)
    assert facts.video_seconds == pytest.approx(1.5)
    assert (facts.sample_rate, facts.channels) == (22050, 2)
    assert facts.audio_seconds == pytest.approx(1.5, abs=1024 / 22050)
    assert facts.offset == pytest.approx(0, abs=0.001)
    assert facts.lost < 0.1


def test_facts_are_those_of_ffmpegs_own_decoder(shared_data: Path) -> None:
    for name in (
        "clips/misc/nasa_13013.mp4",
        "clips/vas/dog/video_02677.mp4",
        "awkward/torchcodec/sine_stereo_mp2.mpg",
    ):
        path = shared_data / name
        facts = inspect(path)
        frames = ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "null", "-")
        assert facts.frames == int(re.findall(r"frame=\s*(\d+)", frames)[-1])
        raw = subprocess.run(
            [FFMPEG, "-v", "error", "-i", path, "-map", "0:a:0", "-f", "f32le", "-"],
            check=True,
            capture_output=True,
        )
        wave = np.frombuffer(raw.stdout, np.float32).reshape(-1, facts.channels)
        assert facts.audio_seconds == pytest.approx(len(wave) / facts.sample_rate, abs=0.1)
        assert facts.peak == pytest.approx(np.abs(wave.mean(1)).max(), rel=0.01)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
def test_peak_is_of_full_scale_in_every_format(codec: str, tmp_path: Path) -> None:
    half = "aevalsrc=0.5*sin(2*PI*440*t):s=16000:d=0.2"
    facts = inspect(make(tmp_path / "a.wav", "-f", "lavfi", "-i", half, "-c:a", codec))
    assert facts.peak == pytest.approx(0.5, abs=0.01)
    assert facts.video_codec == ""
    assert math.isnan(facts.offset)


@pytest.mark.parametrize(("right", "peak"), [("0.5*sin(2000*t)", 0.5), ("-0.5*sin(2000*t)", 0.0)])
def test_peak_is_of_what_the_mixture_leaves(right: str, peak: float, tmp_path: Path) -> None:
    source = f"aevalsrc=0.5*sin(2000*t)|{right}:s=16000:d=0.2"
    facts = inspect(make(tmp_path / "a.wav", "-f", "lavfi", "-i", source, "-c:a", "pcm_f32le"))
    assert facts.peak == pytest.approx(peak, abs=0.01)


def test_audio_that_begins_late_has_an_offset(tmp_path: Path) -> None:
    facts = inspect(make(tmp_path / "a.mkv", *VIDEO, "-itsoffset", "0.5", *TONE, "-c:a", "flac"))
    assert facts.offset == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_is_told_from_a_clock_of_milliseconds(suffix: str, tmp_path: Path) -> None:
    thirty = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=30:d=1")
    drop = ("-vf", "select=not(between(n\\,5\\,9))", "-fps_mode", "vfr")
    assert not inspect(make(tmp_path / f"a.{suffix}", *thirty)).variable
    assert inspect(make(tmp_path / f"b.{suffix}", *thirty, *drop)).variable


def test_rotation_is_told(tmp_path: Path) -> None:
    flat = make(tmp_path / "flat.mp4", *VIDEO)
    turned = make(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", flat, "-c", "copy")
    facts = inspect(turned)
    assert (facts.width, facts.height, facts.rotation) == (64, 48, 90)


# ------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_end_that_is_cut_off_is_told(suffix: str, tmp_path: Path) -> None:
    whole = make(
        tmp_path / f"whole.{suffix}", *LARGE_VIDEO, *(("-movflags", "faststart") if suffix == "mp4" else ())
    )
    cut = tmp_path / f"cut.{suffix}"
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 6 // 10])
    assert inspect(whole).lost < 0.1
    assert inspect(whole).damaged == 0
    facts = inspect(cut)
    # AVI keeps its index at the end; without it FFmpeg guesses how long the video is.
    assert facts.damaged > 0 if suffix == "avi" else facts.lost > 0.5


def test_overwritten_bytes_are_damage(tmp_path: Path) -> None:
    content = bytearray(make(tmp_path / "a.mp4", *LARGE_VIDEO).read_bytes())
    begin = len(content) // 2
    content[begin : begin + 3000] = bytes(3000)
    (tmp_path / "b.mp4").write_bytes(content)
    assert inspect(tmp_path / "a.mp4").damaged == 0
    assert inspect(tmp_path / "b.mp4").damaged > 0


@pytest.mark.parametrize("content", [b"", b"no video", bytes(range(256)) * 40])
def test_what_is_no_video_is_a_media_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError) as error:
        inspect(path)
    assert error.value.path == path
    assert "\n" not in error.value.reason


@pytest.mark.parametrize("name", ["", "absent.mp4"])
def test_folders_and_absent_files_are_out_of_reach(name: str, tmp_path: Path) -> None:
    with pytest.raises(MediaUnreachableError):
        inspect(tmp_path / name)


def test_awkward_files_all_decode_and_one_is_damaged(shared_data: Path) -> None:
    facts = {path.name: inspect(path) for path in (shared_data / "awkward").rglob("*.*")}
    assert len(facts) == 22
    assert [name for name, f in facts.items() if f.damaged] == ["corrupted.mp4"]
    assert [name for name, f in facts.items() if f.peak == 0] == ["reproduce_seek_bug.wav"]
    assert facts["sine_16ch_s16.wav"].channels == 16
    assert facts["video_90.mov"].rotation == -90
    assert facts["h264_10bits.mp4"].pix_fmt == "yuv420p10le"
