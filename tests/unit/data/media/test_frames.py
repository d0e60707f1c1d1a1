"""Each frame where ffmpeg shows it, by codec, B-frames and container; the whole grid is in tests/nightly."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.media.counted import FPS, FRAMES, Counted, write
from tests.unit.data.media.referee import distances, ffmpeg, film
from xdcbench.data.media import read_clip

STARTS = ((-0.3, 12, FPS), (0.02, FRAMES, FPS), (0.93, 9, 7.3), (1.21, 2, FPS), (2.2, 9, FPS))
"""Start, frames and rate of clips."""
SOUND_FILMS = ("xvid_1.avi", "xvid_2.avi", "h264_3.avi", "mpeg4_3.avi", "mpeg1_2.avi", "h264_2.mp4")
OTHERS = ("h264_3.mkv", "mpeg4_2.mov", "mpeg1_2.mpg", "mpeg2_3.mpg", "h264_2.ts", "mpeg2_1.ts", "h264_2.flv")
NO_B = ("h264_0.asf", "wmv2_0.asf", "msmpeg4_0.avi", "mjpeg_0.mov")
FAULTY = ("xvid_2.mkv", "xvid_1.ts", "xvid_3.mp4", "xvid_1.asf")
"""B-frames packed as AVI needs it, in containers that state times: these run backwards."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


def counted(folder: Path, name: str) -> Counted:
    (codec, b_frames), container = name.split(".")[0].split("_"), name.split(".")[1]
    return Counted.of(write(folder, codec, int(b_frames), container))


@pytest.mark.parametrize("name", [*SOUND_FILMS, *OTHERS, *NO_B, *FAULTY])
def test_every_frame_is_where_ffmpeg_shows_it(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = counted(folder, name)
    assert len(of.times) > FRAMES - 4
    for clip in STARTS:
        of.assert_clip(*clip)
    of.assert_all_distinct()
    of.assert_prepared(tmp_path)
    of.assert_hashed(monkeypatch)
    of.assert_sound()
    if name not in FAULTY:
        assert len(set(of.indices)) > FRAMES - 4
        of.assert_inspected()


@pytest.mark.parametrize("name", ["mpeg1_2.m1v", "mpeg2_0.m2v", "mpeg4_2.m4v", "h264_2.h264"])
def test_bare_streams_count_their_frames(folder: Path, tmp_path: Path, name: str) -> None:
    """They state no times; those that FFmpeg makes up for some are not believed."""
    codec, container = name.split("_")[0], name.split(".")[1]
    path = folder / name
    frames = write(folder, codec, int(name.split("_")[1][0]), "mov")
    ffmpeg("-i", frames, "-c", "copy", "-an", *(("-f", "h264") if container == "h264" else ()), path)
    of = Counted.of(path)
    for clip in STARTS:
        of.assert_clip(*clip)
    of.assert_all_distinct()
    of.assert_prepared(tmp_path)
    of.assert_inspected()


def test_films_of_trials(trial_media: Path) -> None:
    """By their pixels: 100 frames of testsrc2 in the shape of genuine UCF101 and HMDB51 files."""
    for name in ("xvid_bframes.avi", "h264_bframes.avi"):
        path = trial_media / name
        truth = film(path)
        for start in (-0.2, 0.0, 0.51, 1.33, 2.02, 3.1, 3.9):
            assert max(distances(path, truth, start=start, frames=30, rate=25)) < 0.2
        side = min(truth.pictures.shape[1:3])
        clip = read_clip(path, start=0.02, frames=30, rate=25, short_side=side).numpy()
        assert len({frame.tobytes() for frame in clip}) == 30
        assert np.abs(clip.astype(int) - truth.pictures[:30]).mean((1, 2, 3)).max() < 0.2
