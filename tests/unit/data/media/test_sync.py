"""A video with a white flash and a 1-kHz beep at known times: what is seen and heard from one start on."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.data.media.referee import H264, decode_video, ffmpeg, track
from xdcbench.data.media import probe, read_audio, read_clip

EVENTS = (0.52, 1.4)
RATE, FINE = 16_000, 250  # Hz of the audio; frames per second looked at
WITHIN = 0.010

B_FRAMES = (*H264, "-bf", "2")
MPEG4 = ("-c:v", "mpeg4", "-g", "10")
MADE: dict[str, tuple[str, ...]] = {
    "aac.mp4": (*B_FRAMES, "-c:a", "aac"),
    "mp3.mp4": (*B_FRAMES, "-c:a", "libmp3lame"),
    "late.mp4": (*B_FRAMES, "-c:a", "aac", "-output_ts_offset", "5"),
    "fragments.mp4": (*B_FRAMES, "-c:a", "aac", "-movflags", "frag_keyframe+delay_moov"),
    "aac.mkv": (*B_FRAMES, "-c:a", "aac"),
    "vorbis.mkv": (*B_FRAMES, "-c:a", "libvorbis"),
    "opus.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-ar", "48000", "-c:a", "libopus"),
    "vorbis.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "pcm.avi": (*MPEG4, "-c:a", "pcm_s16le"),
    "mp2.mpg": ("-c:v", "mpeg1video", "-c:a", "mp2"),
    "aac.ts": (*B_FRAMES, "-c:a", "aac"),
    "mp2.ts": ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"),
}
CUT: dict[str, tuple[str, ...]] = {
    "at_a_frame.mp4": ("-ss", "0.32"),
    "within_a_frame.mp4": ("-ss", "0.3"),
    "late_in_a_frame.mp4": ("-ss", "0.359"),
    "cut.mkv": ("-ss", "0.3"),
}


def flash_and_beep(path: Path, *options: str) -> Path:
    """Two seconds at 25 frames a second, flashes of two frames."""
    shows = "+".join(f"between(t,{at - 0.001},{at + 0.079})" for at in EVENTS)
    beeps = "+".join(f"between(t,{at},{at + 0.03})" for at in EVENTS)
    ffmpeg(
        *("-f", "lavfi", "-i", f"color=black:s=64x48:r=25:d=2,drawbox=t=fill:c=white:enable='{shows}'"),
        *("-f", "lavfi", "-i", f"aevalsrc='0.7*sin(2000*PI*t)*({beeps})':s=44100:d=2"),
        *(*options, path),
    )
    return path


def rises(on: NDArray[np.bool_], rate: float) -> list[float]:
    """Times at which something begins, at least 0.1 s after it ended."""
    places = np.flatnonzero(on)
    return [places[0] / rate, *(b / rate for a, b in pairwise(places) if b - a > 0.1 * rate)]


def seen(path: Path, start: float) -> NDArray[np.float64]:
    clip = read_clip(path, start=start, frames=int(2.2 * FINE), fps=FINE, short_side=8)
    return start + np.array(rises(clip.float().mean((1, 2, 3)).numpy() > 128, FINE))


def heard(path: Path, start: float) -> NDArray[np.float64]:
    audio = read_audio(path, start=start, seconds=2.2, sample_rate=RATE).numpy()
    return start + np.array(rises(np.abs(audio) > 0.2, RATE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sync")


@pytest.mark.parametrize("name", MADE)
def test_the_beep_is_heard_at_the_flash(folder: Path, name: str) -> None:
    path = flash_and_beep(folder / name, *MADE[name])
    for start in (0.0, 0.37, -0.2):
        np.testing.assert_allclose(seen(path, start), EVENTS, atol=1 / FINE)
        np.testing.assert_allclose(heard(path, start), EVENTS, atol=WITHIN / 4)


@pytest.mark.parametrize("name", CUT)
def test_a_video_trimmed_without_encoding(folder: Path, name: str) -> None:
    whole = flash_and_beep(folder / "whole.mp4", *MADE["aac.mp4"])
    ffmpeg(*CUT[name], "-i", whole, "-c", "copy", folder / name)
    for start in (0.0, -0.2):
        flashes, beeps = seen(folder / name, start), heard(folder / name, start)
        np.testing.assert_allclose(beeps, flashes, atol=WITHIN / 2)
        np.testing.assert_allclose(np.diff(flashes), np.diff(EVENTS), atol=2 / FINE)


@pytest.mark.parametrize(("late", "apart"), [("video", -0.5), ("audio", 0.5)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_stream_that_the_file_delays(folder: Path, late: str, apart: float, suffix: str) -> None:
    whole = flash_and_beep(folder / "whole.mp4", *MADE["aac.mp4"])
    path = folder / f"{late}.{suffix}"
    delayed = ("-itsoffset", "0.5", "-i", whole)
    inputs = (*delayed, "-i", whole) if late == "video" else ("-i", whole, *delayed)
    ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    np.testing.assert_allclose(seen(path, 0.0), EVENTS, atol=1 / FINE)
    np.testing.assert_allclose(heard(path, 0.0) - EVENTS, apart, atol=WITHIN / 2)


@pytest.mark.parametrize(
    "options",
    [(*MPEG4, "-c:a", "libmp3lame"), (*MPEG4, "-bf", "2", "-c:a", "libmp3lame")],
    ids=["mp3", "mp3, B-frames"],
)
def test_avi_cannot_tell_delays_and_is_read_as_ffmpeg_reads_it(
    folder: Path, options: tuple[str, ...]
) -> None:
    path = flash_and_beep(folder / "mp3.avi", *options)
    audio, origin = track(path), probe(path).start
    beeps = audio.start - origin + np.array(rises(np.abs(audio.samples) > 0.2, audio.rate))
    video = decode_video(path)
    flashes = video.times[np.flatnonzero(np.diff(video.frames.mean((1, 2, 3))) > 128) + 1]
    np.testing.assert_allclose(seen(path, 0.0), flashes, atol=1 / FINE)
    np.testing.assert_allclose(heard(path, 0.0), beeps, atol=0.001)
    np.testing.assert_allclose(beeps, flashes, atol=0.025)
