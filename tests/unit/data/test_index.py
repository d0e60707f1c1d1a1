"""An index: saving and loading, and the items that could not be read."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from tests.unit.tiny import small_index
from xdcbench.data.index import NAMED, Index, write_failed
from xdcbench.data.scanning.items import MISSING
from xdcbench.errors import UserError


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    index = small_index([0, 1, 2, -1], ["train", "test", "", "train"])
    index.save(tmp_path)
    again = Index.load(tmp_path)
    assert {k: v for k, v in vars(again).items() if k != "items"} == {
        k: v for k, v in vars(index).items() if k != "items"
    }
    assert_frame_equal(again.items.astype(index.items.dtypes), index.items)
    assert again.labels.dtype == np.int64
    assert again.labels.tolist() == [0, 1, 2, -1]


def test_an_index_of_one_length_per_item_is_refused() -> None:
    index = small_index([0], ["train"])
    with pytest.raises(UserError, match="index of toy does not hold the length of each track"):
        replace(index, items=index.items.drop(columns="audio_seconds")).stretches(video=True)


def unread(count: int) -> Index:
    """``count`` items, of which the first is missing and every third after it could not be opened."""
    index = small_index([0] * count, ["test"] * count)
    ok = np.arange(count) % 3 != 0
    reasons = np.where(ok, "", 'no "moov" atom')
    sizes = np.where(np.arange(count) == 0, MISSING, 1)
    return replace(index, items=index.items.assign(ok=ok, reason=reasons, bytes=sizes))


def test_the_lost_items_of_a_part_are_those_not_opened_and_those_not_decoded() -> None:
    index = unread(10)
    assert index.lost(np.arange(8), {7: "cut", 8: "of another part"}).tolist() == [3, 6, 7]
    assert index.lost(np.arange(8), {}).tolist() == [3, 6]
    assert index.names(np.array([7, 3])) == tuple(index.items["id"].iloc[[3, 7]])
    assert len(index.names(np.arange(10).repeat(9))) == NAMED


@pytest.mark.parametrize("failed", [{}, {7: "cut", 2: "ä"}, {3: "again"}])
def test_every_item_that_was_not_read_is_named_with_its_reason(
    tmp_path: Path, failed: dict[int, str]
) -> None:
    index = unread(10)
    write_failed(tmp_path, index, failed)
    ids = index.items["id"]
    expected = {ids[row]: 'no "moov" atom' for row in (0, 3, 6, 9)} | {ids[r]: f for r, f in failed.items()}
    assert json.loads((tmp_path / "failed.json").read_text()) == expected


def test_what_names_lost_items_takes_no_memory_for_each(tmp_path: Path) -> None:
    """As text in a mapping, they would take over 300 bytes each; the map of a file is not counted."""
    count = 300_000
    unread(count).save(tmp_path)
    index = Index.load(tmp_path)
    tracemalloc.start()
    write_failed(tmp_path, index, {})
    index.lost(np.arange(count), {1: "cut"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * count, f"{peak / count:.0f} bytes per item"
