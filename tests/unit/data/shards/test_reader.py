"""Reading prepared shards: the same items and clips as from files, in any order, and clear errors."""

import hashlib
import json
import os
import shutil
import tarfile
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.shards.prepared import write_dataset
from tests.unit.tiny import DATASETS, MODELS, make_index
from xdcbench.config.data import ShardSettings, Subset
from xdcbench.config.pretraining import Augment
from xdcbench.config.stages import IndexStage
from xdcbench.data import index_stage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec, even_clips, training_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.media import Member, read_audio, read_clip, read_image
from xdcbench.data.shards.layout import KINDS, Kind
from xdcbench.data.shards.reader import ShardReader, open_shards
from xdcbench.errors import MediaError, UserError

VIDEO, AUDIO = MODELS.video.input, MODELS.audio.input


@pytest.fixture(scope="module")
def prepared(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the tiny world's datasets by their names."""
    folder = tmp_path_factory.mktemp("shards")
    for name, dataset in DATASETS.items():
        write_dataset(folder / name, world / dataset.folder, name, dataset)
    return folder


@pytest.fixture
def copy(prepared: Path, tmp_path: Path) -> Path:
    """Shards of one's own, to spoil."""
    return Path(shutil.copytree(prepared / "kinetics400", tmp_path / "shards"))


def indexed(shards: ShardReader, run: Path, **dataset: Any) -> Index:
    name = shards.manifest.name
    run.mkdir(parents=True)
    config = IndexStage(
        name=name, dataset=DATASETS[name].model_copy(update=dataset), fingerprint=shards.manifest.fingerprint
    )
    index_stage.run(config, {}, run, Context("tests", roots={name: shards}))
    return Index.load(run)


# --------------------------------------------------------------------------------------- what it reads


@pytest.mark.parametrize("name", DATASETS)
def test_the_index_of_shards_is_that_of_the_files(
    prepared: Path, world: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Index.load(make_index(tmp_path / "files", world, name))
    monkeypatch.setattr(index_stage, "scan", None)
    monkeypatch.setattr(index_stage, "probe_all", None)
    shards = open_shards(str(prepared / name))
    index = indexed(shards, tmp_path / "shards")
    assert (index.items.pop("mtime") == -1).all() and (original.items.pop("mtime") > 0).all()
    pd.testing.assert_frame_equal(index.items, original.items, check_dtype=False)
    same = ("name", "media", "classes", "splits", "official", "subset", "max_failed")
    assert all(getattr(index, field) == getattr(original, field) for field in same)
    assert index.fingerprint == shards.manifest.fingerprint != original.fingerprint
    assert index.shards == shards.facts and original.shards is None
    assert shards.facts["settings"]["short_side"] == 160
    assert shards.facts["source_fingerprint"] == original.fingerprint


def test_a_subset_is_the_same_from_shards(prepared: Path, world: Path, tmp_path: Path) -> None:
    subset = Subset(per_class=2)
    original = Index.load(make_index(tmp_path / "files", world, "kinetics400", subset=subset))
    index = indexed(open_shards(str(prepared / "kinetics400")), tmp_path / "shards", subset=subset)
    assert list(index.items["id"]) == list(original.items["id"])
    assert 0 < len(index.items) < 24


def test_members_are_what_tar_finds(prepared: Path) -> None:
    shards = open_shards(str(prepared / "kinetics400"))
    suffixes: dict[Kind, str] = {"video": "mp4", "audio": "wav"}
    for row in range(len(shards.items(["id"]))):
        for kind in KINDS:
            member = shards.member(row, kind, "x")
            shard = shards.manifest.shards[shards.places[kind].shard[row]]
            with tarfile.open(prepared / "kinetics400" / "shards" / shard.name) as tar:
                file = tar.extractfile(f"{row:08d}.{suffixes[kind]}")
                assert file is not None and file.read() == bytes(member.data)


@pytest.mark.parametrize("name", DATASETS)
def test_clips_from_shards_are_near_those_of_the_files(
    prepared: Path, world: Path, tmp_path: Path, name: str
) -> None:
    shards, dataset = open_shards(str(prepared / name)), DATASETS[name]
    specs = {
        **({"video": VIDEO} if dataset.media != "audio" else {}),
        **({"audio": AUDIO} if dataset.media != "image" else {}),
    }
    index = indexed(shards, tmp_path / "shards")
    files = ClipDataset(
        Index.load(make_index(tmp_path / "files", world, name)), world / dataset.folder, **specs
    )
    clips = ClipDataset(index, shards, **specs)
    for spec in even_clips(range(0, len(index.items), 5), 2):
        ours, theirs = clips[spec], files[spec]
        assert ours.keys() == theirs.keys() == specs.keys()
        if "video" in specs:
            assert ours["video"].shape == theirs["video"].shape
            gap = (ours["video"].float() - theirs["video"].float()).abs().mean()
            assert gap < 3  # of 255: frames were compressed twice
        if "audio" in specs:
            assert (ours["audio"] - theirs["audio"]).abs().max() <= 2 / 32768


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_what_this_process_reads(prepared: Path, tmp_path: Path, workers: int) -> None:
    shards = open_shards(str(prepared / "kinetics400"))
    clips = ClipDataset(indexed(shards, tmp_path / "run"), shards, video=VIDEO, audio=AUDIO)
    specs = training_clips(np.arange(len(clips)), augment=Augment(), seed=1, epoch=0)
    read = list(batches(clips, specs, size=5, workers=workers))
    boxes = [box for batch in read for box in batch.video.split()]  # type: ignore[union-attr]
    assert not any(batch.failed for batch in read) and len(boxes) == len(specs)
    assert all(torch.equal(box, clips[spec]["video"]) for box, spec in zip(boxes, specs, strict=True))
    assert not active_children()


def test_rows_follow_ids_after_the_shards_were_sharded_anew(
    prepared: Path, world: Path, tmp_path: Path
) -> None:
    """The key of an index depends on contents alone, so the index of another layout must serve."""
    first = open_shards(str(prepared / "kinetics400"))
    index = indexed(first, tmp_path / "run")
    manifest = write_dataset(
        tmp_path / "anew", world / "kinetics400", "kinetics400", DATASETS["kinetics400"], per_shard=7
    )
    assert manifest.fingerprint == first.manifest.fingerprint and manifest.shards != first.manifest.shards
    mixed = index.items.sample(frac=1, random_state=0).reset_index(drop=True)
    moved = ClipDataset(
        Index(**{**vars(index), "items": mixed}), open_shards(str(tmp_path / "anew")), video=VIDEO
    )
    before = ClipDataset(index, first, video=VIDEO)
    place = {name: row for row, name in enumerate(index.items["id"])}
    for row in range(0, len(moved), 5):
        assert torch.equal(moved[ClipSpec(row)]["video"], before[ClipSpec(place[mixed["id"][row]])]["video"])


# ----------------------------------------------------------------------------------- one container opener


@given(start=st.floats(-1, 3), seconds=st.floats(0.1, 2), rate=st.sampled_from([8000, 16_000, 22_050]))
@settings(max_examples=40, deadline=None)
def test_audio_cut_from_memory_is_audio_decoded(
    prepared: Path, start: float, seconds: float, rate: int
) -> None:
    member = open_shards(str(prepared / "esc50")).member(3, "audio", "x")
    cut = read_audio(member, start=start, seconds=seconds, sample_rate=rate)
    file = prepared / "esc50" / "window.wav"
    file.write_bytes(bytes(member.data))
    assert torch.equal(cut, read_audio(file, start=start, seconds=seconds, sample_rate=rate))


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mpeg4.avi", "frame.png"])
def test_a_file_in_memory_shows_what_the_file_shows(tmp_path: Path, name: str) -> None:
    from tests.unit.data.media.referee import PATTERN, TONE, ffmpeg

    path = tmp_path / name
    codec = {"mp4": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "png": "png"}[path.suffix[1:]]
    image = path.suffix == ".png"
    ffmpeg(
        *PATTERN, *(() if image else TONE), "-c:v", codec, *(("-frames:v", 1) if image else ("-bf", 0)), path
    )
    member = Member(Path("a.tar") / name, path.read_bytes())
    if image:
        assert torch.equal(read_image(member, short_side=40), read_image(path, short_side=40))
        return
    for start in (0.0, 0.7, 1.9):
        spec: dict[str, Any] = {"start": start, "frames": 4, "fps": 12.5, "short_side": 32}
        assert torch.equal(read_clip(member, **spec), read_clip(path, **spec))
        window: dict[str, Any] = {"start": start, "seconds": 0.3, "sample_rate": 16_000}
        assert torch.equal(read_audio(member, **window), read_audio(path, **window))


def test_a_member_that_does_not_decode_is_named_with_its_shard_and_item(copy: Path, tmp_path: Path) -> None:
    shards = open_shards(str(copy))
    index = indexed(shards, tmp_path / "run")
    places = shards.places["video"]
    spoil(copy / "shards" / shards.manifest.shards[places.shard[5]].name, int(places.offset[5]), bytes(400))
    clips = ClipDataset(index, shards, video=VIDEO)
    item = index.items["id"][5]
    with pytest.raises(MediaError, match=rf"000001\.tar/00000005\.mp4 \({item}\): "):
        clips[ClipSpec(5)]
    (batch,) = batches(clips, [ClipSpec(4), ClipSpec(5)], size=2, workers=1)
    assert [row for row, _ in batch.failed] == [5] and batch.rows.tolist() == [4]


def test_an_item_without_audio_says_so(copy: Path) -> None:
    items = pd.read_parquet(copy / "items.parquet")
    items.loc[2, ["audio_offset", "audio_size"]] = 0
    reindex(copy, items)
    shards = open_shards(str(copy))
    with pytest.raises(MediaError, match=r"\(clip7\): no audio of it in the shards"):
        shards.member(2, "audio", "clip7")
    assert len(shards.member(2, "video", "clip7").data)


# ------------------------------------------------------------------------------------------ what does not fit


def spoil(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def change_manifest(shards: Path, **changes: Any) -> None:
    manifest = json.loads((shards / "shards.json").read_text())
    (shards / "shards.json").write_text(json.dumps(manifest | changes))


def reindex(shards: Path, items: pd.DataFrame) -> None:
    """Another index, for which the manifest then stands."""
    items.to_parquet(shards / "items.parquet", index=False)
    change_manifest(shards, items_sha256=hashlib.sha256((shards / "items.parquet").read_bytes()).hexdigest())


def test_an_index_that_the_manifest_does_not_describe_is_refused(copy: Path, tmp_path: Path) -> None:
    items = pd.read_parquet(copy / "items.parquet")
    items["label"] = items["label"].to_numpy()[::-1].copy()  # every place still fits
    items.to_parquet(copy / "items.parquet", index=False)
    with pytest.raises(UserError, match=r"items\.parquet is not the one that shards\.json describes; "):
        indexed(open_shards(str(copy)), tmp_path / "run")
    with pytest.raises(UserError, match=r"items\.parquet is not the one that shards\.json describes; "):
        open_shards(str(copy)).places  # noqa: B018


def test_a_shard_cut_short_is_found_on_opening(copy: Path) -> None:
    os.truncate(copy / "shards" / "000002.tar", 5000)
    with pytest.raises(UserError, match=r"000002\.tar holds 5000 of \d+ bytes; run `xdcbench data prepare"):
        open_shards(str(copy))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_cut_short_while_it_is_read_ends_the_stage(copy: Path, tmp_path: Path, workers: int) -> None:
    shards = open_shards(str(copy))
    clips = ClipDataset(indexed(shards, tmp_path / "run"), shards, video=VIDEO)
    os.truncate(copy / "shards" / "000000.tar", 5000)
    with pytest.raises(UserError, match=r"^\S+000000\.tar is cut short: 5000 of at least \d+ bytes; "):
        list(batches(clips, [ClipSpec(3)], size=1, workers=workers))


def test_a_shard_cut_within_a_video_that_is_read_ends_the_stage(copy: Path) -> None:
    shards = open_shards(str(copy))
    member = shards.member(3, "video", "x")
    path = copy / "shards" / shards.manifest.shards[shards.places["video"].shard[3]].name
    os.truncate(path, int(shards.places["video"].offset[3]) + 100)
    with pytest.raises(UserError, match=r"^\S+\.tar is cut short: \d+ of at least \d+ bytes; "):
        read_clip(member, start=0.0, frames=1, fps=1.0, short_side=16)


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "shards" / "000001.tar").unlink()
    with pytest.raises(
        UserError, match=r"000001\.tar: No such file or directory; run `xdcbench data prepare`"
    ):
        open_shards(str(copy))


@given(shift=st.integers(-600, 600).filter(bool))
@settings(max_examples=30, deadline=None)
def test_a_place_that_is_off_is_refused(prepared: Path, shift: int) -> None:
    shards = open_shards(str(prepared / "kinetics400"))
    places = shards.places["video"]
    offset = places.offset.copy()
    offset[1] += shift
    moved = ShardReader(shards.where, shards.files, shards.manifest)
    moved.__dict__["places"] = {"video": type(places)(places.shard, offset, places.size)}
    with pytest.raises(
        UserError, match=r"no file of \d+ bytes begins at byte \d+, where items.parquet has the video"
    ):
        moved.member(1, "video", "x")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("shard", 99),
        ("video_offset", 10**9),
        ("video_offset", -512),
        ("video_size", 10**9),
        ("video_size", -1),
    ],
)
def test_an_index_of_other_shards_is_refused(copy: Path, column: str, value: int) -> None:
    items = pd.read_parquet(copy / "items.parquet")
    items.loc[4, column] = value
    reindex(copy, items)
    with pytest.raises(UserError, match=r"items\.parquet: the video of row 4 lies outside the shards"):
        open_shards(str(copy)).places  # noqa: B018


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../00000000.mp4"},
        {"name": "/tmp/00000000.mp4"},
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.LNKTYPE, "linkname": "00000001.mp4"},
        {"type": tarfile.CHRTYPE},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.DIRTYPE},
        {"size": 7},
    ],
)
def test_a_header_that_is_no_plain_file_of_that_size_is_refused(copy: Path, changes: dict[str, Any]) -> None:
    shards = open_shards(str(copy))
    info = tarfile.TarInfo("00000000.mp4")
    info.size = int(shards.places["video"].size[0])
    for name, value in changes.items():
        setattr(info, name, value)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    spoil(copy / "shards" / "000000.tar", int(shards.places["video"].offset[0]) - 512, header)
    with pytest.raises(UserError, match=r"000000\.tar: no file of \d+ bytes begins"):
        shards.member(0, "video", "x")


def test_newer_shards_are_refused(copy: Path) -> None:
    change_manifest(copy, schema_version=4)
    with pytest.raises(UserError, match=r"shards\.json is of schema 4; this xdcbench reads up to 3; upgrade"):
        open_shards(str(copy))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 3}', b"\xff"])
def test_a_manifest_that_is_none_is_refused(copy: Path, content: bytes) -> None:
    (copy / "shards.json").write_bytes(content)
    with pytest.raises(UserError, match=r"shards\.json (does not describe shards|is not readable JSON)"):
        open_shards(str(copy))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_items_that_are_no_table_are_refused(copy: Path, content: bytes) -> None:
    (copy / "items.parquet").write_bytes(content)
    change_manifest(copy, items_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(UserError, match=r"items\.parquet cannot be read .*; prepare kinetics400 again"):
        open_shards(str(copy)).places  # noqa: B018


def test_a_table_without_places_is_refused(copy: Path) -> None:
    reindex(copy, pd.read_parquet(copy / "items.parquet").drop(columns="shard"))
    with pytest.raises(UserError, match=r"items\.parquet has no column shard"):
        open_shards(str(copy)).places  # noqa: B018


def test_an_index_of_another_content_is_refused(
    prepared: Path, world: Path, copy: Path, tmp_path: Path
) -> None:
    index = indexed(open_shards(str(copy)), tmp_path / "run")
    change_manifest(copy, fingerprint="0" * 64)
    with pytest.raises(
        UserError, match=r"was not indexed from the shards .* as they are now; the shards have changed"
    ):
        ClipDataset(index, open_shards(str(copy)), video=VIDEO)
    files = Index.load(make_index(tmp_path / "files", world, "kinetics400"))
    with pytest.raises(UserError, match="was not indexed from the shards"):
        ClipDataset(files, open_shards(str(prepared / "kinetics400")), video=VIDEO)


def test_shards_that_change_while_planned_are_refused(copy: Path, tmp_path: Path) -> None:
    shards = open_shards(str(copy))
    config = IndexStage(name="kinetics400", dataset=DATASETS["kinetics400"], fingerprint="of-before")
    with pytest.raises(
        UserError, match="have changed since the run was planned: give the same command again"
    ):
        index_stage.run(config, {}, tmp_path, Context("tests", roots={"kinetics400": shards}))


def test_settings_are_read_as_written(prepared: Path) -> None:
    assert open_shards(f"file://{prepared / 'imagenet'}").manifest.settings == ShardSettings()
    assert open_shards(str(prepared / "imagenet")).member(0, "video", "x").data[:2] == b"\xff\xd8"
