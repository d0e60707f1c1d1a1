"""What `data verify` found out reaches the index, as long as the files are the same."""

import os
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.data.media.referee import decode_video, ffmpeg
from xdcbench.config.data import Dataset
from xdcbench.config.stages import IndexStage
from xdcbench.data import index_stage as stage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.data.known_lengths import lengths_hash, verified_lengths
from xdcbench.data.local import LocalDataset, facts, find_local
from xdcbench.data.sources import Lookup, find_source
from xdcbench.data.validation.verify import verify
from xdcbench.errors import UserError
from xdcbench.pipeline.graph import Stage

FILES = Dataset(
    title="Files",
    adapter="filelist",
    folder="files",
    media="video",
    splits=("mine",),
    options={"list": "list.csv"},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A video as it should be, and one whose packets are all there, of which the second half does not decode."""
    root = tmp_path / "files"
    root.mkdir()
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=4", "-f", "lavfi", "-i", "sine=r=16000:d=4")
    ffmpeg(*inputs, "-c:v", "mjpeg", "-c:a", "pcm_s16le", root / "fine.mov")
    content = bytearray((root / "fine.mov").read_bytes())
    begins = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"]
    middle, end = begins[len(begins) // 2], begins[-1] + 1400  # what follows is the table of the samples
    content[middle:end] = bytes(end - middle)
    (root / "spoiled.mov").write_bytes(content)
    rows = {"path": ["fine.mov", "spoiled.mov"], "split": "train"}
    pd.DataFrame(rows).to_csv(root / "list.csv", index=False)
    return root


def verified(root: Path, out: Path) -> LocalDataset:
    data = find_local("files", FILES, root, out)
    report = verify(data, facts(data, workers=1, limit=60), clip_seconds=0.5)
    assert {finding["path"] for finding in report["findings"] if finding["kind"] == "length"} == {
        "spoiled.mov"
    }
    return data


def indexed(root: Path, out: Path, run: Path) -> tuple[str, dict[str, float]]:
    """Key of the stage as it is planned, and length of the video of each file."""
    run.mkdir()
    source = find_source("files", FILES, Lookup(root.parent, cache=None, verified=out / "data"))
    config = IndexStage(name="files", dataset=FILES, fingerprint=source.fingerprint, lengths=source.lengths)
    stage.run(config, {}, run, Context("tests", roots={"files": root}, cache=out / "cache"))
    items = Index.load(run).items
    assert (items["duration"] == items["video_seconds"]).all()
    assert items["audio_seconds"].tolist() == pytest.approx([4.0, 4.0], abs=0.01)
    key = Stage("index", "index/files", config).key
    return key, dict(zip(items["path"], items["video_seconds"], strict=True))


def test_the_index_has_the_lengths_that_decode_and_its_key_says_so(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    key, before = indexed(root, out, tmp_path / "before")
    assert before == {"fine.mov": 4.0, "spoiled.mov": 4.0}
    verified(root, out)
    other, found = indexed(root, out, tmp_path / "after")
    assert found["fine.mov"] == 4.0
    assert found["spoiled.mov"] == pytest.approx(2.0, abs=0.1)
    assert found["spoiled.mov"] == pytest.approx(
        decode_video(root / "spoiled.mov").times[-1] + 0.04, abs=0.01
    )
    assert other != key


def test_a_file_that_changed_since_counts_as_not_verified(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    key, before = indexed(root, out, tmp_path / "before")
    verified(root, out)
    os.utime(root / "spoiled.mov", ns=(1, 1))
    assert indexed(root, out, tmp_path / "after") == (key, before)


def test_a_verification_between_plan_and_run_is_noticed(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = verified(root, out)
    config = IndexStage(name="files", dataset=FILES, fingerprint=data.fingerprint, lengths="of another")
    with pytest.raises(UserError, match="verified anew while this run was planned"):
        stage.run(config, {}, tmp_path, Context("tests", roots={"files": root}, cache=out / "cache"))


def test_a_verification_of_another_state_does_not_count(root: Path, tmp_path: Path) -> None:
    data = verified(root, tmp_path / "out")
    folder = tmp_path / "out" / "data"
    assert verified_lengths(folder, data.fingerprint, root)["path"].tolist() == ["spoiled.mov"]
    assert verified_lengths(folder, "another mark", root).empty
    assert verified_lengths(tmp_path / "nowhere", data.fingerprint, root).empty
    assert lengths_hash(verified_lengths(folder, "another mark", root)) is None


@pytest.mark.parametrize("name", ["verify.json", "items.parquet"])
@pytest.mark.parametrize("content", [b"", b"\0" * 80, b"[]"])
def test_a_damaged_verification_does_not_count(root: Path, tmp_path: Path, name: str, content: bytes) -> None:
    data = verified(root, tmp_path / "out")
    (data.folder / name).write_bytes(content)
    assert verified_lengths(tmp_path / "out" / "data", data.fingerprint, root).empty
