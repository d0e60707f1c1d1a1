"""Tables in uncompressed Arrow files, which processes map: they share one copy and read only what they use."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xdcbench.errors import UserError
from xdcbench.utils.documents import RESTORE
from xdcbench.utils.messages import first_line

if TYPE_CHECKING:
    import pandas as pd

MAGIC = b"ARROW1"


def write_table(path: Path, table: "pd.DataFrame", *, categories: Collection[str] = ()) -> None:
    """Write a table without missing strings for ``map_table``; columns of ``categories`` hold few values."""
    arrays = {str(name): _array(table[name], few=name in categories) for name in table}
    batch = pa.RecordBatch.from_pydict(arrays)  # one, so that each column lies in one piece
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def map_table(path: Path, *, fix: str = RESTORE) -> "pd.DataFrame":
    """The table in a file, read as it is used, and read-only.

    Columns of numbers and truth values are views of the file; strings become Python's where an item is looked at.
    Those of few values are categories, and lists stay Arrow's.

    Raises:
        UserError: the file is missing, cut short or no such table.
    """
    import pandas as pd

    batch = map_batch(path, fix=fix)
    try:
        columns = {name: _column(batch.column(name)) for name in batch.schema.names}
    except (pa.ArrowException, ValueError) as error:
        raise UserError(f"{path} cannot be read ({first_line(error)}). Try: {fix}") from error
    return pd.DataFrame(columns, copy=False)


def map_batch(path: Path, *, fix: str = RESTORE) -> pa.RecordBatch:
    """The columns in a file, as Arrow has them, without pandas; otherwise as ``map_table``."""
    try:
        with pa.memory_map(str(path)) as source:
            if source.read(len(MAGIC)) != MAGIC:  # Arrow looks at the end only
                raise pa.ArrowInvalid("not an Arrow file")
            file = pa.ipc.open_file(source)
            if file.num_record_batches != 1:
                raise pa.ArrowInvalid(f"{file.num_record_batches} tables, not one")
            batch = file.get_batch(0)
        batch.validate()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read ({first_line(error)}). Try: {fix}") from error
    return batch


def places(ids: "pd.Series | pa.Array", among: "pd.Series", *, begin: int = 0) -> np.ndarray:
    """Position of each of ``ids`` among others, int64 (len(ids),), -1 where it is not one of them.

    Nothing is searched for where they are those from ``begin`` on.
    """
    own, others = (pa.chunked_array([pa.array(of, pa.large_string())]) for of in (ids, among))
    if own.equals(others.slice(begin, len(own))):
        return np.arange(begin, begin + len(own))
    found: np.ndarray = pc.index_in(own, others.combine_chunks()).fill_null(-1).to_numpy()
    return found.astype(np.int64)


def are_distinct(values: "pd.Series") -> bool:
    """Whether no value is there twice; strings stay Arrow's."""
    return bool(pc.count_distinct(pa.array(values), mode="all").as_py() == len(values))


def _array(column: "pd.Series", *, few: bool) -> pa.Array:
    import pandas as pd

    if column.dtype == bool:
        return pa.Bool8Array.from_numpy(column.to_numpy())  # one byte each, as NumPy has it
    if few:
        found = pa.array(column.astype("category"))
    elif pd.api.types.is_numeric_dtype(column):
        found = pa.array(column.to_numpy())
    elif pd.api.types.is_string_dtype(column):
        found = pa.array(column, pa.large_string())
    else:
        found = pa.array(column)
        if pa.types.is_list(found.type):
            found = found.cast(pa.list_(found.type.value_type))  # Parquet calls the values by another name
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _column(column: pa.Array) -> Any:
    import pandas as pd

    if isinstance(column, pa.DictionaryArray):
        codes = column.indices.to_numpy()
        return pd.Categorical.from_codes(codes, categories=column.dictionary.to_pandas())
    if pa.types.is_nested(column.type):
        return pd.Series(pd.arrays.ArrowExtensionArray(column))
    if pa.types.is_large_string(column.type):
        return column.to_pandas()
    return column.to_numpy(zero_copy_only=True)
