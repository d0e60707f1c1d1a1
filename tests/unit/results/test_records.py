import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from xdcbench.errors import UserError
from xdcbench.results.records import (
    SCHEMA_VERSION,
    Record,
    read_record_file,
    read_records,
    write_record_file,
    write_records,
)
from xdcbench.results.run_store import RunStore
from xdcbench.utils.manifest import write_manifest

Maker = Callable[..., Record]


def filled(root: Path, runs: dict[str, Sequence[Record]]) -> RunStore:
    """A results folder with these records."""
    store = RunStore(root)
    for key, records in runs.items():
        store.path(key).mkdir()
        write_records(store.path(key), records)
        write_manifest(store.path(key))
    return store


def rewritten(store: RunStore, text: str) -> Path:
    """The file of records of the run ``a-1``, which a stage has left with this text in it."""
    path = store.path("a-1") / "records.json"
    path.write_text(text)
    write_manifest(path.parent)
    return path


def test_records_come_back_as_they_were(tmp_path: Path, make_record: Maker) -> None:
    wanted = [make_record(run="a-1", value=1.5, outcomes={"c": 0.1}), make_record(run="a-1", metric="top5")]
    assert read_records([filled(tmp_path, {"a-1": wanted})]) == wanted


def test_several_folders_are_read_as_one(tmp_path: Path, make_record: Maker) -> None:
    one = filled(
        tmp_path / "one", {"b-2": [make_record(run="b-2", value=2)], "a-1": [make_record(run="a-1")]}
    )
    two = filled(
        tmp_path / "two", {"b-2": [make_record(run="b-2", value=3)], "c-3": [make_record(run="c-3")]}
    )
    found = read_records([one, two])
    assert [record.run for record in found] == ["a-1", "b-2", "c-3"]
    assert next(record.value for record in found if record.run == "b-2") == 2
    assert read_records([two, one])[1].value == 3


def test_only_the_runs_asked_for(tmp_path: Path, make_record: Maker) -> None:
    store = filled(tmp_path, {key: [make_record(run=key)] for key in ("a-1", "b-2")})
    assert [record.run for record in read_records([store], ["b-2", "z-9"])] == ["b-2"]
    assert read_records([store], []) == []


def test_runs_without_records_and_runs_in_work_do_not_count(tmp_path: Path, make_record: Maker) -> None:
    store = filled(tmp_path, {"a-1": [make_record(run="a-1")]})
    store.path("index-2").mkdir()
    write_manifest(store.path("index-2"))
    with store.building("b-2") as work:
        write_records(work, [make_record(run="b-2")])
        assert [record.run for record in read_records([store])] == ["a-1"]


def test_no_folder_no_records(tmp_path: Path) -> None:
    assert read_records([]) == []
    assert read_records([RunStore(tmp_path / "nowhere", write=False)]) == []


def test_newer_schema_is_refused(tmp_path: Path, make_record: Maker) -> None:
    row = make_record().model_dump(mode="json") | {"schema_version": SCHEMA_VERSION + 1, "mood": "good"}
    store = filled(tmp_path, {"a-1": []})
    rewritten(store, json.dumps([row]))
    with pytest.raises(
        UserError, match=f"a-1/records.json has records of schema {SCHEMA_VERSION + 1}.*upgrade"
    ):
        read_records([store])


def test_older_schema_is_refused_by_its_number(tmp_path: Path) -> None:
    store = filled(tmp_path, {"a-1": []})
    path = rewritten(store, json.dumps([{"schema_version": SCHEMA_VERSION - 1, "mood": "good"}]))
    with pytest.raises(UserError) as error:
        read_records([store])
    assert str(error.value) == (
        f"{path} has records of schema {SCHEMA_VERSION - 1}, of an older xdcbench; this one reads {SCHEMA_VERSION}. "
        "Try: make the run again with `xdcbench run --policy always` and its suite"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not readable JSON"),
        ("{}", "is no list of records"),
        ("[3]", "is no list of records"),
        ("null", "is no list of records"),
        ('[{"suite": "smoke"}]', "run: Field required"),
    ],
)
def test_file_that_holds_no_records_is_named(tmp_path: Path, content: str, said: str) -> None:
    store = filled(tmp_path, {"a-1": []})
    path = rewritten(store, content)
    with pytest.raises(UserError) as error:
        read_records([store])
    assert str(path) in str(error.value)
    assert said in str(error.value)
    assert "Try: make the run again" in str(error.value)
    assert "\n" not in str(error.value)


def test_value_of_the_wrong_type_is_named(tmp_path: Path, make_record: Maker) -> None:
    row = make_record().model_dump(mode="json") | {"value": "high"}
    store = filled(tmp_path, {"a-1": []})
    rewritten(store, json.dumps([row]))
    with pytest.raises(UserError, match=r"records\.json: 0\.value: .*number"):
        read_records([store])


def test_record_refuses_what_is_no_number(tmp_path: Path, make_record: Maker) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_records(tmp_path, [make_record(value=float("nan"))])
    assert list(tmp_path.iterdir()) == []


def test_a_record_file_is_read_as_it_was_written_whatever_the_order(
    tmp_path: Path, make_record: Maker
) -> None:
    records = [make_record(value=float(i)) for i in range(5)]
    write_record_file(tmp_path / "one.gz", records)
    write_record_file(tmp_path / "two.gz", records[::-1])
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert sorted(r.value for r in read_record_file(tmp_path / "two.gz")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("lines", ["{", "3", '{"schema_version": 1}', '{"schema_version": 2}'])
def test_a_record_file_of_something_else_is_named(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(gzip.compress(lines.encode()))
    with pytest.raises(UserError, match=r"records\.jsonl\.gz"):
        read_record_file(path)


def test_a_torn_record_file_is_named(tmp_path: Path, make_record: Maker) -> None:
    path = tmp_path / "records.jsonl.gz"
    write_record_file(path, [make_record()])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"records\.jsonl\.gz"):
        read_record_file(path)
