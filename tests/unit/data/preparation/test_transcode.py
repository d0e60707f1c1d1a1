import io
import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torchvision.io import encode_jpeg, encode_png

from tests.unit.data.media.referee import H264, ffmpeg, track
from tests.unit.data.media.videos import FLASH, FPS, FRAMES, click_track, index_of, write
from xdcbench.config.data import ShardSettings
from xdcbench.data.media import Member, probe, read_audio, read_clip, read_image
from xdcbench.data.preparation.transcode import BLOCK, encode_audio, image, transcode
from xdcbench.data.preparation.video import EncodedVideo, encode_video, encoded_fps
from xdcbench.errors import MediaError

SMALL = ShardSettings(short_side=32, keyframe_interval=4)


def member(data: bytes) -> Member:
    return Member(Path("member"), data)


def encoded(path: Path, settings: ShardSettings) -> tuple[EncodedVideo, bytes]:
    out = path.with_name("out.mp4")
    return encode_video(path, settings, out), out.read_bytes()


def heard(path: Path, settings: ShardSettings) -> bytes:
    out = path.with_name(f"out.{settings.audio_codec}")
    encode_audio(path, settings, out)
    return out.read_bytes()


def kept(path: Path, media: str) -> dict[str, bytes]:
    """Contents of the members of an original by suffix."""
    made = transcode(path, media, SMALL, path.with_name("out")).members.values()
    return {file.suffix[1:]: file.read_bytes() for file in made}


def indices(data: bytes, count: int, rate: float) -> list[int]:
    clip = read_clip(member(data), start=0.0, frames=count, fps=rate, short_side=48)
    return [index_of(frame) for frame in clip]


# ------------------------------------------------------------------------------------------ frame


@pytest.mark.parametrize("offset", [0.0, 1.5])
def test_every_frame_is_where_it_was(tmp_path: Path, offset: float) -> None:
    made, data = encoded(write(tmp_path / "a.mp4", offset=offset), SMALL)
    assert (made.fps, made.frames, made.width, made.height) == (FPS, FRAMES, 42, 32)
    assert indices(data, FRAMES, FPS) == list(range(FRAMES))
    assert probe(member(data)).start == 0


def test_a_faster_video_keeps_the_frames_on_display(tmp_path: Path) -> None:
    made, data = encoded(write(tmp_path / "a.mp4"), ShardSettings(fps=4))
    assert made.fps == 4
    assert indices(data, 12, 4) == [int(k / 4 * FPS) for k in range(12)]


def test_a_video_of_varying_rate_is_shown_by_time(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mp4")
    ffmpeg(
        "-i",
        source,
        "-vf",
        r"settb=1/1000,select=not(eq(n\,3))*not(between(n\,7\,9)),setpts=PTS+0.031/TB*gt(sin(N)\,0)",
        "-fps_mode",
        "vfr",
        "-enc_time_base",
        "1:1000",
        "-g",
        8,
        tmp_path / "b.mkv",
    )
    made, data = encoded(tmp_path / "b.mkv", ShardSettings(fps=25))
    assert made.fps == 25
    for k in range(5, made.frames - 5):
        ours = read_clip(member(data), start=k / 25, frames=1, fps=1, short_side=48)
        theirs = read_clip(tmp_path / "b.mkv", start=k / 25, frames=1, fps=1, short_side=48)
        assert index_of(ours[0]) == index_of(theirs[0])


def test_rates_of_constant_videos_are_kept(tmp_path: Path) -> None:
    for rate in ("30000/1001", "25", "12.5"):
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=64x48:r={rate}:d=2", tmp_path / "a.mkv")
        assert encoded_fps(tmp_path / "a.mkv", 30.0) == Fraction(rate)


def test_frames_are_upright_and_never_enlarged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", rotation=90)
    made, data = encoded(path, ShardSettings())
    assert (made.width, made.height) == (48, 64)
    ours = read_clip(member(data), start=1.0, frames=2, fps=FPS, short_side=48).float()
    theirs = read_clip(path, start=1.0, frames=2, fps=FPS, short_side=48).float()
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().mean() < 3


def test_colors_are_those_of_the_original(tmp_path: Path) -> None:
    bars = ("-f", "lavfi", "-i", "smptehdbars=s=320x180:r=5:d=1")
    kinds = {
        "hd": (
            "-vf",
            "scale=out_color_matrix=bt709:out_range=tv",
            "-colorspace",
            "bt709",
            "-pix_fmt",
            "yuv420p",
        ),
        "full": ("-vf", "scale=out_range=pc", "-pix_fmt", "yuvj420p", "-color_range", "pc"),
        "ten": ("-pix_fmt", "yuv420p10le"),
    }
    for name, words in kinds.items():
        path = tmp_path / f"{name}.mp4"
        ffmpeg(*bars, *words, "-c:v", "libx264", "-crf", 10, path)
        ours = read_clip(
            member(encoded(path, ShardSettings())[1]), start=0, frames=1, fps=1, short_side=160
        ).float()
        theirs = read_clip(path, start=0, frames=1, fps=1, short_side=160).float()
        assert (ours - theirs).abs().mean() < 3, name


def test_keyframes_come_as_asked_and_nothing_is_reordered(tmp_path: Path) -> None:
    _, data = encoded(write(tmp_path / "a.mp4"), SMALL)
    with av.open(io.BytesIO(data)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert container.streams.video[0].codec_context.has_b_frames == 0
    assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == list(range(0, FRAMES, 4))
    assert [packet.pts for packet in packets] == sorted(packet.dts for packet in packets)


def test_the_same_video_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    assert kept(path, "video") == kept(path, "video")


def test_a_frame_that_stands_for_hours_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", audio=None)
    ffmpeg("-i", path, "-vf", r"setpts=PTS+gte(N\,20)*5000/TB", "-fps_mode", "vfr", tmp_path / "b.mkv")
    with pytest.raises(MediaError, match="time stamps are wrong"):
        encode_video(tmp_path / "b.mkv", SMALL, tmp_path / "out.mp4")


# -------------------------------------------------------------------------------------------- audio


@pytest.mark.parametrize("offset", [0.0, 0.7])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_audio_is_the_original_at_every_time(tmp_path: Path, kind: str, offset: float) -> None:
    path = write(tmp_path / "a.mp4", rate=44_100, offset=offset)
    data = heard(path, ShardSettings(audio_codec=kind))
    for start in (0.0, 0.333, FLASH / FPS - 0.2, 2.5):
        ours = read_audio(member(data), start=start, seconds=1.0, sample_rate=16_000)
        theirs = read_audio(path, start=start, seconds=1.0, sample_rate=16_000)
        assert (ours - theirs).abs().max() <= 0.5 / 2**15 + 1e-7
    assert probe(member(data)).sample_rate == 16_000


def test_long_audio_is_cut_from_one_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mkv", audio="flac", rate=44_100)
    kinds = [ShardSettings(audio_codec="wav"), ShardSettings(audio_codec="flac")]
    whole = [heard(path, kind) for kind in kinds]
    monkeypatch.setattr("xdcbench.data.preparation.transcode.WINDOW", 2 * BLOCK)
    assert [heard(path, kind) for kind in kinds] == whole


def test_audio_that_lasts_longer_than_the_video_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", wave=np.full(16_000 * 5, 0.25, np.float32))
    ours = read_audio(member(kept(path, "video")["wav"]), start=4, seconds=0.5, sample_rate=16_000)
    assert ours.mean() > 0.2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.aac", ("-c:a", "aac")),
        ("a.mp3", ("-c:a", "libmp3lame", "-q:a", "5", "-write_xing", "0")),
        ("a.mka", ("-c:a", "libopus", "-live", "1")),
        ("a.ogg", ("-c:a", "libvorbis")),
        ("a.flac", ("-c:a", "flac")),
    ],
)
@pytest.mark.parametrize("quiet", ["lt(t,0.4)", "gt(t,0.4)"], ids=["quiet at the end", "quiet at first"])
def test_all_audio_is_kept_and_none_is_made(
    tmp_path: Path, name: str, options: tuple[str, ...], quiet: str
) -> None:
    """The bit rate of the beginning says nothing of the length: 10.03 s were stored as 2.16 s or as 436 s."""
    path = tmp_path / name
    loud = f"aevalsrc='({quiet}*0.9+0.0001)*(2*random(0)-1)':s=48000:d=3.03"
    ffmpeg("-f", "lavfi", "-i", loud, *options, path)
    truth = track(path)
    frames = len(kept(path, "audio")["wav"][44:]) // 2
    assert frames == pytest.approx(len(truth.samples) / truth.rate * 16_000, abs=32)


@pytest.mark.parametrize(("seen", "heard"), [(3.0, 1.2), (1.2, 3.0)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv"])
def test_each_member_is_as_long_as_its_track(tmp_path: Path, suffix: str, seen: float, heard: float) -> None:
    path = tmp_path / f"a.{suffix}"
    inputs = ("-f", "lavfi", "-i", f"testsrc2=s=64x48:r=10:d={seen}")
    ffmpeg(*inputs, "-f", "lavfi", "-i", f"sine=440:r=44100:d={heard}", *H264, "-c:a", "aac", path)
    found = kept(path, "video")
    truth = track(path)
    assert probe(member(found["mp4"])).duration == pytest.approx(seen, abs=0.01)
    assert probe(member(found["wav"])).duration == pytest.approx(len(truth.samples) / truth.rate, abs=0.03)


def test_audio_that_begins_late_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=3", "-itsoffset", "0.7")
    ffmpeg(*inputs, "-f", "lavfi", "-i", "sine=440:r=16000:d=1", *H264, "-c:a", "flac", path)
    wave = read_audio(member(kept(path, "video")["wav"]), start=0, seconds=3, sample_rate=16_000).numpy()
    loud = np.flatnonzero(np.abs(wave) > 0.01) / 16_000
    assert (loud[0], loud[-1]) == (pytest.approx(0.7, abs=0.005), pytest.approx(1.7, abs=0.005))


def test_audio_louder_than_full_scale_is_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", video=None, audio="pcm_f32le", wave=4 * click_track(16_000))
    ours = read_audio(member(heard(path, ShardSettings())), start=1, seconds=1, sample_rate=16_000)
    theirs = read_audio(path, start=1, seconds=1, sample_rate=16_000)
    assert theirs.max() > 2
    torch.testing.assert_close(ours, theirs.clip(-1, 1 - 2**-15), atol=2**-16 + 1e-7, rtol=0)


# ----------------------------------------------------------------------------------- whole originals


def test_each_kind_of_dataset_keeps_what_it_needs(tmp_path: Path) -> None:
    both, mute = write(tmp_path / "a.mp4"), write(tmp_path / "b.mp4", audio=None)
    assert list(kept(both, "video")) == ["mp4", "wav"]
    assert list(kept(mute, "video")) == ["mp4"]
    assert list(kept(both, "audio")) == ["wav"]
    with pytest.raises(MediaError, match="holds no audio"):
        kept(mute, "audio")


def test_what_does_not_decode_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError):
        kept(tmp_path / "a.mp4", "video")


def test_a_member_that_cannot_be_written_is_no_fault_of_the_original(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        for media in ("video", "audio"):
            with pytest.raises(OSError, match="File too large"):
                kept(path, media)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert list(kept(path, "video")) == ["mp4", "wav"]


def test_images_shrink_or_stay_as_they_are(tmp_path: Path) -> None:
    y, x = torch.meshgrid(torch.arange(90), torch.arange(120), indexing="ij")
    frame = torch.stack([2 * x, 2 * y, x + y]).to(torch.uint8)
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(encode_jpeg(frame).numpy()))
    assert image(path, ShardSettings()) == (path.read_bytes(), 120, 90)
    data, width, height = image(path, SMALL)
    assert (width, height) == (43, 32)
    small = read_image(path, short_side=32).float()
    assert (read_image(member(data), short_side=32).float() - small).abs().mean() < 2
    path.write_bytes(bytes(encode_png(frame).numpy()))
    data, *size = image(path, ShardSettings())
    assert (data[:2], size) == (b"\xff\xd8", [120, 90])
