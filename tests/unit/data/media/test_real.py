"""Real files, decoders' own test files among them, against ffmpeg's decode of the whole file."""

from pathlib import Path

import pytest

from tests.unit.data.media.referee import decode_video, distances
from tests.unit.data.media.test_audio import assert_same
from xdcbench.data.media import probe, read_clip

# As stored, or small where ffmpeg's frames would fill the memory.
SIZE = ":".join(
    f"'if(lt(min(iw,ih),400),{as_stored},if(lt({as_stored},{other}),48,-1))'"
    for as_stored, other in (("iw", "ih"), ("ih", "iw"))
)
BOUND = 0.5  # of 255, mean over a frame
LARGE = ("cockatoo", "bigbuckbunny", "video_00819", "video_00323", "nasa_13013.mp4", "corrupted")


def media(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in {".csv", ".txt", ".md"})


def assert_like_ffmpeg(path: Path) -> None:
    """Frames at the start, in the middle (through a seek) and beyond the end; every sample of the audio."""
    info = probe(path)
    if info.has_video:
        truth = decode_video(path, size=SIZE)
        for start, frames in ((-0.1, 3), (0.57 * truth.times[-1], 4), (truth.times[-1], 2)):
            found = distances(path, truth, start=start, frames=frames, fps=7.3)
            assert max(found) < BOUND, (path.name, start)
    if info.has_audio:
        assert_same(path, atol=2e-5, peak=0)


@pytest.mark.parametrize("name", ["awkward", "clips/kinetics", "clips/misc", "grid", "esc10"])
def test_real_files_are_read_as_ffmpeg_reads_them(shared_data: Path, name: str) -> None:
    paths = [path for path in media(shared_data / name) if not path.name.startswith(LARGE)]
    if name in ("grid", "esc10"):
        paths = paths[:: len(paths) // 3][:3]
    assert paths
    for path in paths:
        assert_like_ffmpeg(path)


def test_a_damaged_file_gives_what_decodes(shared_data: Path) -> None:
    """A frame that cannot be decoded is left out; the one before it stays."""
    path = shared_data / "awkward" / "decord" / "corrupted.mp4"
    truth = decode_video(path, size=SIZE)
    assert len(truth.times) < probe(path).fps * probe(path).duration
    assert max(distances(path, truth, start=0.0, frames=20, fps=4.1)) < BOUND


def test_a_video_turned_by_its_file(shared_data: Path) -> None:
    folder = shared_data / "awkward" / "decord"
    shapes = [
        read_clip(folder / f"video_{turn}.mov", start=0, frames=1, fps=1, short_side=64).shape
        for turn in (0, 90)
    ]
    assert shapes[0][1:3] == shapes[1][1:3][::-1]
