"""The labels of a multi-label dataset, whose items have several classes each."""

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from xdcbench.data.index import Index
from xdcbench.data.scanning.items import LABELS


def is_multi_label(index: Index) -> bool:
    """Whether items have a set of classes each, not one class."""
    return LABELS in index.items


def labeled(index: Index) -> np.ndarray:
    """Whether each item has a class at all, bool (items,)."""
    there: np.ndarray = np.diff(label_sets(index).indptr) > 0 if is_multi_label(index) else index.labels >= 0
    return there


def label_sets(index: Index) -> csr_array:
    """The classes of each item of a multi-label dataset, float32 (items, classes) of 0 and 1."""
    each = pa.chunked_array([pa.array(index.items[LABELS], pa.list_(pa.int64()))]).combine_chunks()
    ends = each.offsets.to_numpy().astype(np.int64)
    indices = each.values.to_numpy()[: ends[-1]]
    ones = np.ones(len(indices), dtype=np.float32)
    return csr_array((ones, indices, ends), shape=(len(each), len(index.classes)))


def is_told_apart(sets: csr_array) -> np.ndarray:
    """Whether some items have a class and some lack it, bool (classes,), of ``sets`` (items, classes)."""
    counts = np.asarray(sets.sum(axis=0))
    told: np.ndarray = (counts > 0) & (counts < sets.shape[0])
    return told
