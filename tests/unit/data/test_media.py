import math
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
from numpy.typing import NDArray

from xdcbench.data.media import probe, read_audio, read_clip, read_image
from xdcbench.data.media.picture import _clip
from xdcbench.data.media.sound import _sound
from xdcbench.errors import MediaError

FPS, FRAMES, SECONDS, RATE = 10, 30, 3.0, 16_000
FLASH = 12  # the frame that is white; a click sounds at its time


def picture(index: int, *, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Six vertical bars that spell the index in binary; frame FLASH has a white lower half."""
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(6):
        image[: height // 2, bit * width // 6 : (bit + 1) * width // 6] = 220 * (index >> bit & 1) + 16
    image[height // 2 :] = 235 if index == FLASH else 16
    return image


def index_of(image: torch.Tensor) -> int:
    height, width = image.shape[:2]
    bars = [image[height // 4, round((b + 0.5) * width / 6)].float().mean() for b in range(6)]
    return sum(int(level > 110) << bit for bit, level in enumerate(bars))


def click_track(rate: int, seconds: float = SECONDS) -> NDArray[np.float32]:
    """A 5-ms burst at the time of the flash in silence."""
    wave = np.zeros(round(rate * seconds), np.float32)
    begin, size = round(FLASH / FPS * rate), round(0.005 * rate)
    wave[begin : begin + size] = 0.8 * np.sin(np.arange(size) * 2 * np.pi * 1000 / rate)
    return wave


def write(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    wave: NDArray[np.float32] | None = None,
    rate: int = RATE,
    offset: float = 0.0,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    container: dict[str, str] | None = None,
) -> Path:
    """A file of counted frames and a click; ``offset`` delays both streams on the container's clock."""
    with av.open(str(path), "w", options=container or {}) as out:
        pictures = out.add_stream(video, rate=FPS, options=options or {}) if video else None
        sound = out.add_stream(audio, rate=rate) if audio else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = (
                64,
                48,
                "yuvj420p" if video == "mjpeg" else "yuv420p",
            )
            if rotation:
                pictures.set_display_rotation(rotation)
        if sound:
            sound.layout = "mono"
        for i in range(FRAMES if pictures else 0):
            frame = av.VideoFrame.from_ndarray(picture(i), format="rgb24")
            frame.pts, frame.time_base = i + round(offset * FPS), Fraction(1, FPS)
            out.mux(pictures.encode(frame))
        if sound:
            wave = click_track(rate) if wave is None else wave
            planar = "p" if sound.format.is_planar else ""
            kind = "s16" if "s16" in sound.format.name else "flt"
            data = (wave * 32767).astype(np.int16) if kind == "s16" else wave
            piece = sound.codec_context.frame_size or 1024
            for begin in range(0, len(data), piece):
                block = np.ascontiguousarray(data[None, begin : begin + piece])
                frame = av.AudioFrame.from_ndarray(block, format=kind + planar, layout="mono")
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = begin + round(offset * rate)
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
        if pictures:
            out.mux(pictures.encode(None))
    return path


KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"g": "12", "bf": "2"}},
    "h264.mkv": {"options": {"g": "7"}, "audio": "libopus", "rate": 48_000},
    "mpeg4.avi": {"video": "mpeg4", "audio": "mp3", "options": {"g": "8", "bf": "2"}},
    "mjpeg.avi": {"video": "mjpeg", "audio": "pcm_s16le"},
    "vp9.webm": {"video": "libvpx-vp9", "audio": "libopus", "rate": 48_000, "options": {"g": "9"}},
    "late.mkv": {"options": {"g": "7"}, "audio": "flac", "offset": 2.0},
    "late.mp4": {"offset": 4.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module", params=list(KINDS))
def made(request: pytest.FixtureRequest, folder: Path) -> Path:
    arguments = dict(KINDS[request.param])
    return write(folder / request.param, **arguments)


def expected_indices(start: float, frames: int, rate: float) -> list[int]:
    times = [start + i / rate for i in range(frames)]
    return [min(max(math.floor(t * FPS + 1e-3), 0), FRAMES - 1) for t in times]


def test_probe_tells_what_was_written(made: Path) -> None:
    info = probe(made)
    assert (info.has_video, info.has_audio, info.width, info.height) == (True, True, 64, 48)
    assert info.rate == pytest.approx(FPS, rel=0.01)
    assert info.channels == 1
    assert info.start == pytest.approx({"late.mkv": 2.0, "late.mp4": 4.0}.get(made.name, 0.0), abs=0.12)


@pytest.mark.parametrize(
    ("start", "rate"), [(0.0, 10), (0.05, 10), (1.0, 30), (1.97, 5), (2.5, 10), (-0.4, 10)]
)
def test_frame_on_display_is_shown(made: Path, start: float, rate: float) -> None:
    clip = read_clip(made, start=start, frames=8, rate=rate, short_side=48)
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
        index_of(image) for image in read_clip(path, start=start, frames=frames, rate=rate, short_side=24)
    ]
    if nearest > 0.01:
        assert shown == expected_indices(start, frames, rate)
    assert len(shown) == frames
    assert all(a <= b for a, b in pairwise(shown))


def test_click_is_heard_when_the_flash_is_seen(made: Path) -> None:
    # mp3 in AVI has no means to tell the encoder's delay (1105 samples); the others do.
    tolerance = 0.075 if made.name == "mpeg4.avi" else 0.003
    for start in (0.0, 0.5, 1.0):
        sound = read_audio(made, start=start, seconds=1.5, rate=RATE)
        heard = start + float(sound.abs().argmax()) / RATE
        clip = read_clip(made, start=start, frames=15, rate=FPS, short_side=24)
        seen = start + int(clip[:, 18, 12].float().mean(-1).argmax()) / FPS
        assert seen == pytest.approx(FLASH / FPS)
        assert heard == pytest.approx(FLASH / FPS + 0.0025, abs=tolerance)


def test_windows_are_cut_from_one_signal(made: Path) -> None:
    whole = read_audio(made, start=-0.5, seconds=4.0, rate=RATE)
    assert whole.shape == (4 * RATE,)
    assert whole.dtype == torch.float32
    for start in (-0.25, 0.3, 1.15, 2.9):
        part = read_audio(made, start=start, seconds=0.5, rate=RATE)
        begin = round((start + 0.5) * RATE)
        assert torch.equal(part, whole[begin : begin + RATE // 2])


@pytest.mark.parametrize("native", [8000, 11_025, 16_000, 44_100, 48_000])
def test_wav_is_resampled_in_time_and_level(tmp_path: Path, native: int) -> None:
    time = np.arange(2 * native) / native
    path = write(
        tmp_path / "sine.wav",
        video=None,
        audio="pcm_f32le",
        rate=native,
        wave=(0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32),
    )
    sound = read_audio(path, start=0.7, seconds=1.0, rate=RATE)
    truth = 0.5 * np.sin(2 * np.pi * 440 * (0.7 + np.arange(RATE) / RATE))
    np.testing.assert_allclose(sound.numpy(), truth, atol=2e-3)
    assert not read_audio(path, start=2.1, seconds=0.2, rate=RATE).any()
    assert not read_audio(path, start=-0.5, seconds=0.45, rate=RATE).any()


@pytest.mark.parametrize(
    ("codec", "sample", "dtype"),
    [("pcm_u8", "u8", np.uint8), ("pcm_s16le", "s16", np.int16), ("pcm_s32le", "s32", np.int32)],
)
def test_channels_are_averaged_at_full_scale_one(
    tmp_path: Path, codec: str, sample: str, dtype: type
) -> None:
    info = np.iinfo(dtype)
    middle = (int(info.max) + int(info.min) + 1) // 2
    quarter = (int(info.max) - int(info.min) + 1) // 8
    data = np.zeros((1, 2000), dtype)
    data[0, 0::2] = middle + 2 * quarter
    data[0, 1::2] = middle - quarter
    path = tmp_path / "stereo.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=8000)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(data, format=sample, layout="stereo")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert probe(path).channels == 2
    sound = read_audio(path, start=0.0, seconds=0.1, rate=8000)
    torch.testing.assert_close(sound, torch.full((800,), 0.125))


def test_no_sound_and_silence_differ(tmp_path: Path) -> None:
    mute = write(tmp_path / "mute.mp4", audio=None)
    silent = write(tmp_path / "silent.mp4", wave=np.zeros(3 * RATE, np.float32))
    assert (probe(mute).has_audio, probe(silent).has_audio) == (False, True)
    with pytest.raises(MediaError, match="no sound track"):
        read_audio(mute, start=0, seconds=1, rate=RATE)
    assert not read_audio(silent, start=0, seconds=1, rate=RATE).any()
    sound = write(tmp_path / "sound.wav", video=None, audio="pcm_s16le")
    assert (probe(sound).has_video, probe(sound).duration) == (False, 3.0)
    with pytest.raises(MediaError, match="no video stream"):
        read_clip(sound, start=0, frames=1, rate=1, short_side=24)


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_rotation_is_applied(tmp_path: Path, turn: int) -> None:
    plain = write(tmp_path / "plain.mp4", audio=None, options={"qp": "0"})
    turned = write(tmp_path / "turned.mp4", audio=None, options={"qp": "0"}, rotation=turn)
    stored = read_clip(plain, start=0.5, frames=2, rate=10, short_side=48)
    shown = read_clip(turned, start=0.5, frames=2, rate=10, short_side=48)
    assert torch.equal(shown, torch.rot90(stored, turn // 90, dims=(1, 2)))


def test_rotation_matrix_of_a_telephone(tmp_path: Path) -> None:
    """ISO 14496-12, 8.3.2: the matrix (0, 1, -1, 0) shows the picture a quarter turn clockwise."""
    plain = write(tmp_path / "plain.mp4", audio=None)
    data = bytearray(plain.read_bytes())
    place = data.index(b"tkhd") + 44
    for i, value in enumerate([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]):
        data[place + 4 * i : place + 4 * i + 4] = value.to_bytes(4, "big", signed=True)
    (tmp_path / "turned.mp4").write_bytes(data)
    stored, shown = (read_image(tmp_path / f"{n}.mp4", short_side=48) for n in ("plain", "turned"))
    assert torch.equal(shown, torch.rot90(stored, -1, dims=(0, 1)))


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
    frame = av.VideoFrame.from_ndarray(picture(FLASH), format="rgb24").reformat(format=encoder.pix_fmt)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    path.write_bytes(b"".join(bytes(p) for p in packets))
    image = read_image(path, short_side=48)
    assert (image.int() - torch.from_numpy(picture(FLASH)).int()).abs().float().mean() < 6


@pytest.mark.parametrize("data", [b"", b"not a video", b"\x00" * 5000, b"ffconcat version 1.0\nfile a.mp4\n"])
def test_what_is_no_media_is_a_media_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(data)
    for call in (
        lambda: probe(path),
        lambda: read_clip(path, start=0, frames=2, rate=2, short_side=16),
        lambda: read_audio(path, start=0, seconds=1, rate=RATE),
    ):
        with pytest.raises(MediaError) as caught:
            call()
        assert caught.value.path == path
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(str(path)) == 1


def test_absent_file_is_a_media_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        probe(tmp_path / "absent.mp4")


def test_metadata_that_is_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", video="mpeg4", audio=None)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.avi"), "w") as out:
        out.metadata["title"] = "XXXXXXXX"
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    data = (tmp_path / "b.avi").read_bytes()
    (tmp_path / "b.avi").write_bytes(data.replace(b"XXXXXXXX", b"caf\xe9\xff\xfe\x80!"))
    with pytest.raises(UnicodeDecodeError), av.open(str(tmp_path / "b.avi")) as plain:
        assert plain.metadata
    assert probe(tmp_path / "b.avi").has_video
    assert read_image(tmp_path / "b.avi", short_side=24).shape == (24, 32, 3)


def test_damage_in_the_middle_is_survived(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", options={"g": "5"}, container={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    middle = (begin + len(data)) // 2
    data[middle : middle + 200] = b"\xff" * 200
    damaged, cut = tmp_path / "damaged.mp4", tmp_path / "cut.mp4"
    damaged.write_bytes(data)
    cut.write_bytes(path.read_bytes()[:middle])
    for broken in (damaged, cut):
        clip = read_clip(broken, start=0.0, frames=30, rate=10, short_side=48)
        assert [index_of(i) for i in clip[:6]] == list(range(6))
        sound = read_audio(broken, start=0.0, seconds=3.0, rate=RATE)
        assert sound.isfinite().all()


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as out:
        sound = out.add_stream("aac", rate=RATE)
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(click_track(RATE)[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        sound.layout = "mono"
        image = av.VideoFrame.from_ndarray(picture(1), format="rgb24").reformat(format="yuvj420p")
        for packet in [*cover.encode(image), *cover.encode(None), *sound.encode(frame), *sound.encode(None)]:
            out.mux(packet)
    with av.open(str(tmp_path / "song.m4a")) as written:
        assert len(written.streams.video) == 1
    assert not probe(tmp_path / "song.m4a").has_video


REAL = ("clips", "awkward")


def test_real_files_decode_as_from_the_start_or_raise(shared_data: Path) -> None:
    paths = sorted(
        p for f in REAL for p in (shared_data / f).rglob("*") if p.suffix not in {".csv", ".txt", ".md"}
    )
    paths += sorted((shared_data / "grid" / "video").glob("*"))[:2]
    paths += sorted((shared_data / "esc10" / "audio").glob("*"))[:2]
    paths = [p for p in paths if p.is_file()]
    assert len(paths) >= 40
    for path in paths:
        info = probe(path)
        start = info.duration * 0.6
        times = [start + i / 8 for i in range(3)]
        if info.has_video:
            plain = _clip(path, times, 32, seek=False)
            assert plain is not None
            assert torch.equal(read_clip(path, start=start, frames=3, rate=8, short_side=32), plain), path
        if info.has_audio:
            begin = round(start * RATE)
            sound = _sound(path, begin, RATE // 2, RATE, seek=False)
            assert sound is not None
            got = read_audio(path, start=start, seconds=0.5, rate=RATE)
            assert torch.equal(got, torch.from_numpy(sound)), path


def test_rotated_real_pair(shared_data: Path) -> None:
    upright = read_image(shared_data / "awkward" / "decord" / "video_0.mov", short_side=64)
    turned = read_image(shared_data / "awkward" / "decord" / "video_90.mov", short_side=64)
    assert (upright.shape[0] > upright.shape[1]) != (turned.shape[0] > turned.shape[1])
