"""What `data verify` found out reaches the index, as long as the files are the same."""

import os
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.data.media.referee import ffmpeg, film
from xdcbench.context import Context
from xdcbench.data import index as stage
from xdcbench.data.audit.known import with_verified
from xdcbench.data.audit.local import Local, facts, local
from xdcbench.data.audit.verify import verify
from xdcbench.data.index import Index
from xdcbench.schema import Dataset
from xdcbench.stages import IndexStage

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
    """A film as it should be, and one whose packets are all there, of which the second half does not decode."""
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


def verified(root: Path, out: Path) -> Local:
    data = local("files", FILES, root, out)
    report = verify(data, facts(data, workers=1, limit=60), clip_seconds=0.5)
    assert {finding["path"] for finding in report["findings"] if finding["kind"] == "length"} == {
        "spoiled.mov"
    }
    return data


def indexed(root: Path, out: Path, run: Path) -> dict[str, float]:
    """Length of the video of each file."""
    run.mkdir()
    context = Context("tests", roots={"files": root}, cache=out / "cache")
    stage.run(IndexStage(name="files", dataset=FILES), {}, run, context)
    items = Index.load(run).items
    assert (items["duration"] == items["video_seconds"]).all()
    assert items["audio_seconds"].tolist() == pytest.approx([4.0, 4.0], abs=0.01)
    return dict(zip(items["path"], items["video_seconds"], strict=True))


def test_the_index_has_the_lengths_that_decode(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert indexed(root, out, tmp_path / "before") == {"fine.mov": 4.0, "spoiled.mov": 4.0}
    verified(root, out)
    found = indexed(root, out, tmp_path / "after")
    assert found["fine.mov"] == 4.0
    assert found["spoiled.mov"] == pytest.approx(2.0, abs=0.1)
    assert found["spoiled.mov"] == pytest.approx(film(root / "spoiled.mov").times[-1] + 0.04, abs=0.01)


def test_a_file_that_changed_since_counts_as_not_verified(root: Path, tmp_path: Path) -> None:
    verified(root, tmp_path / "out")
    os.utime(root / "spoiled.mov", ns=(1, 1))
    assert indexed(root, tmp_path / "out", tmp_path / "run") == {"fine.mov": 4.0, "spoiled.mov": 4.0}


def test_another_state_of_the_data_set_does_not_count(root: Path, tmp_path: Path) -> None:
    data = verified(root, tmp_path / "out")
    items = data.scan.items.assign(**stage.probe_all(data.scan.items, root))
    folder = tmp_path / "out" / "data"
    assert with_verified(items, root, folder, "another mark") is items
    assert with_verified(items, root, folder, data.fingerprint)["video_seconds"].iloc[1] < 3
