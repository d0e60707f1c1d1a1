"""Label sets of an index, and which items have a label."""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from tests.unit.tiny import small_index
from xdcbench.data.label_sets import is_multi_label, is_told_apart, label_sets, labeled

ONE = small_index([0, -1, 2], ["train"] * 3)
SEVERAL = replace(ONE, items=ONE.items.assign(label=-1, labels=[(0, 2), (), (1,)]))


def test_sets_are_rows_of_0_and_1() -> None:
    found = label_sets(SEVERAL)
    assert found.dtype == np.float32
    assert found.toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_an_item_without_a_class_is_not_labeled() -> None:
    for index, several in ((ONE, False), (SEVERAL, True)):
        assert is_multi_label(index) == several
        assert labeled(index).tolist() == [True, False, True]


def test_a_class_is_told_apart_where_some_items_have_it_and_some_lack_it() -> None:
    sets = csr_array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert is_told_apart(sets).tolist() == [False, False, True]
