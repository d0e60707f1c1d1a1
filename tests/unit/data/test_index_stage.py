"""The stage of an index: subsets, unreadable and missing files, lengths of tracks."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tests.unit.tiny import CLASSES, DATASETS, linked, make_index, spoil
from xdcbench.config.data import Subset
from xdcbench.config.stages import IndexStage
from xdcbench.data import index_stage as stage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.data.index_stage import take
from xdcbench.errors import UserError

SPLITS = ("1", "2")
COLUMNS = [f"split:{split}" for split in SPLITS]


def table(rows: list[tuple[int, str, str]]) -> pd.DataFrame:
    """Items of (label, part in split 1, part in split 2)."""
    frame = pd.DataFrame(rows, columns=["label", *COLUMNS])
    frame.insert(0, "id", [f"v{i:03d}" for i in range(len(frame))])
    return frame


parts = st.sampled_from(["train", "test", ""])
tables = st.lists(st.tuples(st.integers(0, 3), parts, parts), min_size=1, max_size=40).map(table)
subsets = st.builds(
    Subset,
    per_class=st.none() | st.integers(1, 6),
    items=st.none() | st.integers(1, 12),
    parts=st.sampled_from([("train", "test"), ("train",), ("test",)]),
    seed=st.integers(0, 3),
)


def cells(items: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    return {(c, part): items[items[c] == part] for c in COLUMNS for part in ("train", "test")}


@given(items=tables, subset=subsets)
@settings(max_examples=80, deadline=None)
def test_each_part_of_each_split_holds_exactly_what_was_asked_for(
    items: pd.DataFrame, subset: Subset
) -> None:
    whole, drawn = cells(items), cells(take(items, subset, SPLITS))
    for cell, there in whole.items():
        if cell[1] not in subset.parts:
            assert drawn[cell]["id"].tolist() == there["id"].tolist()
            continue
        assert set(drawn[cell]["id"]) <= set(there["id"])
        counts = there["label"].value_counts()
        limited = counts.clip(upper=subset.per_class or len(items))
        assert len(drawn[cell]) == min(limited.sum(), subset.items or len(items))
        if subset.items is None:
            assert drawn[cell]["label"].value_counts().to_dict() == limited.to_dict()
        else:  # evenly: no class has two fewer than another that could have given one up
            now = drawn[cell]["label"].value_counts().reindex(counts.index, fill_value=0)
            short = now[now < limited]
            assert short.empty or now.max() - short.min() <= 1


def first_draw(items: pd.DataFrame, subset: Subset, splits: tuple[str, ...]) -> pd.DataFrame:
    """The draw as it was first written, by pandas' sorting of hexadecimal hashes."""
    items = items.copy()
    draw = [hashlib.sha256(f"{subset.seed}/{name}".encode()).hexdigest() for name in items["id"]]
    order = pd.Series(draw, index=items.index)
    for split in splits:
        for part in subset.parts:
            inside = order[items[f"split:{split}"] == part].sort_values().index
            rank = items.loc[inside].groupby("label").cumcount()
            if subset.per_class is not None:
                rank = rank[rank < subset.per_class]
            kept = rank.sort_values(kind="stable").index[: subset.items]
            items.loc[inside.difference(kept), f"split:{split}"] = ""
    return items[(items[[f"split:{split}" for split in splits]] != "").any(axis=1)]


@given(
    items=tables, subset=subsets, names=st.lists(st.text(max_size=5), min_size=40, max_size=40, unique=True)
)
@settings(max_examples=200, deadline=None)
def test_the_draw_is_the_one_that_keys_were_made_for(
    items: pd.DataFrame, subset: Subset, names: list[str]
) -> None:
    items = items.assign(id=pd.Series(names[: len(items)], dtype="str"))[::-1]
    if subset.per_class is None and subset.items is None:
        return
    assert_frame_equal(take(items, subset, SPLITS), first_draw(items, subset, SPLITS))


@given(items=tables, subset=subsets, order=st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(items: pd.DataFrame, subset: Subset, order: object) -> None:
    shuffled = list(items.index)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    one = take(items, subset, SPLITS)
    other = take(items.loc[shuffled].reset_index(drop=True), subset, SPLITS)
    assert_frame_equal(
        one.sort_values("id").reset_index(drop=True), other.sort_values("id").reset_index(drop=True)
    )


@given(items=tables, per_class=st.integers(1, 5), gone=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_class_is_drawn_without_regard_to_the_others(
    items: pd.DataFrame, per_class: int, gone: int
) -> None:
    subset = Subset(per_class=per_class)
    alone = take(items[items["label"] == gone], subset, SPLITS)
    among = take(items, subset, SPLITS)
    assert_frame_equal(alone, among[among["label"] == gone])


@given(items=tables, per_class=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_larger_subset_holds_the_smaller(items: pd.DataFrame, per_class: int) -> None:
    small = cells(take(items, Subset(per_class=per_class), SPLITS))
    large = cells(take(items, Subset(per_class=per_class + 1), SPLITS))
    assert all(set(small[cell]["id"]) <= set(large[cell]["id"]) for cell in small)


def test_no_subset_is_the_whole_and_seeds_differ() -> None:
    items = table([(0, "train", "test")] * 30)
    assert_frame_equal(take(items, Subset(), SPLITS), items)
    drawn = {tuple(take(items, Subset(per_class=5, seed=seed), SPLITS)["id"]) for seed in range(4)}
    assert len(drawn) == 4


def test_a_stage_reads_what_the_files_hold(tiny_runs: Path) -> None:
    index = Index.load(tiny_runs / "kinetics400")
    assert len(index.items) == CLASSES * (6 + 2)
    assert index.items["ok"].all() and index.items["video"].all() and index.items["audio"].all()
    assert np.allclose(index.items["duration"], 1.5, atol=0.13)
    assert len(index.rows("official", "train", tracks=("video", "audio"))) == CLASSES * 6
    assert len(Index.load(tiny_runs / "imagenet").rows("official", "train", tracks=("audio",))) == 0
    recordings = Index.load(tiny_runs / "esc50").items
    assert recordings["audio"].all() and not recordings["video"].any()


def test_unreadable_and_missing_files_are_told_apart(world: Path, tmp_path: Path) -> None:
    root = linked(world / "esc50", tmp_path / "root" / "esc50")
    victims = sorted(root.glob("audio/*.wav"))
    spoil(victims[1])
    victims[7].unlink()
    index = Index.load(make_index(tmp_path / "run", tmp_path / "root", "esc50"))
    items = index.items.assign(name=index.items["path"].map(lambda path: Path(path).stem)).set_index("name")
    bad, gone = items.loc[victims[1].stem], items.loc[victims[7].stem]
    assert (bad["bytes"], gone["bytes"]) == (victims[1].stat().st_size, -1)
    assert not bad["ok"] and bad["reason"] not in ("", "missing")
    assert not gone["ok"] and gone["reason"] == "missing"
    everything = np.arange(len(index.items))
    assert list(index.items["path"].iloc[index.unreadable(everything)]) == [f"audio/{victims[1].name}"]
    for split in index.splits:
        for part in ("train", "test"):
            lost = set(index.listed(split, part)) - set(index.rows(split, part))
            assert lost == {int(i) for i in np.flatnonzero(~index.items["ok"])} & lost
    assert len(index.listed("1", "train")) + len(index.listed("1", "test")) == len(index.items)


def test_too_many_unreadable_files_fail_the_stage(world: Path, tmp_path: Path) -> None:
    root = linked(world / "esc50", tmp_path / "root" / "esc50")
    for victim in sorted(root.glob("audio/*.wav"))[:2]:
        spoil(victim)
    with pytest.raises(
        UserError, match=r"2 of 15 files are unreadable, first audio/1-\S+\.wav \(.+max_failed"
    ):
        make_index(tmp_path / "run", tmp_path / "root", "esc50", max_failed=0.1)
    at_the_limit = make_index(tmp_path / "other", tmp_path / "root", "esc50", max_failed=2 / 15)
    assert (~Index.load(at_the_limit).items["ok"]).sum() == 2


def test_missing_files_do_not_count_as_unreadable(world: Path, tmp_path: Path) -> None:
    root = linked(world / "esc50", tmp_path / "root" / "esc50")
    for victim in sorted(root.glob("audio/1-*.wav"))[:2]:
        victim.unlink()
    index = Index.load(make_index(tmp_path / "run", tmp_path / "root", "esc50", max_failed=0.0))
    assert (index.items["bytes"] == -1).sum() == 2
    assert not (tmp_path / "run" / stage.OPENED).exists(), "what was kept for the next attempt"


def test_a_changed_folder_is_refused(world: Path, tmp_path: Path) -> None:
    config = IndexStage(name="esc50", dataset=DATASETS["esc50"], fingerprint="0" * 64)
    with pytest.raises(UserError, match="changed while this run was planned"):
        stage.run(config, {}, tmp_path, Context("tests", roots={"esc50": world / "esc50"}))
