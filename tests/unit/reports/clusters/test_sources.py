"""Galleries of what lies elsewhere or is unusual: shards, images, hours of video, rounds that were pruned."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from tests.unit.data.shards.prepared import write_dataset
from tests.unit.tiny import DATASETS, MODELS, round_config
from xdcbench.config.base import DISTANCE
from xdcbench.config.pretraining import Clustering
from xdcbench.config.stages import IndexStage, InitStage, RoundStage
from xdcbench.data.context import Context
from xdcbench.data.media import container
from xdcbench.data.media.local_file import state_of
from xdcbench.data.shards.reader import open_shards
from xdcbench.errors import UserError
from xdcbench.pipeline.building import run_stage
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.prune import prune_lines
from xdcbench.reports.clusters import media, page, previews
from xdcbench.reports.clusters.distances import distances_of
from xdcbench.reports.clusters.origin import ClusteredRound, find_round
from xdcbench.reports.clusters.previews import Preview, Previews
from xdcbench.results.run_store import RunStore

Results = tuple[Path, dict[str, str]]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def gallery(found: ClusteredRound, to: Path, *, nearest: int = 2, single_file: bool = False) -> list[str]:
    lines = page.write_gallery([found], to, nearest=nearest, single_file=single_file, device="cpu", workers=0)
    return list(lines)


def clustered(
    out: Path, name: str, config: RoundStage, context: Context, fingerprint: str | None = None
) -> str:
    """Key of a first round on a dataset, made in ``out``."""
    index = IndexStage(name=name, dataset=DATASETS[name], fingerprint=fingerprint)
    data, init = Stage("index", "index", index), Stage("init", "init", InitStage(models=MODELS, seed=0))
    last = Stage("round", "round", config, (("encoders", init), ("data", data)))
    for stage in (data, init, last):
        outcome = run_stage(stage, RunStore(out), context)
        assert outcome.status == "done", outcome.detail
    return last.key


# ------------------------------------------------------------------------------------------------ prepared shards


@pytest.fixture
def prepared(world: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A results folder with a round that was learned from shards, and the shards."""
    folder = tmp_path / "shards"
    manifest = write_dataset(folder, world / "kinetics400", "kinetics400", DATASETS["kinetics400"])
    context = Context("tests", roots={"kinetics400": open_shards(str(folder))})
    clustered(tmp_path / "out", "kinetics400", round_config("xdc"), context, manifest.fingerprint)
    return tmp_path / "out", folder


def test_shards_are_shown_as_they_were_read(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    out, shards = prepared
    with pytest.raises(UserError, match="read from prepared shards; name them with --shards"):
        find_round("xdc", None, out, data_root=tmp_path, shards=())
    found = find_round("xdc", None, out, data_root=None, shards=(str(shards),))
    assert len(gallery(found, tmp_path / "page")) == 1, "nothing has vanished"
    made = list((tmp_path / "page" / "media").iterdir())
    assert {path.suffix for path in made} == {".jpg", ".mp4", ".png", ".mp3"}
    with av.open(str(next(path for path in made if path.suffix == ".mp4"))) as file:
        assert sum(1 for _ in file.decode(video=0)) == previews.VIDEO.frames


def test_what_shards_have_lost_keeps_its_place(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    out, shards = prepared
    found = find_round("xdc", None, out, data_root=None, shards=(str(shards),))
    shard = sorted((shards / "shards").iterdir())[0]
    shard.write_bytes(b"\0" * shard.stat().st_size)
    lines = gallery(found, tmp_path / "page", nearest=100)
    assert re.match(r"[1-4] of \d+ items could not be read any more", lines[1])
    shutil.rmtree(shards)
    with pytest.raises(UserError, match=re.escape(str(shards))):
        find_round("xdc", None, out, data_root=None, shards=(str(shards),))


# ---------------------------------------------------------------------------------------------------- images


def test_images_have_frames_and_no_videos(world: Path, tmp_path: Path) -> None:
    config = round_config("sdc").model_copy(
        update={
            "clusterings": {"v": Clustering(features=("video",), k=3)},
            "heads": {"video": ("v",)},
            "encoders": ("video",),
        }
    )
    context = Context("tests", roots={"imagenet": world / "imagenet"})
    key = clustered(tmp_path / "out", "imagenet", config, context)
    found = find_round(key, None, tmp_path / "out", data_root=world, shards=())
    assert len(gallery(found, tmp_path / "page")) == 1
    text = (tmp_path / "page" / "index.html").read_text()
    assert {path.suffix for path in (tmp_path / "page" / "media").iterdir()} == {".jpg"}
    assert not re.search('data-(video|audio)="|<button[^>]* class="tile"', text), (
        "nothing to play, nothing to press"
    )
    assert text.count('class="image"') == text.count('<li class="card') > 3


# --------------------------------------------------------------------------------------------------- hours of video


@pytest.fixture(scope="module")
def four_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 4 hours at 1 frame per second with AAC: one minute, over and over."""
    folder = tmp_path_factory.mktemp("hours")
    video, audio = (
        "testsrc2=size=32x32:rate=1:duration=60",
        "aevalsrc=0.4*sin(2*PI*(300+5*t)*t):s=8000:d=60",
    )
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "16k"]
    minute, hours = folder / "minute.mp4", folder / "hours.mp4"
    for words in (
        ["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", audio, *codecs, str(minute)],
        ["-stream_loop", "239", "-i", str(minute), "-c", "copy", str(hours)],
    ):
        subprocess.run([FFMPEG, "-v", "error", *words], check=True)
    return hours


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """All frames, of video and audio, that anything decodes."""
    frames: list[object] = []
    real = container.decoded

    def counting(*words: object, **options: object) -> object:
        for frame in real(*words, **options):  # type: ignore[arg-type]
            frames.append(None)
            yield frame

    for module in ("video", "audio"):
        monkeypatch.setattr(f"xdcbench.data.media.{module}.decoded", counting)
    monkeypatch.setattr(media, "decoded", counting)
    return frames


def test_previews_of_four_hours_decode_seconds_of_them(
    results: Results, world: Path, four_hours: Path, counted: list[object], tmp_path: Path
) -> None:
    found = find_round("xdc", None, results[0], data_root=world, shards=())
    items = found.index.items.copy()
    row = int(np.flatnonzero(items["ok"] & items["audio"])[0])
    state = state_of(four_hours)
    about = {"path": four_hours.name, "bytes": state.size, "mtime": state.mtime}
    about |= dict.fromkeys(("duration", "video_seconds", "audio_seconds"), 14_400.0)
    items.loc[items.index[row], list(about)] = list(about.values())
    found = replace(found, index=replace(found.index, items=items), root=four_hours.parent)
    made = Previews(found, tmp_path / "media").make({row: {"video", "audio"}})[row]
    assert made == Preview(*made.files), "all four files and no fault"
    # A minute between keyframes at 1 frame per second, and seconds of audio at 8 frames each; 14,400 and
    # 112,500 in the file.
    assert 0 < len(counted) < 300
    assert sum((tmp_path / "media" / name).stat().st_size for name in made.files) < 200_000


# -------------------------------------------------------------------------------------------------- pruned rounds


def test_a_gallery_outlives_the_weights_that_it_shows_nothing_of(
    results: Results, files: Path, tmp_path: Path
) -> None:
    out, key = tmp_path / "out", results[1]["xdc/1"]
    shutil.copytree(results[0], out)
    list(prune_lines(out, dry_run=False, keep=(), older_than=0, encoders=True))
    assert not (out / "runs" / key / "video.safetensors").exists()
    found = find_round("xdc", None, out, data_root=files, shards=())
    assert found.encoders.name == key
    assert len(gallery(found, tmp_path / "page")) == 1
    bare = replace(found, table=found.table.drop(columns=[f"a{DISTANCE}", f"v{DISTANCE}"]))
    with pytest.raises(UserError, match=f"{found.run.name} kept no distances .* {key}, .*pruned"):
        distances_of(bare, device=torch.device("cpu"), workers=0)


def test_a_round_whose_encoders_are_gone_says_which(results: Results, files: Path, tmp_path: Path) -> None:
    out, key = tmp_path / "out", results[1]["xdc/1"]
    shutil.copytree(results[0], out)
    shutil.rmtree(out / "runs" / key)
    with pytest.raises(UserError, match=r"--round 1: .* went through rounds 2;"):
        find_round("xdc", 1, out, data_root=files, shards=())
    with pytest.raises(
        UserError, match=f"{key}, whose encoders .* clustered with, is not whole in .*--stage round-"
    ):
        find_round("xdc", None, out, data_root=files, shards=())
    shutil.rmtree(out)
    shutil.copytree(results[0], out)
    (out / "runs" / key / "encoders.json").unlink()
    with pytest.raises(
        UserError, match=f"{key}, whose encoders .* clustered with, is not whole in .*--stage round-"
    ):
        find_round("xdc", None, out, data_root=files, shards=())


# ----------------------------------------------------------------------------------------------- names of all kinds


def test_names_that_run_to_the_left_are_kept_apart(results: Results, files: Path, tmp_path: Path) -> None:
    """Right-to-left names stand in elements of their own, so that they turn nothing around them."""
    found = find_round("xdc", None, results[0], data_root=files, shards=())
    manifest, item = "ركض <b>في</b> الحديقة", '‮gpj.פרטי & "q"'
    items = found.index.items.copy()
    items["id"] = [f"{item}{i}" for i in range(len(items))]
    index = replace(found.index, items=items, classes=tuple(manifest + c for c in found.index.classes))
    gallery(replace(found, index=index), tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert "<b>" not in text
    assert re.search(r'<h3 [^>]*dir="auto">ركض &lt;b&gt;', text)
    assert text.count("<bdi>ركض") == text.count('<p class="caption">')
    assert re.search(r'<bdi class="item" title="\\u202egpj\.פרטי &amp; &#34;q&#34;', text)


# ------------------------------------------------------------------------------------------------------ one file


def test_too_much_for_one_file_is_told_before_all_is_made(
    results: Results, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_round("xdc", None, results[0], data_root=files, shards=())
    made: list[int] = []
    real: Callable[..., Preview] = Previews.preview

    def counting(self: Previews, row: int, *words: object) -> Preview:
        made.append(row)
        return real(self, row, *words)

    monkeypatch.setattr(Previews, "preview", counting)
    monkeypatch.setattr(page, "SAMPLE", 3)
    monkeypatch.setattr(page, "SINGLE_FILE", 10_000)
    with pytest.raises(UserError, match=r"--single-file: the previews would be about \d+ kB, going by \d of"):
        gallery(found, tmp_path / "page", nearest=100, single_file=True)
    assert 3 <= len(made) <= 6
    assert not (tmp_path / "page" / "index.html").exists()
