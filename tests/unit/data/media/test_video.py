"""Clips against ffmpeg's own decode: which frame is on display, upright, in the right colors."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.data.media.referee import H264, PATTERN, DecodedVideo, decode_video, distances, ffmpeg
from tests.unit.data.media.videos import FLASH, FPS, FRAMES, index_of, numbered_frame, write
from xdcbench.data.media import probe, read_clip, read_image
from xdcbench.data.media import video as module
from xdcbench.data.media.container import opened, video_stream

BOUND = 2.0  # of 255, mean over a frame: the colors that two builds of FFmpeg may differ by
STARTS = (
    (0.0, 9),
    (-0.35, 10),
    (0.51, 30),
    (1.33, 7),
    (1.85, 4),
    (7.0, 10),
)  # start and rate; the video ends at 2

VARIABLE = ("-vf", "select='lt(mod(n,7),3)+eq(n,19)'", "-fps_mode", "vfr")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=none:keyint=8")
VIDEOS: dict[str, tuple[str, ...]] = {
    "h264.mp4": (*H264, "-bf", "2"),
    "h264.mkv": (*H264, "-bf", "2"),
    "h264.ts": (*H264, "-bf", "2"),
    "h264.flv": (*H264, "-bf", "2"),
    "late.mp4": (*H264, "-output_ts_offset", "7.3"),
    "variable.mp4": (*H264, "-bf", "2", *VARIABLE),
    "variable.mkv": (*H264, *VARIABLE),
    "10bit.mp4": (*H264, "-pix_fmt", "yuv420p10le", "-color_range", "tv"),
    "444.mp4": (*H264, "-pix_fmt", "yuv444p"),
    "hevc.mp4": X265,
    "hevc10.mkv": (*X265, "-pix_fmt", "yuv420p10le"),
    "av1.mp4": ("-c:v", "libaom-av1", "-cpu-used", "8", "-g", "8"),
    "vp8.webm": ("-c:v", "libvpx", "-g", "8"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-g", "8"),
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-g", "8", "-bf", "2"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-g", "8", "-bf", "2"),
    "xvid.avi": ("-c:v", "mpeg4", "-vtag", "XVID", "-g", "8"),
    "b_frames.avi": ("-c:v", "mpeg4", "-g", "8", "-bf", "2"),
    "theora.ogv": ("-c:v", "libtheora", "-g", "8"),
    "wmv.asf": ("-c:v", "wmv2", "-g", "8"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "prores.mov": (
        "-c:v",
        "prores_ks",
    ),
    "odd.mkv": ("-vf", "scale=65:49", "-c:v", "ffv1", "-pix_fmt", "yuv420p"),
    "odd444.mp4": ("-vf", "scale=65:49", *H264, "-pix_fmt", "yuv444p"),
    "one_frame.mp4": (*H264, "-frames:v", "1"),
    "animation.gif": (),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frame")


def assert_same(path: Path, truth: DecodedVideo) -> None:
    """Every clip shows ffmpeg's frames, each nearer than any other frame of the video."""
    found = [distances(path, truth, start=start, frames=6, fps=rate) for start, rate in STARTS]
    assert sum(map(len, found)) >= 24
    assert max(max(of) for of in found) < BOUND / 10
    steps = np.abs(np.diff(truth.frames.astype(int), axis=0)).mean((1, 2, 3))
    assert steps.min(initial=np.inf) > BOUND / 2, "neighbors must be told apart"


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_on_display_are_those_of_ffmpeg(folder: Path, name: str) -> None:
    ffmpeg(*PATTERN, *VIDEOS[name], folder / name)
    assert_same(folder / name, decode_video(folder / name))


def test_a_dropped_first_keyframe(folder: Path) -> None:
    """The second keyframe stands in for what does not decode; the clock begins where the file does."""
    source, path = folder / "whole.ts", folder / "dropped.ts"
    ffmpeg(*PATTERN, *H264, "-bf", "2", source)
    ffmpeg("-i", source, "-c", "copy", "-bsf:v", "noise=drop='eq(n,0)'", path)
    truth, announced = decode_video(path), probe(path).start
    assert truth.first == pytest.approx(announced + 0.2)
    assert_same(path, replace(truth, times=truth.times + truth.first - announced))


def test_a_video_trimmed_off_its_keyframes(folder: Path) -> None:
    source, path = folder / "whole.mp4", folder / "trimmed.mp4"
    ffmpeg(*PATTERN, *H264, "-bf", "2", source)
    ffmpeg("-ss", "0.5", "-i", source, "-c", "copy", path)
    with av.open(str(path)) as container:
        assert container.streams.video[0].index_entries[0].is_discard
    truth = decode_video(path)
    assert len(truth.times) < 50
    assert max(distances(path, truth, start=0.05, frames=9, fps=10)) < BOUND / 10
    assert max(distances(path, truth, start=0.95, frames=9, fps=10)) < BOUND / 10


LONG = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=8,scroll=h=0.11:v=0.07")
UNINDEXED: dict[str, tuple[str, ...]] = {
    "long.mpg": ("-c:v", "mpeg1video", "-g", "12"),
    "b_frames.mpg": ("-c:v", "mpeg2video", "-g", "12", "-bf", "2"),
    "long.ts": (*H264[:-1], "40", "-bf", "2"),
}


@pytest.mark.parametrize("name", UNINDEXED)
def test_where_seeks_find_no_keyframe_packets_do(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding begins at the keyframe before the clip, in a file that is opened once."""
    path, group = folder / name, int(UNINDEXED[name][UNINDEXED[name].index("-g") + 1])
    ffmpeg(*LONG, *UNINDEXED[name], path)
    truth, timed, opened_again = decode_video(path), module.timed, module.opened
    decoded: list[float] = []
    entered: list[Path] = []

    def counted(*of: Any, **options: Any) -> Any:
        for time, frame in timed(*of, **options):
            decoded.append(time)
            yield time, frame

    monkeypatch.setattr(module, "timed", counted)
    monkeypatch.setattr(module, "opened", lambda media: entered.append(media) or opened_again(media))
    starts = (0.13, 1.01, 1.99, 2.13, 3.65, 5.33, 7.01)
    for start in starts:
        decoded.clear()
        assert max(distances(path, truth, start=start, frames=6, fps=25)) < BOUND / 10
        assert len(decoded) <= group + 6 + 3
    assert len(entered) == len(starts)


def test_frames_of_size_zero_repeat_the_frame(folder: Path) -> None:
    """Theora and AVI write nothing for a frame that stays."""
    path = folder / "steady.ogv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=3,fps=1,fps=25", "-c:v", "libtheora", path)
    with av.open(str(path)) as container:
        assert sum(packet.size == 0 for packet in container.demux(video=0)) > 20
    truth = decode_video(path)
    assert max(distances(path, truth, start=0.01, frames=14, fps=5)) < BOUND / 10


def test_frames_that_change_their_size_keep_the_first_ones(folder: Path) -> None:
    small, large, both = (folder / f"{name}.ts" for name in ("small", "large", "both"))
    ffmpeg(*PATTERN, *H264, small)
    ffmpeg(*PATTERN, "-vf", "scale=128:96", *H264, "-output_ts_offset", "2", large)
    both.write_bytes(small.read_bytes() + large.read_bytes())
    clip = read_clip(both, start=3.05, frames=3, fps=2, short_side=48).numpy()
    truth = decode_video(large, size="64:48")
    for i, own in enumerate(clip):
        expected = truth.at(1.05 + i / 2)
        assert expected is not None
        assert np.abs(own.astype(int) - expected).mean() < BOUND


# ------------------------------------------------------------------------------------------ colors

TINTS = ("0xC83214", "0x1E9650", "0x2846D2", "0xE6E6E6", "0x141414")
ENCODINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "untagged": ("bt601", ()),
    "601": ("bt601", ("-colorspace", "smpte170m")),
    "709": ("bt709", ("-colorspace", "bt709")),
    "2020, 10 bits": ("bt2020", ("-colorspace", "bt2020nc", "-pix_fmt", "yuv420p10le")),
    "10 bits": ("bt601", ("-pix_fmt", "yuv420p10le")),
    "4:4:4": ("bt709", ("-colorspace", "bt709", "-pix_fmt", "yuv444p")),
    "full range": ("bt601", ("-color_range", "pc", "-pix_fmt", "yuvj420p")),
    "709, full range": ("bt709", ("-colorspace", "bt709", "-color_range", "pc")),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_colors_come_back(tmp_path: Path, name: str) -> None:
    """Plain colors, encoded by a known matrix, against the colors themselves; both ways round once."""
    matrix, tags = ENCODINGS[name]
    span = "full" if "pc" in tags else "limited"
    convert = f"scale=out_color_matrix={matrix}:out_range={span}"
    pixels = "format=yuv420p" if "-pix_fmt" not in tags else f"format={tags[-1]}"
    for tint in TINTS:
        path = tmp_path / f"{tint}.mp4"
        source = ("-f", "lavfi", "-i", f"color={tint}:s=64x48:r=5:d=0.4,format=gbrp")
        ffmpeg(*source, "-vf", f"{convert},{pixels}", *H264, "-crf", "1", *tags, path)
        truth = np.frombuffer(bytes.fromhex(tint[2:]), np.uint8).astype(int)
        assert np.abs(read_image(path, short_side=48).numpy() - truth).mean() < 2 * BOUND


@pytest.mark.parametrize("size", ["128x96", "1280x720"], ids=["small", "HD"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_colors_are_those_of_ffmpeg(tmp_path: Path, name: str, size: str) -> None:
    """At the stored size and scaled down; untagged HD is no exception."""
    path = tmp_path / "video.mp4"
    source = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=5:d=0.2")
    ffmpeg(*source, *H264, *ENCODINGS[name][1], path)
    for height in (int(size.split("x")[1]), 72):
        (truth,) = decode_video(path, size=f"-2:{height}").frames
        own = read_image(path, short_side=height).numpy().astype(int)
        assert np.abs(own - truth).mean() < BOUND / 10


# ----------------------------------------------------------------------------------------- rotation


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_video_stands_upright(folder: Path, turn: int) -> None:
    source, path = folder / "plain.mp4", folder / f"turned_{turn}.mp4"
    ffmpeg(*PATTERN, *H264, source)
    ffmpeg("-display_rotation", turn, "-i", source, "-c", "copy", path)
    truth = decode_video(path)
    assert truth.frames.shape[1:3] == ((48, 64) if turn == 180 else (64, 48))
    assert_same(path, truth)
    clip = read_clip(path, start=0, frames=2, fps=9, short_side=24)
    assert clip.shape[1:3] == ((24, 32) if turn == 180 else (32, 24))


def test_rotation_matrix_of_a_telephone(tmp_path: Path) -> None:
    """ISO 14496-12, 8.3.2: the matrix (0, 1, -1, 0) shows the frame a quarter turn clockwise."""
    plain = write(tmp_path / "plain.mp4", audio=None)
    data = bytearray(plain.read_bytes())
    place = data.index(b"tkhd") + 44
    for i, value in enumerate([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]):
        data[place + 4 * i : place + 4 * i + 4] = value.to_bytes(4, "big", signed=True)
    (tmp_path / "turned.mp4").write_bytes(data)
    stored, shown = (read_image(tmp_path / f"{n}.mp4", short_side=48) for n in ("plain", "turned"))
    assert torch.equal(shown, torch.rot90(stored, -1, dims=(0, 1)))


# ------------------------------------------------------------------------------------ counted frames

KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"g": "12", "bf": "2"}},
    "mpeg4.avi": {"video": "mpeg4", "audio": "mp3", "options": {"g": "8", "bf": "2"}},
    "late.mkv": {"options": {"g": "7"}, "audio": "flac", "offset": 2.0},
}


def expected_indices(start: float, frames: int, rate: float) -> list[int]:
    """By hand: the first frame stands in before the video, the last one after it."""
    times = [start + i / rate for i in range(frames)]
    return [min(max(math.floor(t * FPS + 1e-3), 0), FRAMES - 1) for t in times]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("start", "rate"), [(0.0, 10), (0.05, 10), (1.0, 30), (1.97, 5), (2.5, 10), (-0.4, 10), (9.0, 10)]
)
def test_frame_on_display_is_shown(folder: Path, kind: str, start: float, rate: float) -> None:
    path = folder / f"counted_{kind}"
    if not path.exists():
        write(path, **KINDS[kind])
    clip = read_clip(path, start=start, frames=8, fps=rate, short_side=48)
    assert clip.shape == (8, 48, 64, 3)
    assert clip.dtype == torch.uint8
    assert [index_of(image) for image in clip] == expected_indices(start, 8, rate)


@given(start=st.floats(-1, 4), frames=st.integers(1, 12), rate=st.floats(1, 60))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_clip_is_the_definition(folder: Path, start: float, frames: int, rate: float) -> None:
    path = folder / "any.mp4"
    if not path.exists():
        write(path, options={"g": "6", "bf": "2"})
    times = [start + i / rate for i in range(frames)]
    nearest = min(abs(t * FPS - round(t * FPS)) for t in times)
    shown = [
        index_of(image) for image in read_clip(path, start=start, frames=frames, fps=rate, short_side=24)
    ]
    if nearest > 0.01:
        assert shown == expected_indices(start, frames, rate)
    assert len(shown) == frames
    assert all(a <= b for a, b in pairwise(shown))


@pytest.mark.parametrize("short_side", [16, 24, 96])
def test_short_side(tmp_path: Path, short_side: int) -> None:
    path = write(tmp_path / "a.mp4", audio=None)
    assert read_image(path, short_side=short_side).shape == (short_side, short_side * 4 // 3, 3)


@pytest.mark.parametrize(("suffix", "codec"), [("png", "png"), ("JPEG", "mjpeg"), ("JPEG", "png")])
def test_images_are_read_by_content(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"n01440764_%02d.{suffix}"
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.time_base = 64, 48, Fraction(1, 10)
    encoder.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
    frame = av.VideoFrame.from_ndarray(numbered_frame(FLASH), format="rgb24").reformat(format=encoder.pix_fmt)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    path.write_bytes(b"".join(bytes(p) for p in packets))
    image = read_image(path, short_side=48)
    assert (image.int() - torch.from_numpy(numbered_frame(FLASH)).int()).abs().float().mean() < 6


# -------------------------------------------------------------------------------------------- scaler


def test_one_scaler_on_one_thread_serves_a_clip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder / "scaled.mp4", audio=None)
    made, scaler = [], module._scaler
    monkeypatch.setattr(module, "_scaler", lambda *of: made.append(scaler(*of)) or made[-1])
    read_clip(path, start=1.0, frames=8, fps=10, short_side=24)
    assert [graph.threads for graph in made] == [1]


def test_scaling_starts_no_thread(folder: Path) -> None:
    path = write(folder / "threads.mp4", audio=None)
    with opened(path) as container:
        frame = next(container.decode(video_stream(container)))
        before = len(list(Path("/proc/self/task").iterdir()))
        convert = module._Converter(24)
        assert convert(frame).shape == (24, 32, 3)
        assert len(list(Path("/proc/self/task").iterdir())) == before


def test_probe_and_first_frame_agree_on_time_zero(folder: Path) -> None:
    path = folder / "b.avi"
    ffmpeg(*PATTERN, "-c:v", "mpeg4", "-bf", "2", path)
    with av.open(str(path)) as container:
        first = next(container.decode(video=0))
    assert first.time is not None
    assert probe(path).start == pytest.approx(first.time)
