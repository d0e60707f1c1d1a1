"""Files whose names FFmpeg would take for addresses of something else."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.unit.data.media.videos import FRAMES, RATE, write
from xdcbench.config.data import ShardSettings
from xdcbench.data.media import probe, read_audio, read_clip
from xdcbench.data.media.inspect import inspect
from xdcbench.data.media.url import local_url
from xdcbench.data.preparation.transcode import encode_audio
from xdcbench.data.preparation.video import encode_video
from xdcbench.reports.clusters.media import write_audio, write_video

NAMES = (
    "file:decoy.mp4",
    "concat:decoy.mp4|decoy.mp4",
    "http:x.mp4",
    "http:x?y=z#t.mp4",
    "pipe:0.mp4",
    "data:,x.mp4",
    "subfile,,start,0,end,9,,:decoy.mp4",
    "cache:decoy.mp4",
    "%03d.mp4",
    "-i.mp4",
    "a\nb.mp4",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("address") / "whole.mp4")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which holds what an address would lead to."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "decoy.mp4", video=None, audio="aac")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_whatever_it_is_called(here: Path, whole: Path, name: str) -> None:
    shutil.copy(whole, here / name)
    path = Path(name)
    assert probe(path) == probe(whole)
    assert inspect(path).frames == FRAMES
    clip = {"start": 0.0, "frames": 4, "fps": 4.0, "short_side": 32}
    assert torch.equal(read_clip(path, **clip), read_clip(whole, **clip))
    window = {"start": 0.0, "seconds": 1.0, "sample_rate": RATE}
    assert torch.equal(read_audio(path, **window), read_audio(whole, **window))


@pytest.mark.parametrize("folder", ["concat:out", "http:out", "file:out"])
def test_a_file_is_written_whatever_its_folder_is_called(here: Path, whole: Path, folder: str) -> None:
    out = Path(folder)
    out.mkdir()
    encode_video(whole, ShardSettings(short_side=16), out / "a.mp4")
    encode_audio(whole, ShardSettings(audio_codec="flac"), out / "b.flac")
    write_video(torch.zeros(4, 16, 16, 3, dtype=torch.uint8), 12, out / "c.mp4")
    write_audio(torch.zeros(RATE), RATE, out / "d.mp3")
    assert {path.name for path in (here / folder).iterdir()} == {"a.mp4", "b.flac", "c.mp4", "d.mp3"}


def test_a_url_is_absolute(here: Path) -> None:
    assert local_url(Path("http:x.mp4")) == f"file:{here}/http:x.mp4"
    assert local_url(Path("/a/b c.mp4")) == "file:/a/b c.mp4"
