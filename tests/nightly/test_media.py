"""Every real file against ffmpeg's decode, and the memory of many reads."""

import gc
from pathlib import Path

import pytest

from tests.unit.data.media.referee import H264, ffmpeg
from tests.unit.data.media.test_real import assert_like_ffmpeg, media
from xdcbench.data.media import read_audio, read_clip

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("name", ["awkward", "clips", "grid", "esc10"])
def test_real_files_are_read_as_ffmpeg_reads_them(shared_data: Path, name: str) -> None:
    paths = media(shared_data / name)
    assert len(paths) >= 19
    for path in paths:
        assert_like_ffmpeg(path)


def resident() -> int:
    """Pages of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_memory_stays_flat_over_many_reads(tmp_path: Path) -> None:
    """A scaler left behind by every read would show as 15 MB each."""
    path = tmp_path / "video.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=s=340x256:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2")
    ffmpeg(*source, *H264, "-c:a", "aac", path)
    seen = []
    for _ in range(10):
        for i in range(100):
            read_clip(path, start=i / 60, frames=8, fps=25, short_side=128)
            read_audio(path, start=i / 60, seconds=0.3, sample_rate=16_000)
        gc.collect()
        seen.append(resident())
    assert max(seen[3:]) < 1.02 * seen[2]
