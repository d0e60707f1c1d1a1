"""Lists: found, read strictly, joined; every mistake named with file, line or value, and mend."""

import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal

from tests.unit.data.trees import config, text, touch
from xdcbench.data.scanning import csv_rows, lists
from xdcbench.errors import UserError

GRID = config("grid")
COLUMNS = ("file", "command")
cells = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)


def fails(saying: str, path: Path, **how: object) -> None:
    with pytest.raises(UserError) as error:
        lists.read_csv(path, GRID, COLUMNS, **how)  # type: ignore[arg-type]
    said = str(error.value)
    assert str(path) in said
    assert saying in said
    assert "\n" not in said


@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=5), end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=30, deadline=None)
def test_a_csv_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    path.write_bytes(("\ufeff" + end.join(["file,command", "", *quoted]) + end).encode())
    read = lists.read_csv(path, GRID, COLUMNS)
    stripped = [(one.strip(), other.strip()) for one, other in rows]
    assert list(read.itertuples(index=False, name=None)) == [row for row in stripped if any(row)]


def test_a_header_alone(tmp_path: Path) -> None:
    for content in ("file,command", "file,command\n", "\n\nfile,command\n\n"):
        (tmp_path / "a.csv").write_text(content)
        assert list(lists.read_csv(tmp_path / "a.csv", GRID, COLUMNS)) == ["file", "command"]
        assert lists.read_csv(tmp_path / "a.csv", GRID, COLUMNS).empty


def test_a_csv_without_a_header(tmp_path: Path) -> None:
    text(tmp_path, "a.csv", "1,02", "x,NA")
    read = lists.read_csv(tmp_path / "a.csv", GRID, COLUMNS, header=False)
    assert read.to_dict("list") == {"file": ["1", "x"], "command": ["02", "NA"]}, "no value is guessed at"


def test_values_lose_the_space_around_them(tmp_path: Path) -> None:
    text(
        tmp_path,
        "a.csv",
        "file, command",
        "d1.wav, dog",
        "d2.wav,dog ",
        'd3.wav, "dog, small"',
        " d 4.wav\t,dog",
        ",",
    )
    read = lists.read_csv(tmp_path / "a.csv", GRID, COLUMNS)
    assert read["file"].tolist() == ["d1.wav", "d2.wav", "d3.wav", "d 4.wav"]
    assert read["command"].tolist() == ["dog", "dog", "dog, small", "dog"]


@given(
    rows=st.lists(st.lists(st.text('ab", \n', max_size=5), min_size=2, max_size=2), max_size=4),
    end=st.sampled_from(["\n", "\n\n"]),
)
@settings(max_examples=200, deadline=None)
def test_the_fast_reader_reads_as_the_slow_one(rows: list[list[str]], end: str) -> None:
    body = "".join(",".join(row) + end for row in rows)
    fast = csv_rows.plain_rows(body, COLUMNS, 1)
    if fast is not None:
        slow = csv_rows.any_rows(Path("a.csv"), body, COLUMNS, 1)
        pd.testing.assert_frame_equal(fast, slow, check_index_type=False)


@given(rows=st.lists(st.lists(st.text('a", ', max_size=5), min_size=2, max_size=2), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_quoted_values_are_read_fast(rows: list[list[str]]) -> None:
    body = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows)
    fast = csv_rows.plain_rows(body, COLUMNS, 1)
    assert fast is not None
    stripped = [tuple(cell.strip() for cell in row) for row in rows]
    assert list(fast.itertuples(index=False, name=None)) == [row for row in stripped if any(row)]


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 6])
def test_rows_are_read_some_at_a_time(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(csv_rows, "CHUNK", chunk)
    body = "".join(f'{i}.wav, "c,{i}"\n\n' for i in range(5))
    read = csv_rows.any_rows(Path("a.csv"), body, COLUMNS, 1)
    assert read.to_dict("list") == {
        "file": [f"{i}.wav" for i in range(5)],
        "command": [f"c,{i}" for i in range(5)],
    }
    assert read.index.tolist() == [2, 4, 6, 8, 10]
    with pytest.raises(UserError, match=r"a.csv, line 12: `x` has 1 fields, not 2"):
        csv_rows.any_rows(Path("a.csv"), body + "x\n", COLUMNS, 1)


values = st.lists(st.none() | st.sampled_from(["30", "1.5", "abc", "", "1e3", "٣", " 7 "]), max_size=8)


@given(values=values, begin=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_each_value_is_asked_for_once(values: list[str | None], begin: int) -> None:
    column = pd.Series(values, dtype="str", index=range(begin, begin + len(values)))
    asked: list[str] = []

    def number(distinct: pd.Series) -> pd.Series:
        asked.extend(distinct)
        return pd.to_numeric(distinct, errors="coerce")

    assert_series_equal(
        lists.per_value(column, number).astype("float64"),
        pd.to_numeric(column, errors="coerce").astype("float64"),
    )
    assert sorted(asked) == sorted({value for value in values if value is not None})
    parts = lists.per_value(column, lambda distinct: distinct.str.extract(r"^(.)(.)?"))
    assert_frame_equal(parts, column.str.extract(r"^(.)(.)?"))


@pytest.mark.parametrize("odd", ["", '"'])
def test_a_row_knows_its_line(tmp_path: Path, odd: str) -> None:
    text(
        tmp_path,
        "a.csv",
        "# comment",
        "file,command,,",
        "",
        *(f"{i}.wav,c{i},{odd and ' ' + 2 * odd}," for i in range(5)),
    )
    content = lists.read_text(tmp_path / "a.csv", GRID).replace("# comment", "")
    read = lists.read_csv(tmp_path / "a.csv", GRID, COLUMNS, text=content)
    assert read.index.tolist() == [4, 5, 6, 7, 8]
    assert list(read) == ["file", "command"], "columns without a name hold nothing"
    with pytest.raises(UserError, match=r"a.csv, line 7: unknown command `c3`, which is not in index"):
        lists.check_known(read["command"], ["c0", "c1", "c2"], tmp_path / "a.csv", "index")
    twice = read.assign(file="a.wav")
    with pytest.raises(UserError, match=r"a.csv, lines 4 and 5: `a.wav` has command `c0` and `c1`"):
        lists.one_per(twice, "file", tmp_path / "a.csv")


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "", "ten", "9007199254740993"])
def test_what_is_no_number(value: str) -> None:
    rows = pd.DataFrame({"start": ["1", value]}, index=pd.Index([2, 3], name="line"))
    with pytest.raises(UserError, match=rf"^a.csv, line 3: start `{value}` is no number; mend the row$"):
        lists.numbers(rows, "start", Path("a.csv"))


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (b"file,command\na,b\n\nonly\n", "line 4: `only` has 1 fields, not 2; mend the line"),
        (b"file,command\r\na,b,c\r\n", "line 2: `a,b,c` has 3 fields, not 2"),
        (b"file,mood\na,b\n", "no column `command` among file, mood; mend its header"),
        (b"", "no column `file` among none"),
        ("file,command\nä,b\n".encode("latin-1"), "is not UTF-8 text"),
        ("file,command\na,b\n".encode("utf-16"), "is not UTF-8 text"),
        ("file,command\na,b\n".encode("utf-16-le"), "is not UTF-8 text (zero bytes)"),
        (b'file,command\n"a,b\n', "line 2: its quotes do not fit (unexpected end of data). Try: end each"),
        (b'file,command\n"a\nb",c\n', "line 2: its quotes do not fit (a quoted value ends on line 3)"),
        (b'file,command\n"a"b,c\n', "line 2: its quotes do not fit"),
        (b"file,command,file\na,b,c\n", "line 1: column `file` is there 2 times. Try: rename or remove one"),
        (b"file;command\na;b\n", "line 1: its values are separated by `;`, not by commas. Try: save it with"),
        (b"file\tcommand\na\tb\n", "line 1: its values are separated by tabs, not by commas"),
        (b"file,command\na;b\n", "line 2: `a;b` has 1 fields, not 2; separate its values by commas"),
        (
            b"file,command\na,b, c\n",
            "line 2: `a,b,c` has 3 fields, not 2; mend the line; a value with a comma",
        ),
    ],
)
def test_a_broken_csv_is_named(tmp_path: Path, content: bytes, saying: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    fails(saying, path)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    fails("say where it is with `options.lists`", tmp_path / "a.csv")


def test_lines_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeff one 1 \r\n\r\ntwo\r\n".encode())
    assert lists.read_list(tmp_path / "a.txt", GRID) == {1: "one 1", 3: "two"}


def test_numbers() -> None:
    rows = pd.DataFrame({"start": ["30", "1.5", "abc"]})
    assert lists.numbers(rows[:2], "start", Path("a.csv")).tolist() == [30, 1.5]
    with pytest.raises(UserError, match=r"^a.csv: start `abc` is no number; mend the row$"):
        lists.numbers(rows, "start", Path("a.csv"))


def test_repeated_rows_count_once_and_contradictions_are_told() -> None:
    rows = pd.DataFrame([("a", "x", 1), ("b", "x", 2), ("a", "x", 1)], columns=["id", "label", "start"])
    assert lists.one_per(rows, "id", "a.csv")["id"].tolist() == ["a", "b"]
    rows.loc[2, "label"] = "y"
    with pytest.raises(UserError, match=r"^a.csv: `a` has label `x` and `y`; keep one of the rows$"):
        lists.one_per(rows, "id", "a.csv")


def test_the_nearest_list_counts(tmp_path: Path) -> None:
    touch(
        tmp_path, "deep/er/train.csv", "deep/train.csv", "deep/er/val.csv", ".hidden/test.csv", "video/a.mp4"
    )
    found = lists.find_lists(tmp_path, config("kinetics400"), ["train*", "*val.csv", "test.csv"])
    assert found == {"train*": tmp_path / "deep/train.csv", "*val.csv": tmp_path / "deep/er/val.csv"}


def test_the_folder_of_the_lists_may_be_named(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "here/train.csv")
    for place in ("here", str(tmp_path / "here")):
        dataset = config("kinetics400", options={"lists": place})
        assert lists.find_lists(tmp_path, dataset, ["train.csv"]) == {
            "train.csv": tmp_path / "here/train.csv"
        }


def test_two_lists_for_one_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "k400_val.csv", "k600_val.csv")
    with pytest.raises(
        UserError, match=r"both .*k400_val.csv and .*k600_val.csv fit `\*val\*.csv`; name one"
    ):
        lists.find_lists(tmp_path, config("kinetics400"), ["*val*.csv"])


def test_a_folder_of_lists_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*absent; mend `options.lists`"):
        lists.find_lists(tmp_path, config("kinetics400", options={"lists": "absent"}), ["train.csv"])


def test_place_keeps_the_order_of_rows() -> None:
    rows = pd.DataFrame({"key": ["b", "c", "a"], "listed": ["B", "C", "A"]})
    files = pd.DataFrame({"key": ["a", "x", "b"], "path": ["a.mp4", "x.mp4", "b.mp4"], "bytes": [1, 2, 3]})
    placed, extra = lists.place(rows, files, "key")
    assert placed["path"].tolist() == ["b.mp4", "C", "a.mp4"]
    assert placed["bytes"].tolist() == [3, -1, 1]
    assert extra == ("x.mp4",)
    assert re.fullmatch("int64", str(placed["bytes"].dtype))


names = st.lists(st.sampled_from("abcdef"), max_size=8)


@given(listed=names.map(lambda some: list(dict.fromkeys(some))), found=names)
@settings(max_examples=60, deadline=None)
def test_rows_and_files_are_joined_as_pandas_joins_them(listed: list[str], found: list[str]) -> None:
    rows = pd.DataFrame({"id": listed, "listed": [f"{name}.mp4" for name in listed]}, dtype="str")
    files = pd.DataFrame({"id": found, "path": [f"{at}/x" for at in range(len(found))]}, dtype="str")
    files["bytes"] = range(len(found))
    placed, extra = lists.place(rows, files, "id")
    expected = rows.merge(files, how="left", on="id")
    expected["path"] = expected["path"].fillna(expected["listed"])
    expected["bytes"] = expected["bytes"].fillna(-1).astype("int64")
    assert_frame_equal(placed, expected)
    assert extra == tuple(files.loc[~files["id"].isin(listed), "path"])
