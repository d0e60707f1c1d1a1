"""An index: saving and loading."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from tests.unit.tiny import small_index
from xdcbench.data.index import Index
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
