"""Reading a store: the same items and clips as from files, in any order, and a clear word on what does not fit."""

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

from tests.unit.data.prepared.stores import write_store
from tests.unit.tiny import DATASETS, MODELS, make_index
from xdcbench.context import Context
from xdcbench.data import index as index_stage
from xdcbench.data.clips import Clips, Draw, even_draws, training_draws
from xdcbench.data.index import Index
from xdcbench.data.loading import batches
from xdcbench.data.media import Member, read_audio, read_clip, read_image
from xdcbench.data.prepared.layout import KINDS, Kind, Settings
from xdcbench.data.prepared.reader import Prepared, open_store
from xdcbench.errors import MediaError, UserError
from xdcbench.schema import Augment, Subset
from xdcbench.stages import IndexStage

VIDEO, AUDIO = MODELS.video.input, MODELS.audio.input


@pytest.fixture(scope="module")
def stores(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of the tiny world's data sets by their names."""
    folder = tmp_path_factory.mktemp("stores")
    for name, dataset in DATASETS.items():
        write_store(folder / name, world / dataset.folder, name, dataset)
    return folder


@pytest.fixture
def copy(stores: Path, tmp_path: Path) -> Path:
    """A store of one's own, to spoil."""
    return Path(shutil.copytree(stores / "kinetics400", tmp_path / "store"))


def indexed(store: Prepared, run: Path, **dataset: Any) -> Index:
    name = store.label.name
    run.mkdir(parents=True)
    config = IndexStage(
        name=name, dataset=DATASETS[name].model_copy(update=dataset), fingerprint=store.label.fingerprint
    )
    index_stage.run(config, {}, run, Context("tests", roots={name: store}))
    return Index.load(run)


# --------------------------------------------------------------------------------------- what it reads


@pytest.mark.parametrize("name", DATASETS)
def test_the_index_of_a_store_is_that_of_the_files(
    stores: Path, world: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Index.load(make_index(tmp_path / "files", world, name))
    monkeypatch.setattr(index_stage, "scan", None)
    monkeypatch.setattr(index_stage, "probe", None)
    store = open_store(str(stores / name))
    index = indexed(store, tmp_path / "store")
    assert (index.items.pop("mtime") == -1).all() and (original.items.pop("mtime") > 0).all()
    pd.testing.assert_frame_equal(index.items, original.items, check_dtype=False)
    same = ("name", "media", "classes", "splits", "official", "subset", "max_failed")
    assert all(getattr(index, field) == getattr(original, field) for field in same)
    assert index.fingerprint == store.label.fingerprint != original.fingerprint
    assert index.store == store.facts and original.store is None
    assert store.facts["settings"]["short_side"] == 160
    assert store.facts["source_fingerprint"] == original.fingerprint


def test_a_subset_is_the_same_from_a_store(stores: Path, world: Path, tmp_path: Path) -> None:
    subset = Subset(per_class=2)
    original = Index.load(make_index(tmp_path / "files", world, "kinetics400", subset=subset))
    index = indexed(open_store(str(stores / "kinetics400")), tmp_path / "store", subset=subset)
    assert list(index.items["id"]) == list(original.items["id"])
    assert 0 < len(index.items) < 24


def test_members_are_what_tar_finds(stores: Path) -> None:
    store = open_store(str(stores / "kinetics400"))
    suffixes: dict[Kind, str] = {"video": "mp4", "sound": "wav"}
    for row in range(len(store.ids)):
        for kind in KINDS:
            member = store.member(row, kind, "x")
            shard = store.label.shards[store.places[kind].shard[row]]
            with tarfile.open(stores / "kinetics400" / "shards" / shard.name) as tar:
                file = tar.extractfile(f"{row:08d}.{suffixes[kind]}")
                assert file is not None and file.read() == bytes(member.data)


@pytest.mark.parametrize("name", DATASETS)
def test_clips_from_a_store_are_near_those_of_the_files(
    stores: Path, world: Path, tmp_path: Path, name: str
) -> None:
    store, dataset = open_store(str(stores / name)), DATASETS[name]
    specs = {
        **({"video": VIDEO} if dataset.media != "audio" else {}),
        **({"audio": AUDIO} if dataset.media != "image" else {}),
    }
    index = indexed(store, tmp_path / "store")
    files = Clips(Index.load(make_index(tmp_path / "files", world, name)), world / dataset.folder, **specs)
    clips = Clips(index, store, **specs)
    for draw in even_draws(range(0, len(index.items), 5), 2):
        ours, theirs = clips[draw], files[draw]
        assert ours.keys() == theirs.keys() == specs.keys()
        if "video" in specs:
            assert ours["video"].shape == theirs["video"].shape
            gap = (ours["video"].float() - theirs["video"].float()).abs().mean()
            assert gap < 3  # of 255: pictures were compressed twice
        if "audio" in specs:
            assert (ours["audio"] - theirs["audio"]).abs().max() <= 2 / 32768


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_what_this_process_reads(stores: Path, tmp_path: Path, workers: int) -> None:
    store = open_store(str(stores / "kinetics400"))
    clips = Clips(indexed(store, tmp_path / "run"), store, video=VIDEO, audio=AUDIO)
    draws = training_draws(np.arange(len(clips)), augment=Augment(), seed=1, epoch=0)
    read = list(batches(clips, draws, size=5, workers=workers))
    boxes = [box for batch in read for box in batch.video.split()]  # type: ignore[union-attr]
    assert not any(batch.failed for batch in read) and len(boxes) == len(draws)
    assert all(torch.equal(box, clips[draw]["video"]) for box, draw in zip(boxes, draws, strict=True))
    assert not active_children()


def test_rows_follow_ids_after_the_store_was_sharded_anew(stores: Path, world: Path, tmp_path: Path) -> None:
    """The key of an index depends on contents alone, so the index of another layout must serve."""
    first = open_store(str(stores / "kinetics400"))
    index = indexed(first, tmp_path / "run")
    label = write_store(
        tmp_path / "anew", world / "kinetics400", "kinetics400", DATASETS["kinetics400"], per_shard=7
    )
    assert label.fingerprint == first.label.fingerprint and label.shards != first.label.shards
    mixed = index.items.sample(frac=1, random_state=0).reset_index(drop=True)
    moved = Clips(Index(**{**vars(index), "items": mixed}), open_store(str(tmp_path / "anew")), video=VIDEO)
    before = Clips(index, first, video=VIDEO)
    place = {name: row for row, name in enumerate(index.items["id"])}
    for row in range(0, len(moved), 5):
        assert torch.equal(moved[Draw(row)]["video"], before[Draw(place[mixed["id"][row]])]["video"])


# ----------------------------------------------------------------------------------- one container opener


@given(start=st.floats(-1, 3), seconds=st.floats(0.1, 2), rate=st.sampled_from([8000, 16_000, 22_050]))
@settings(max_examples=40, deadline=None)
def test_sound_cut_from_memory_is_sound_decoded(
    stores: Path, start: float, seconds: float, rate: int
) -> None:
    member = open_store(str(stores / "esc50")).member(3, "sound", "x")
    cut = read_audio(member, start=start, seconds=seconds, rate=rate)
    file = stores / "esc50" / "window.wav"
    file.write_bytes(bytes(member.data))
    assert torch.equal(cut, read_audio(file, start=start, seconds=seconds, rate=rate))


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mpeg4.avi", "picture.png"])
def test_a_file_in_memory_shows_what_the_file_shows(tmp_path: Path, name: str) -> None:
    from tests.unit.data.media.referee import PATTERN, TONE, ffmpeg

    path = tmp_path / name
    codec = {"mp4": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "png": "png"}[path.suffix[1:]]
    still = path.suffix == ".png"
    ffmpeg(
        *PATTERN, *(() if still else TONE), "-c:v", codec, *(("-frames:v", 1) if still else ("-bf", 0)), path
    )
    member = Member(Path("a.tar") / name, path.read_bytes())
    if still:
        assert torch.equal(read_image(member, short_side=40), read_image(path, short_side=40))
        return
    for start in (0.0, 0.7, 1.9):
        spec: dict[str, Any] = {"start": start, "frames": 4, "rate": 12.5, "short_side": 32}
        assert torch.equal(read_clip(member, **spec), read_clip(path, **spec))
        window: dict[str, Any] = {"start": start, "seconds": 0.3, "rate": 16_000}
        assert torch.equal(read_audio(member, **window), read_audio(path, **window))


def test_a_member_that_does_not_decode_is_named_with_its_shard_and_item(copy: Path, tmp_path: Path) -> None:
    store = open_store(str(copy))
    index = indexed(store, tmp_path / "run")
    places = store.places["video"]
    spoil(copy / "shards" / store.label.shards[places.shard[5]].name, int(places.offset[5]), bytes(400))
    clips = Clips(index, store, video=VIDEO)
    item = index.items["id"][5]
    with pytest.raises(MediaError, match=rf"000001\.tar/00000005\.mp4 \({item}\): "):
        clips[Draw(5)]
    (batch,) = batches(clips, [Draw(4), Draw(5)], size=2, workers=1)
    assert [row for row, _ in batch.failed] == [5] and batch.rows.tolist() == [4]


def test_an_item_without_sound_says_so(copy: Path) -> None:
    items = pd.read_parquet(copy / "items.parquet")
    items.loc[2, ["sound_offset", "sound_size"]] = 0
    reindex(copy, items)
    store = open_store(str(copy))
    with pytest.raises(MediaError, match=r"\(clip7\): no sound of it in the store"):
        store.member(2, "sound", "clip7")
    assert len(store.member(2, "video", "clip7").data)


# ------------------------------------------------------------------------------------------ what does not fit


def spoil(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def relabel(store: Path, **changes: Any) -> None:
    label = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps(label | changes))


def reindex(store: Path, items: pd.DataFrame) -> None:
    """Another index, for which the label then stands."""
    items.to_parquet(store / "items.parquet", index=False)
    relabel(store, items_sha256=hashlib.sha256((store / "items.parquet").read_bytes()).hexdigest())


def test_an_index_that_the_label_does_not_describe_is_refused(copy: Path, tmp_path: Path) -> None:
    items = pd.read_parquet(copy / "items.parquet")
    items["label"] = items["label"].to_numpy()[::-1].copy()  # every place still fits
    items.to_parquet(copy / "items.parquet", index=False)
    with pytest.raises(UserError, match=r"items\.parquet is not the one that store\.json describes; "):
        indexed(open_store(str(copy)), tmp_path / "run")
    with pytest.raises(UserError, match=r"items\.parquet is not the one that store\.json describes; "):
        open_store(str(copy)).places  # noqa: B018


def test_a_shard_cut_short_is_found_on_opening(copy: Path) -> None:
    os.truncate(copy / "shards" / "000002.tar", 5000)
    with pytest.raises(UserError, match=r"000002\.tar holds 5000 of \d+ bytes; run `xdcbench data prepare"):
        open_store(str(copy))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_cut_short_while_it_is_read_ends_the_stage(copy: Path, tmp_path: Path, workers: int) -> None:
    store = open_store(str(copy))
    clips = Clips(indexed(store, tmp_path / "run"), store, video=VIDEO)
    os.truncate(copy / "shards" / "000000.tar", 5000)
    with pytest.raises(UserError, match=r"^\S+000000\.tar is cut short: 5000 of at least \d+ bytes; "):
        list(batches(clips, [Draw(3)], size=1, workers=workers))


def test_a_shard_cut_within_a_film_that_is_read_ends_the_stage(copy: Path) -> None:
    store = open_store(str(copy))
    member = store.member(3, "video", "x")
    path = copy / "shards" / store.label.shards[store.places["video"].shard[3]].name
    os.truncate(path, int(store.places["video"].offset[3]) + 100)
    with pytest.raises(UserError, match=r"^\S+\.tar is cut short: \d+ of at least \d+ bytes; "):
        read_clip(member, start=0.0, frames=1, rate=1.0, short_side=16)


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "shards" / "000001.tar").unlink()
    with pytest.raises(
        UserError, match=r"000001\.tar: No such file or directory; run `xdcbench data prepare`"
    ):
        open_store(str(copy))


@given(shift=st.integers(-600, 600).filter(bool))
@settings(max_examples=30, deadline=None)
def test_a_place_that_is_off_is_refused(stores: Path, shift: int) -> None:
    store = open_store(str(stores / "kinetics400"))
    places = store.places["video"]
    offset = places.offset.copy()
    offset[1] += shift
    moved = Prepared(store.where, store.files, store.label)
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
        open_store(str(copy)).places  # noqa: B018


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
    store = open_store(str(copy))
    info = tarfile.TarInfo("00000000.mp4")
    info.size = int(store.places["video"].size[0])
    for name, value in changes.items():
        setattr(info, name, value)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    spoil(copy / "shards" / "000000.tar", int(store.places["video"].offset[0]) - 512, header)
    with pytest.raises(UserError, match=r"000000\.tar: no file of \d+ bytes begins"):
        store.member(0, "video", "x")


def test_a_newer_store_is_refused(copy: Path) -> None:
    relabel(copy, schema_version=3)
    with pytest.raises(UserError, match=r"store\.json is of schema 3; this xdcbench reads up to 2; upgrade"):
        open_store(str(copy))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 2}', b"\xff"])
def test_a_label_that_is_none_is_refused(copy: Path, content: bytes) -> None:
    (copy / "store.json").write_bytes(content)
    with pytest.raises(UserError, match=r"store\.json (does not describe a store|is not readable JSON)"):
        open_store(str(copy))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_items_that_are_no_table_are_refused(copy: Path, content: bytes) -> None:
    (copy / "items.parquet").write_bytes(content)
    relabel(copy, items_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(UserError, match=r"items\.parquet cannot be read .*; prepare kinetics400 again"):
        open_store(str(copy)).places  # noqa: B018


def test_a_table_without_places_is_refused(copy: Path) -> None:
    reindex(copy, pd.read_parquet(copy / "items.parquet").drop(columns="shard"))
    with pytest.raises(UserError, match=r"items\.parquet has no column shard"):
        open_store(str(copy)).places  # noqa: B018


def test_an_index_of_another_content_is_refused(
    stores: Path, world: Path, copy: Path, tmp_path: Path
) -> None:
    index = indexed(open_store(str(copy)), tmp_path / "run")
    relabel(copy, fingerprint="0" * 64)
    with pytest.raises(
        UserError, match=r"was not indexed from the store .* as it is now; the store has changed"
    ):
        Clips(index, open_store(str(copy)), video=VIDEO)
    files = Index.load(make_index(tmp_path / "files", world, "kinetics400"))
    with pytest.raises(UserError, match="was not indexed from the store"):
        Clips(files, open_store(str(stores / "kinetics400")), video=VIDEO)


def test_a_store_that_changes_while_planned_is_refused(copy: Path, tmp_path: Path) -> None:
    store = open_store(str(copy))
    config = IndexStage(name="kinetics400", dataset=DATASETS["kinetics400"], fingerprint="of-before")
    with pytest.raises(UserError, match="has changed since the run was planned: give the same command again"):
        index_stage.run(config, {}, tmp_path, Context("tests", roots={"kinetics400": store}))


def test_settings_are_read_as_written(stores: Path) -> None:
    assert open_store(f"file://{stores / 'imagenet'}").label.settings == Settings()
    assert open_store(str(stores / "imagenet")).member(0, "video", "x").data[:2] == b"\xff\xd8"
