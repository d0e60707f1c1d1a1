"""A thousand damaged files through the readers, `data verify`, `data prepare` and a run, beside ffmpeg's verdicts."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.broken import STRICTER, Look, Verdict, difference, known, look, referee, write_broken
from tests.integration.helpers import one_thread, xdcbench
from tests.mutator import Mutant
from xdcbench.utils.process_pool import answers

pytestmark = pytest.mark.nightly

COUNT, SEED = 1000, 15
SECONDS, MEMORY = 60, 500
"""What one file may take: seconds, and MiB above what the process held before it."""
GONE = ("died", "not read within", "Traceback", "MemoryError")
"""Words for a crash or a hang in what a command prints and keeps."""
DATASET = """
title: Broken {media} files
adapter: filelist
folder: {media}
media: {media}
splits: [mine]
max_failed: 1
options: {{list: list.csv, label: class, split: part}}
"""
SUITE = """
models: {base: reduced, video: {width: 4, input: {frames: 4, size: 16, short_side: [18, 20]}}}
datasets:
  videos: {base: DIR/video.yaml}
  recordings: {base: DIR/audio.yaml}
  images: {base: DIR/image.yaml}
evaluations:
  retrieval: {num_clips: 2, ks: [1], precision: fp32}
  audio_retrieval: {num_clips: 2, ks: [1], precision: fp32}
pretraining: [{methods: [scratch]}]
evaluate:
  - {evaluation: retrieval, dataset: videos, splits: [mine]}
  - {evaluation: retrieval, dataset: images, splits: [mine]}
  - {evaluation: audio_retrieval, dataset: recordings, splits: [mine]}
  - {evaluation: audio_retrieval, dataset: videos, splits: [mine]}
tables: [frozen_video, frozen_audio]
"""
MEDIA = ("video", "audio", "image")


@dataclass(frozen=True)
class Broken:
    """The files, what was done to each, and what ffmpeg makes of it; ``root`` has a folder and a YAML per kind."""

    root: Path
    files: dict[Path, Mutant]
    theirs: dict[Path, Verdict]

    def unreadable(self, media: str) -> set[str]:
        """Names of the files of a kind of which ffmpeg decodes nothing that its dataset is about."""
        folder = {path: v for path, v in self.theirs.items() if path.parent.name == media}
        return {path.name for path, v in folder.items() if not (v.samples if media == "audio" else v.frames)}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    root = tmp_path_factory.mktemp("broken")
    files = write_broken(root / "files", count=COUNT, seed=SEED)
    for media in MEDIA:
        (root / f"{media}.yaml").write_text(DATASET.format(media=media))
    with ThreadPoolExecutor(2) as pool:
        theirs = dict(zip(files, pool.map(referee, files), strict=True))
    return Broken(root, files, theirs)


def command(*words: object) -> str:
    """What a command prints; it neither fails nor loses a file to a crash or a hang."""
    done = xdcbench(*words, env=one_thread())
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert not [line for line in said.splitlines() if any(word in line for word in GONE)]
    return said


def test_the_readers_see_what_ffmpeg_sees(broken: Broken) -> None:
    """No crash, no hang, little memory, and the same verdict but for the differences that `known` gives reasons for."""
    differ, reasons, longest, largest = [], Counter[str](), 0.0, 0.0
    for path, seen in answers(look, map(str, broken.files), workers=2, limit=SECONDS):
        assert isinstance(seen, Look), f"{path}: {seen}"
        theirs = broken.theirs[Path(path)]
        found = difference(seen.verdict, theirs)
        reason = known(seen.verdict, theirs) if found else ""
        reasons[reason] += bool(reason)
        if found and not reason:
            differ.append(f"{Path(path).name}: {found}; {seen.verdict.said or theirs.said[-300:]}")
        longest, largest = max(longest, seen.seconds), max(largest, seen.memory)
    unreadable = sum(not any(theirs.tracks) for theirs in broken.theirs.values())
    damaged = sum(theirs.damaged and any(theirs.tracks) for theirs in broken.theirs.values())
    print(f"\n{COUNT} files: {unreadable} unreadable, {damaged} damaged, {longest:.1f} s, {largest:.0f} MiB")  # noqa: T201
    print("\n".join(f"{count} known: {reason}" for reason, count in reasons.items() if reason))  # noqa: T201
    assert not differ, "\n".join(differ)
    assert largest < MEMORY


@pytest.mark.parametrize("media", MEDIA)
def test_verify_names_what_ffmpeg_cannot_read(broken: Broken, media: str) -> None:
    out = broken.root / "out"
    command("data", "verify", broken.root / f"{media}.yaml", *folders(broken, media), "--results", out)
    (path,) = out.glob(f"data/{media}-*/verify.json")
    findings = json.loads(path.read_text())["findings"]
    assert not [finding for finding in findings if any(word in finding["reason"] for word in GONE)]
    strict = {finding["path"] for finding in findings if STRICTER.search(finding["reason"])}
    undecodable, wrong_kind = (
        {finding["path"] for finding in findings if finding["kind"] == kind} - strict
        for kind in ("undecodable", "wrong_kind")
    )
    unreadable = broken.unreadable(media) - strict
    assert undecodable <= unreadable <= undecodable | wrong_kind


@pytest.mark.parametrize("media", MEDIA)
def test_prepare_stores_what_ffmpeg_can_read(broken: Broken, media: str) -> None:
    shards = broken.root / "shards" / media
    command("data", "prepare", broken.root / f"{media}.yaml", *folders(broken, media), "--output", shards)
    items = pd.read_parquet(shards / "items.parquet")
    assert not [reason for reason in items["reason"] if any(word in reason for word in GONE)]
    print(items.loc[~items["ok"], "reason"].value_counts().to_string())  # noqa: T201
    command("data", "verify", broken.root / f"{media}.yaml", "--shards", shards)


def test_a_run_reads_them(broken: Broken) -> None:
    suite, out = broken.root / "suite.yaml", broken.root / "results"
    suite.write_text(SUITE.replace("DIR", str(broken.root)))
    command(
        "run", "--suite", suite, "--data-root", broken.root / "files", "--results", out, "--device", "cpu"
    )


def folders(broken: Broken, media: str) -> tuple[object, ...]:
    return ("--root", broken.root / "files" / media, "--num-workers", 2, "--timeout", SECONDS)
