"""Opening: what a file says of itself, what is no media, and that nothing is left open."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.unit.data.media.referee import H264, PATTERN, TONE, decode_video, distances, ffmpeg
from tests.unit.data.media.videos import RATE, click_track, index_of, numbered_frame, write
from xdcbench.data.media import probe, read_audio, read_clip, read_image
from xdcbench.data.media.container import audio_stream, decoded, opened, video_stream
from xdcbench.errors import MediaError, MediaUnreachableError

READERS: tuple[Callable[[Path], object], ...] = (
    probe,
    lambda path: read_clip(path, start=0, frames=2, fps=2, short_side=16),
    lambda path: read_audio(path, start=0, seconds=1, sample_rate=RATE),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of video and audio; its header stands first."""
    path = tmp_path_factory.mktemp("container") / "whole.mp4"
    ffmpeg(*PATTERN, *TONE, *H264, "-c:a", "aac", "-movflags", "faststart", path)
    return path


def refused(path: Path) -> str:
    """The one reason for which every reader refuses a file."""
    reasons = set()
    for read in READERS:
        with pytest.raises(MediaError) as caught:
            read(path)
        assert caught.value.path == path
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(str(path)) == 1
        reasons.add(caught.value.reason)
    (reason,) = reasons
    return reason


@pytest.mark.parametrize("data", [b"", b"not a video", b"\x00" * 5000, b"one,two\n" * 999], ids=repr)
@pytest.mark.parametrize("name", ["bad.mp4", "bad.avi", "bad.wav", "bad.jpg"])
def test_what_is_no_media_is_a_media_error(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert "Invalid data" in refused(tmp_path / name)


def test_absent_files_and_folders_are_out_of_reach_not_unreadable(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for name, reason in (("absent.mp4", "No such file or directory"), ("folder.mp4", "Is a directory")):
        with pytest.raises(MediaUnreachableError, match=f"not reachable: .*{name} \\({reason}\\)"):
            probe(tmp_path / name)


@pytest.mark.parametrize("cut", [1, 20])
def test_a_file_cut_within_its_header_is_a_media_error(tmp_path: Path, whole: Path, cut: int) -> None:
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:cut])
    assert refused(tmp_path / "cut.mp4")


def test_a_file_without_its_index_is_a_media_error(tmp_path: Path) -> None:
    """The header of an ordinary mp4 stands last: a broken download has none."""
    path = write(tmp_path / "a.mp4")
    (tmp_path / "cut.mp4").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "Invalid data" in refused(tmp_path / "cut.mp4")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile whole.ts\n"),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.0,\nwhole.ts\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_playlist_is_refused(tmp_path: Path, whole: Path, name: str, text: str) -> None:
    ffmpeg("-i", whole, "-c", "copy", tmp_path / "whole.ts")
    (tmp_path / name).write_text(text)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video, "FFmpeg itself would follow it"
    assert "playlist" in refused(tmp_path / name)


def test_a_playlist_of_files_that_are_gone_is_there_itself(tmp_path: Path) -> None:
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile gone.ts\n")
    assert "playlist" in refused(tmp_path / "list.mp4")


def test_a_playlist_of_remote_files_fetches_nothing(tmp_path: Path) -> None:
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.0,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(text)
    assert refused(tmp_path / "list.m3u8")


@pytest.mark.parametrize("name", ["video.avi", "video.mkv", "video.mpg", "video.wav", "video.txt", "video"])
def test_the_name_of_a_video_does_not_matter(tmp_path: Path, whole: Path, name: str) -> None:
    shutil.copy(whole, tmp_path / name)
    assert probe(tmp_path / name) == probe(whole)
    assert max(distances(tmp_path / name, decode_video(whole), start=0.55, frames=3, fps=3)) == 0
    assert read_audio(tmp_path / name, start=0, seconds=1, sample_rate=RATE).abs().max() > 0.1


def test_what_a_file_says_of_itself(tmp_path: Path, whole: Path) -> None:
    info = probe(whole)
    assert (info.width, info.height, info.fps, info.sample_rate, info.channels) == (64, 48, 25, 16_000, 1)
    assert (info.has_video, info.has_audio, info.start, info.duration) == (True, True, 0.0, 2.0)


@pytest.mark.parametrize("codec", ["mpeg1video.mpg", "libx264.mkv"])
def test_containers_that_do_not_count_their_frames(tmp_path: Path, codec: str) -> None:
    path = tmp_path / codec
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", path.stem, path)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    assert probe(path).duration == pytest.approx(2.0, abs=0.09)
    assert max(distances(path, decode_video(path), start=1.01, frames=6, fps=9)) < 0.1


def test_metadata_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    ffmpeg(*PATTERN, *TONE, "-c:v", "mpeg4", "-metadata", "title=XXXXXXXX", path)
    path.write_bytes(path.read_bytes().replace(b"XXXXXXXX", b"caf\xe9\xff\xfe\x80!"))
    with pytest.raises(UnicodeDecodeError), av.open(str(path)) as plain:
        assert plain.metadata
    assert probe(path).has_video
    assert max(distances(path, decode_video(path), start=0.55, frames=4, fps=5)) < 0.1
    assert read_audio(path, start=0, seconds=1, sample_rate=RATE).abs().max() > 0.1


def test_a_cover_image_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as out:
        audio = out.add_stream("aac", rate=RATE)
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(click_track(RATE)[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        audio.layout = "mono"
        image = av.VideoFrame.from_ndarray(numbered_frame(1), format="rgb24").reformat(format="yuvj420p")
        for packet in [*cover.encode(image), *cover.encode(None), *audio.encode(frame), *audio.encode(None)]:
            out.mux(packet)
    with av.open(str(tmp_path / "song.m4a")) as written:
        assert len(written.streams.video) == 1
    assert not probe(tmp_path / "song.m4a").has_video
    with pytest.raises(MediaError, match="no video stream"):
        read_image(tmp_path / "song.m4a", short_side=16)


def test_a_cover_image_before_the_video(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "video.mp4"
    cover = ("-f", "lavfi", "-i", "color=red:s=32x32:r=1:d=1")
    streams = ("-map", "1:v", "-map", "0:v", "-c:v:0", "png", "-c:v:1", "copy")
    ffmpeg("-i", whole, *cover, *streams, "-disposition:v:0", "attached_pic", path)
    assert (probe(path).width, probe(path).height) == (64, 48)
    assert max(distances(path, decode_video(path), start=0.55, frames=4, fps=5)) == 0


def test_of_several_streams_the_first_is_read(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "several.mkv"
    others = ("-f", "lavfi", "-i", "color=red:s=32x32:r=5:d=2", "-f", "lavfi", "-i", "anullsrc=r=8000:d=2")
    order = ("-map", "0:a", "-map", "2:a", "-map", "0:v", "-map", "1:v")
    ffmpeg("-i", whole, *others, *order, *H264, "-crf", "0", "-c:a", "flac", path)
    assert (probe(path).width, probe(path).sample_rate) == (64, 16_000)
    assert max(distances(path, decode_video(whole), start=0.55, frames=4, fps=5)) == 0
    assert read_audio(path, start=0, seconds=1, sample_rate=RATE).abs().max() > 0.1


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
        clip = read_clip(broken, start=0.0, frames=30, fps=10, short_side=48)
        assert [index_of(i) for i in clip[:6]] == list(range(6))
        audio = read_audio(broken, start=0.0, seconds=3.0, sample_rate=RATE)
        assert audio.isfinite().all()


def held(kind: str) -> int:
    """Threads (``task``) or open files (``fd``) of this process."""
    return len(list(Path("/proc/self", kind).iterdir()))


def test_decoding_takes_one_thread(whole: Path) -> None:
    with opened(whole) as container:
        streams = [video_stream(container), audio_stream(container)]
        before = held("task")
        for stream in streams:
            assert stream is not None
            assert next(decoded(container, stream)) is not None
            assert stream.codec_context.thread_count == 1
        assert held("task") == before


def test_nothing_is_left_open(tmp_path: Path, whole: Path) -> None:
    """Five hundred reads, of which every fifth fails."""
    bad, avi = tmp_path / "bad.mp4", tmp_path / "a.avi"
    bad.write_bytes(whole.read_bytes()[:-3000])
    ffmpeg("-i", whole, "-c:v", "mpeg4", "-bf", "2", "-c:a", "copy", avi)
    (tmp_path / "text.mp4").write_text("text")
    paths = itertools.cycle([whole, avi, bad, whole, tmp_path / "text.mp4"])
    read_image(whole, short_side=16)
    before, failed = held("fd"), 0
    for i, path in zip(range(250), paths, strict=False):
        for read in READERS[1 + i % 2 :]:
            try:
                read(path)
            except MediaError:
                failed += 1
    assert failed >= 50
    assert held("fd") <= before
