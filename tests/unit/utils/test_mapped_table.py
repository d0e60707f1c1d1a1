"""Tables that are mapped: what is written is read, in no memory of this process, and ids are found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from xdcbench.errors import UserError
from xdcbench.utils.mapped_table import are_distinct, map_batch, map_table, places, write_table

TABLE = pd.DataFrame(
    {
        "id": ["a", "", "Ω", "a" * 300],
        "label": np.array([3, -1, 2**40, 0]),
        "part": ["train", "test", "", "train"],
        "seconds": [0.5, np.nan, -0.0, np.inf],
        "ok": [True, False, True, True],
        "labels": [(0, 2), (), (1,), (5,)],
    }
)


def test_what_is_written_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    write_table(path, TABLE, categories=["part"])
    found = map_table(path)
    assert [tuple(labels) for labels in found.pop("labels")] == list(TABLE["labels"])
    assert_frame_equal(found.astype({"part": "str"}), TABLE.drop(columns="labels"))
    for name in ("label", "seconds", "ok"):
        column = found[name].to_numpy()
        address = map_batch(path).column(name).to_numpy(zero_copy_only=True)
        assert column.dtype == address.dtype and not column.flags.writeable


def test_lists_from_parquet_are_written_as_tuples_are(tmp_path: Path) -> None:
    own, parquet = tmp_path / "own.arrow", tmp_path / "x.parquet"
    write_table(own, TABLE[["labels"]])
    TABLE[["labels"]].to_parquet(parquet)
    read = pq.read_table(parquet).to_pandas(types_mapper=pd.ArrowDtype)
    assert read["labels"].dtype.pyarrow_dtype.value_field.name == "element"
    write_table(tmp_path / "other.arrow", read)
    assert (tmp_path / "other.arrow").read_bytes() == own.read_bytes()


def test_rows_take_no_memory_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    write_table(path, pd.concat([TABLE] * 5000, ignore_index=True), categories=["part"])
    before = pa.total_allocated_bytes()
    found = map_table(path)
    assert len(found) == 20_000 and pa.total_allocated_bytes() - before < 1000


def test_other_libraries_read_it(tmp_path: Path) -> None:
    write_table(tmp_path / "x.arrow", TABLE, categories=["part"])
    found = pd.read_feather(tmp_path / "x.arrow")
    assert found["id"].tolist() == TABLE["id"].tolist()
    assert found["ok"].tolist() == TABLE["ok"].tolist()


def test_a_file_of_several_tables_is_refused(tmp_path: Path) -> None:
    path, batch = tmp_path / "x.arrow", pa.RecordBatch.from_pydict({"a": [1]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch)
    with pytest.raises(UserError, match=r"x\.arrow cannot be read \(2 tables, not one\)\. Try: "):
        map_table(path)


names = st.lists(st.text("abc", max_size=3), unique=True, min_size=1, max_size=12)


@given(ids=names, among=names, begin=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_ids_are_found_where_they_are(ids: list[str], among: list[str], begin: int) -> None:
    expected = [among.index(name) if name in among else -1 for name in ids]
    for own in (ids, among[begin : begin + 4]):
        found = places(pd.Series(own, dtype="str"), pd.Series(among, dtype="str"), begin=begin)
        assert found.dtype == np.int64
        assert found.tolist() == [among.index(name) if name in among else -1 for name in own]
    assert places(pd.Series(ids, dtype="str"), pd.Series(among, dtype="str")).tolist() == expected


@pytest.mark.parametrize(("values", "distinct"), [([], True), (["a", ""], True), (["a", "b", "a"], False)])
def test_values_that_are_there_twice(values: list[str], distinct: bool) -> None:
    assert are_distinct(pd.Series(values, dtype="str")) is distinct
