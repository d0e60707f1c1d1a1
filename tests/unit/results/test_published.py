import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from xdcbench.errors import UserError
from xdcbench.results.published import Published, choose, load_published

ROOT = Path(__file__).parents[3]
FILE = ROOT / "baselines" / "published.csv"


def test_every_row_reads_as_the_csv_module_sees_it(published: list[Published]) -> None:
    with FILE.open(encoding="utf-8", newline="") as file:
        plain = list(csv.DictReader(file))
    assert len(published) == len(plain) > 200
    for row, text in zip(published, plain, strict=True):
        for name, value in text.items():
            typed = getattr(row, name)
            assert (typed is None) == (value == "" and name in {"pretrain_size", "frames", "k"})
            assert typed is None or type(typed)(value) == typed


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("value", "abc", "a number from 0 to 100"),
        ("value", "nan", "a number from 0 to 100"),
        ("value", "101", "a number from 0 to 100"),
        ("status", "sure", "verified, unverified, unverified-low"),
        ("status", "", "verified, unverified, unverified-low"),
        ("protocol", "svm", "linear_svm"),
        ("frames", "8.5", "a whole number"),
        ("table", "", "number of a table"),
        ("id", " ", "a name"),
    ],
)
def test_a_bad_value_is_named_with_file_line_and_column(
    tmp_path: Path, column: str, value: str, words: str
) -> None:
    path = _edited(tmp_path, lambda rows: rows[1].__setitem__(column, value))
    with pytest.raises(UserError, match="line 3") as caught:
        load_published(path)
    message = str(caught.value)
    assert str(path) in message and f"column {column}" in message and repr(value) in message
    assert words in message


def test_an_id_may_not_come_twice(tmp_path: Path) -> None:
    path = _edited(tmp_path, lambda rows: rows[2].__setitem__("id", rows[0]["id"]))
    with pytest.raises(UserError, match="line 4, column id: 't1-001' comes twice"):
        load_published(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,table\n", "line 1: columns are id,table"),
        (b"", "line 1"),
        (FILE.read_bytes().split(b"\n")[0] + b"\na,b\n", "line 2: 2 values for 18 columns"),
        (b"\xff\xfe\xff", "cannot be read as CSV"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "published.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_published(path)


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv"):
        load_published(tmp_path / "none.csv")


def test_choose_by_id_and_table_each_row_once(published: list[Published]) -> None:
    rows = choose(published, ["t1-016", "table:1", "t7-192"])
    assert rows[0].id == "t1-016"
    assert {row.id for row in rows} == {row.id for row in published if row.table == 1} | {"t7-192"}
    assert len(rows) == 19


@pytest.mark.parametrize("request_", ["t9-999", "table:99", "table:"])
def test_a_request_without_a_row_is_refused(published: list[Published], request_: str) -> None:
    with pytest.raises(UserError, match=request_):
        choose(published, [request_])


def _edited(folder: Path, edit: Callable[[list[dict[str, str]]], None]) -> Path:
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:5]
    edit(rows)
    path = folder / "published.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
