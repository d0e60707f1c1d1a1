"""AVI files of a world: B-frames packed as XviD packs them, and the fault of genuine files that comes of it."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.media.referee import decode_video, ffmpeg
from tests.unit.data.media.videos import index_of, numbered_frame
from xdcbench.data.media import read_clip
from xdcbench.data.synthetic import xvid
from xdcbench.data.synthetic.encode import encode_video

RATE = 25
FRAME = b"\0\0\1\xb6"
FILLER = 7
"""Bytes up to which FFmpeg's decoder takes a frame for one that is not coded."""


def encoded(frames: int, *, rate: int = RATE, audio: bool = False) -> bytes:
    images = np.stack([numbered_frame(i) for i in range(frames)])
    wave = np.zeros(16_000 * frames // rate, np.float32) if audio else None
    return encode_video(images, wave, container="avi", fps=rate, sample_rate=16_000)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("xvid") / "video.avi"
    path.write_bytes(encoded(50))
    return path


def chunks(path: Path) -> list[tuple[bytes, bool]]:
    with av.open(str(path)) as file:
        return [(bytes(packet), packet.is_keyframe) for packet in file.demux(video=0) if packet.size]


def test_it_is_packed_as_xvid_itself_packs(path: Path, tmp_path: Path) -> None:
    """Chunk by chunk: so many frames in each, and fillers of the same bits as libxvid's."""
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s=64x48:r={RATE}:d=2,scroll=h=0.11"),
        *("-c:v", "libxvid", "-bf", "2", tmp_path / "xvid.avi"),
    )
    kinds: dict[str, set[tuple[int, bool]]] = {}
    for name, written in (("own", path), ("libxvid", tmp_path / "xvid.avi")):
        found = [data for data, _ in chunks(written)]
        kinds[name] = {(data.count(FRAME), len(data) <= FILLER) for data in found}
        reference = b""
        for data in found:
            if len(data) <= FILLER:
                assert data == xvid._not_coded(reference, RATE)
            elif data[data.index(FRAME) + 4] >> 6 != 2:
                reference = data
        assert b"DivX503b1393p" in found[0] and b"XviD00" in found[0]
    assert kinds["own"] == kinds["libxvid"] == {(1, False), (2, False), (1, True)}
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.codec_tag == "XVID"


def test_times_that_a_demuxer_makes_up_run_backwards(path: Path) -> None:
    """As for genuine UCF101 and HMDB51 files, where every second frame was lost by believing them."""
    with av.open(str(path)) as file:  # PyAV has missing times made up
        times = [frame.pts for frame in file.decode(video=0)]
    assert sum(b is not None and a is not None and b < a for a, b in pairwise(times)) > 10


def test_every_frame_is_there_in_order(path: Path) -> None:
    truth = [index_of(torch.from_numpy(frame.copy())) for frame in decode_video(path).frames]
    clip = read_clip(path, start=0.0, frames=50, fps=RATE, short_side=48)
    assert [index_of(frame) for frame in clip] == truth == list(range(50))


def test_keyframes_are_frequent(path: Path) -> None:
    places = [i for i, (_, key) in enumerate(chunks(path)) if key]
    assert places[0] == 0 and max(b - a for a, b in pairwise([*places, 50])) <= 8


@given(frames=st.integers(1, 26), rate=st.integers(2, 60), audio=st.booleans())
@settings(max_examples=20, deadline=None)
def test_videos_of_any_length_and_rate(
    tmp_path_factory: pytest.TempPathFactory, frames: int, rate: int, audio: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "video.avi"
    path.write_bytes(encoded(frames, rate=rate, audio=audio))
    assert path.read_bytes() == encoded(frames, rate=rate, audio=audio)
    clip = read_clip(path, start=1e-4, frames=frames, fps=rate, short_side=48)
    assert [index_of(frame) for frame in clip] == list(range(frames))
