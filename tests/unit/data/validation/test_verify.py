import json
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pandas as pd
import pytest

from tests.unit.tiny import small_index
from xdcbench.config.data import Dataset, Subset
from xdcbench.config.models import Models
from xdcbench.data.context import Context
from xdcbench.data.local import LocalDataset, facts, find_local
from xdcbench.data.media.inspect import Facts
from xdcbench.data.scanning.items import MISSING, Scan
from xdcbench.data.validation.verify import KINDS, verified_counts, verify
from xdcbench.evaluation.record_fields import record_fields
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.results.records import Record

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FILES = Dataset(
    title="Files",
    adapter="filelist",
    folder="files",
    media="video",
    splits=("mine",),
    options={"list": "list.csv", "label": "class", "split": "part"},
)


def write_video(
    path: Path, *, seconds: float = 2.5, audio: str | None = "sine=440:r=16000", heard: float = 2.5
) -> None:
    video = ["-f", "lavfi", "-i", f"testsrc2=s=160x120:r=10:d={seconds}"]
    track = ["-f", "lavfi", "-t", str(min(seconds, heard)), "-i", audio] if audio else []
    subprocess.run([FFMPEG, "-v", "error", *video, *track, "-movflags", "faststart", path], check=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind of fault, named by it, in two of three classes."""
    root = tmp_path_factory.mktemp("faulty")
    for name in ("fine", "twin"):
        write_video(root / f"{name}.mp4")
    write_video(root / "no_audio.mp4", audio=None)
    write_video(root / "silent.mp4", audio="anullsrc=r=16000:cl=mono")
    write_video(root / "audio_short.mp4", heard=1.8)
    write_video(root / "short.mp4", seconds=1.2)
    write_video(root / "extra.mp4")
    content = (root / "fine.mp4").read_bytes()
    (root / "damaged.mp4").write_bytes(content[: len(content) * 6 // 10])
    (root / "empty.mp4").write_bytes(b"")
    (root / "garbage.mp4").write_bytes(bytes(range(256)) * 16)
    subprocess.run([FFMPEG, "-v", "error", "-i", root / "fine.mp4", "-vn", root / "track.mp3"], check=True)
    (root / "track.mp3").rename(root / "wrong_audio.mp4")
    subprocess.run(
        [FFMPEG, "-v", "error", "-i", root / "fine.mp4", "-frames:v", "1", root / "image.png"], check=True
    )
    (root / "image.png").rename(root / "wrong_image.mp4")
    listed = [*sorted({p.name for p in root.glob("*.mp4")} - {"extra.mp4"}), "missing.mp4"]
    rows = [
        {
            "path": name,
            "class": "b" if name == "missing.mp4" else "a",
            "part": "test" if name == "twin.mp4" else "train",
        }
        for name in listed
    ]
    pd.DataFrame(rows).to_csv(root / "list.csv", index=False)
    return root


@pytest.fixture(scope="module")
def report(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data = find_local("files", FILES, root, tmp_path_factory.mktemp("out"))
    report = verify(data, facts(data, workers=1, limit=60), clip_seconds=2.0)
    assert json.loads((data.folder / "verify.json").read_text()) == report
    assert data.folder.name == f"files-{report['fingerprint'][:12]}"
    return report


def test_every_fault_is_told_apart(report: dict[str, Any]) -> None:
    found: dict[str, set[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["kind"], set()).add(Path(finding["path"]).stem)
        assert finding["reason"]
    assert found == {
        "missing": {"missing"},
        "extra": {"extra"},
        "undecodable": {"empty", "garbage"},
        "wrong_kind": {"wrong_audio", "wrong_image"},
        "damaged": {"damaged"},
        "no_audio": {"no_audio"},
        "silent": {"silent"},
        "audio_short": {"audio_short", "damaged"},
        "length": {"damaged"},
        "short": {"short", "damaged"},
    }
    reasons = {Path(f["path"]).stem: f["reason"] for f in report["findings"] if f["kind"] == "audio_short"}
    assert 0.6 <= float(reasons["audio_short"].split()[0]) <= 0.8


def test_what_the_scan_passed_over_is_told(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.wav").write_bytes(b"no audio")
    (root / "b.mp4").touch()
    (root / "c").symlink_to(root)
    (root / "d.wav").symlink_to("nowhere.wav")
    dataset = FILES.model_copy(update={"media": "audio", "options": {}})
    data = find_local("files", dataset, root, tmp_path / "out")
    found = verify(data, facts(data, workers=1, limit=60), clip_seconds=2.0)["findings"]
    assert [(f["path"], f["reason"].partition(":")[0]) for f in found if f["kind"] == "extra"] == [
        ("b.mp4", "on disk, but in no list or of another kind"),
        ("c", "passed over"),
        ("d.wav", "passed over"),
    ]


def test_counts_are_those_of_the_findings(report: dict[str, Any]) -> None:
    counts = report["counts"]
    assert (counts["expected"], counts["found"], counts["usable"]) == (12, 11, 7)
    for kind in KINDS:
        assert counts[kind] == sum(finding["kind"] == kind for finding in report["findings"])
    assert report["splits"]["mine"] == {
        "train": {"official": None, "listed": 11, "found": 10, "usable": 6},
        "test": {"official": None, "listed": 1, "found": 1, "usable": 1},
    }
    assert report["classes"] == {"number": 2, "without_items": ["b"]}
    assert not report["ok"]


# --------------------------------------------------------------------------------- what is judged how

FINE = Facts(
    container="mov,mp4",
    video_codec="h264",
    pix_fmt="yuv420p",
    width=64,
    height=48,
    rotation=0,
    fps=10.0,
    variable=False,
    frames=100,
    video_seconds=10.0,
    audio_codec="aac",
    sample_rate=16000,
    channels=1,
    audio_seconds=10.0,
    offset=0.0,
    peak=0.5,
    damaged=0,
    lost=0.0,
    video_stated=10.0,
    video_packets=10.0,
    video_gap=0.1,
    audio_stated=10.0,
    audio_packets=10.0,
    audio_span=10.0,
    audio_gap=0.0,
    bad_sample="",
)


def judged(
    tmp_path: Path,
    media: Any = "video",
    count: int = 1,
    *,
    dataset: Any = None,
    fingerprint: str = "f" * 64,
    **changes: Any,
) -> dict[str, Any]:
    """The report of ``count`` items of one training part with these facts."""
    names = [f"i{i}" for i in range(count)]
    items = pd.DataFrame(
        {"id": names, "path": names, "label": -1, "group": names, "bytes": 1, "split:mine": "train"}
    )
    facts = {"error": ""} | vars(FINE) | changes
    for track in ("video", "audio"):  # what is not said otherwise is as the length is
        alike = (f"{track}_stated", f"{track}_packets", f"{track}_span")
        facts |= {name: facts[f"{track}_seconds"] for name in alike if name in facts and name not in changes}
    items = items.assign(**facts)
    config = FILES.model_copy(update={"media": media, **(dataset or {})})
    folder = tmp_path / "files-ffffffffffff"
    folder.mkdir(parents=True)
    data = LocalDataset("files", config, tmp_path, Scan(items, ()), fingerprint, folder)
    return verify(data, items, clip_seconds=2.0)


def kinds(report: dict[str, Any]) -> set[str]:
    return {finding["kind"] for finding in report["findings"]}


@pytest.mark.parametrize(
    ("media", "changes", "expected"),
    [
        ("video", {}, set()),
        ("video", {"peak": 0.001}, set()),
        ("video", {"peak": 0.0009}, {"silent"}),
        ("video", {"audio_seconds": 9.95}, set()),
        ("video", {"audio_seconds": 9.85}, {"audio_short"}),
        ("video", {"offset": 0.3}, {"audio_short", "audio_long"}),
        ("video", {"offset": -0.3}, {"audio_short", "audio_long"}),
        ("video", {"offset": 20.0}, {"audio_short", "audio_long"}),
        ("video", {"audio_seconds": 10.09}, set()),
        ("video", {"audio_seconds": 10.11}, {"audio_long"}),
        ("video", {"video_gap": 1.01}, {"gap"}),
        ("video", {"audio_gap": 0.11}, {"gap"}),
        ("audio", {"audio_gap": 0.11}, {"gap"}),
        ("audio", {"video_gap": 1.01}, set()),
        ("video", {"video_stated": 10.21}, {"length"}),
        ("video", {"video_packets": 10.21}, {"length"}),
        ("video", {"audio_stated": 436.0}, {"length"}),
        ("audio", {"audio_packets": 9.89}, {"length"}),
        ("audio", {"audio_stated": math.nan}, set()),
        ("audio", {"video_stated": 436.0}, set()),
        ("video", {"video_stated": 11.8, "video_gap": 0.95}, set()),
        ("video", {"bad_sample": "why"}, {"damaged"}),
        ("audio", {"bad_sample": "why"}, {"undecodable"}),
        ("video", {"offset": math.nan}, set()),
        ("video", {"audio_codec": "", "audio_seconds": 0.0, "peak": math.nan}, {"no_audio"}),
        ("video", {"audio_seconds": 0.0, "peak": math.nan}, {"damaged"}),
        ("video", {"damaged": 1}, {"damaged"}),
        ("video", {"lost": 0.6}, {"damaged"}),
        ("video", {"video_seconds": 1.9, "audio_seconds": 1.9}, {"short"}),
        ("video", {"frames": 0}, {"undecodable"}),
        ("video", {"error": "why"}, {"undecodable"}),
        ("video", {"bytes": MISSING}, {"missing"}),
        ("video", {"video_codec": ""}, {"wrong_kind"}),
        ("audio", {"video_codec": "", "frames": 0, "video_seconds": 0.0, "offset": math.nan}, set()),
        ("audio", {"audio_seconds": 1.9}, {"short"}),
        ("audio", {"audio_codec": "", "audio_seconds": 0.0}, {"wrong_kind"}),
        ("audio", {"audio_seconds": 0.0}, {"undecodable"}),
        ("image", {}, {"wrong_kind"}),
        ("image", {"container": "jpeg_pipe", "frames": 1, "audio_codec": ""}, set()),
        ("video", {"container": "png_pipe", "frames": 1, "audio_codec": ""}, {"wrong_kind"}),
    ],
)
def test_rules(media: str, changes: dict[str, Any], expected: set[str], tmp_path: Path) -> None:
    assert kinds(judged(tmp_path, media, **changes)) == expected


@pytest.mark.parametrize(
    ("official", "max_failed", "ok"),
    [(None, 0.0, True), (10, 0.0, True), (11, 0.1, True), (12, 0.1, False), (9, 0.0, True)],
)
def test_official_numbers_decide_whether_enough_is_there(
    official: int | None, max_failed: float, ok: bool, tmp_path: Path
) -> None:
    counts = {"mine": {"train": official}} if official else {}
    report = judged(tmp_path, count=10, dataset={"counts": counts, "max_failed": max_failed})
    assert report["ok"] == ok
    assert report["counts"]["expected"] == max(10, official or 0)


def test_official_numbers_are_not_those_of_a_subset(tmp_path: Path) -> None:
    changes = {"counts": {"mine": {"train": 1000}}, "subset": Subset(items=10)}
    report = judged(tmp_path, count=10, dataset=changes)
    assert report["ok"]
    assert report["splits"]["mine"]["train"]["official"] is None


# ------------------------------------------------------------------------------------------ records


def test_records_find_the_counts_of_their_fingerprint(tmp_path: Path) -> None:
    index = small_index([0], ["train"])
    assert verified_counts(tmp_path / "data", index) is None
    for name, mark, subset, n in (("a", "other", "", 1), ("b", "f", "", 2), ("c", "f", "5 items", 3)):
        (tmp_path / "data" / name).mkdir(parents=True)
        report = {"schema_version": 2, "fingerprint": mark, "stamp": "", "subset": subset}
        report["counts"] = {"expected": n}
        (tmp_path / "data" / name / "verify.json").write_text(json.dumps(report))
    assert verified_counts(tmp_path / "data", index) == {"expected": 2}
    for damage in (b"", b"\0" * 40, b"[]", b'{"schema_version": 1}'):
        (tmp_path / "data" / "a" / "verify.json").write_bytes(damage)
        assert verified_counts(tmp_path / "data", index) == {"expected": 2}
    again = replace(index, stamp="written again")
    assert verified_counts(tmp_path / "data", again) is None


def test_subset_has_a_folder_of_its_own(root: Path, tmp_path: Path) -> None:
    whole = find_local("files", FILES, root, tmp_path)
    part = find_local("files", FILES.model_copy(update={"subset": Subset(items=2)}), root, tmp_path)
    assert whole.fingerprint == part.fingerprint
    assert whole.folder != part.folder
    assert len(part.scan.items) == 3


def test_record_carries_the_counts_and_old_ones_load_without(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    report = judged(tmp_path / "data", fingerprint="f")
    context = Context("tests", cache=tmp_path / "cache")
    metadata = EncoderMetadata(config_hash="r", seed=0, models=Models())
    index = small_index([0], ["train"])
    fields = record_fields(index, metadata, tmp_path / "run", context, "video")
    assert fields["verified"] == report["counts"]
    old = make_record().model_dump(exclude={"verified"})
    assert Record.model_validate(old).verified is None
