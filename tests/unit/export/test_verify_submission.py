"""Submissions that fit, and every way in which they are tampered with, the manifest made again or not."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.export.made_submission import write
from tests.unit.export.tampering import WAYS, document, predictions, remade
from xdcbench.errors import UserError
from xdcbench.export import verify_submission as verify_module
from xdcbench.export.publish import publish_lines
from xdcbench.export.verify_submission import verify_submission
from xdcbench.results.submission import MANIFEST

KINDS = tuple(WAYS)
Copy = Callable[[str], Path]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "results")


@pytest.fixture(scope="module")
def published(results: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A submission of each kind of evaluation alone."""
    folder = tmp_path_factory.mktemp("published")
    for kind in KINDS:
        list(publish_lines(f"{kind}-", results, folder / kind))
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture
def copy(published: dict[str, Path], tmp_path: Path) -> Copy:
    """A submission of a kind that a test may change."""
    return lambda kind: Path(shutil.copytree(published[kind], tmp_path / kind, dirs_exist_ok=True))


def refused(folder: Path) -> list[str]:
    lines, code = verify_submission(folder)
    found = [line.removeprefix("refused").strip() for line in lines if line.startswith("refused")]
    assert code == bool(found)
    return found


def test_what_was_published_fits(results: Path, tmp_path: Path) -> None:
    list(publish_lines("xdc", results, tmp_path / "submission"))
    lines, code = verify_submission(tmp_path / "submission")
    assert code == 0
    assert "25 numbers fit, 15 values not recomputed, 0 mismatches" in lines[-1]
    assert sum(line.startswith("fits") for line in lines) == 25
    assert any(
        "outcomes chance, most_frequent_class" in line for line in lines if line.startswith("not recomputed")
    )


@pytest.mark.parametrize(("kind", "way"), [(kind, way) for kind, ways in WAYS.items() for way in ways])
def test_tampering_is_refused_though_the_manifest_is_made_again(
    copy: Copy, kind: str, way: Callable[[Path], str]
) -> None:
    folder = copy(kind)
    said = way(folder)
    assert any("sha256" in line or "bytes" in line for line in refused(folder)), "by its hash"
    remade(folder)
    found = refused(folder)
    assert any(re.search(said, line) for line in found), found
    assert not any("sha256" in line for line in found)


def test_a_missing_file_and_a_wrong_hash(copy: Copy) -> None:
    folder = copy("knn")
    (path,) = folder.glob("knn-*/predictions.parquet")
    path.unlink()
    gone = f"{path.parent.name}/predictions.parquet: file is stated as there, recomputed missing"
    assert gone in refused(folder)
    document(folder, MANIFEST, lambda content: content["files"]["README.md"].update(sha256="0" * 64))
    assert any("README.md: sha256 is stated as 000000000000" in line for line in refused(folder))


@pytest.mark.parametrize("name", ["records.json", "run.json", "config.json", "encoders.json"])
def test_a_torn_file_of_a_run_is_a_line(copy: Copy, name: str) -> None:
    folder = copy("knn")
    (path,) = folder.glob(f"knn-*/{name}")
    for content in (b"", b'{"a', b"[[[[", bytes(40), b"3", b"[]", b'{"key": "x"}'):
        path.write_bytes(content)
        remade(folder)
        assert any(path.parent.name in line for line in refused(folder)), content


@pytest.mark.parametrize("name", ["predictions.parquet", "scores.npy"])
def test_a_torn_table_is_a_line(copy: Copy, name: str) -> None:
    folder = copy("linear_probe")
    (path,) = folder.glob(f"linear_probe-*/{name}")
    path.write_bytes(path.read_bytes()[:-30])
    remade(folder)
    assert any(path.parent.name in line for line in refused(folder))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop(columns="label"),
        lambda table: table.drop(columns="prediction"),
        lambda table: table.iloc[:0],
        lambda table: table.assign(label="x"),
        lambda table: table.assign(prediction=0.5),
        lambda table: table.assign(id=3),
        lambda table: table.assign(neighbors=[[1]] * len(table)),
    ],
)
def test_columns_of_other_types_are_a_line(
    copy: Copy, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    folder = copy("knn")
    predictions(folder, "knn", change)
    remade(folder)
    assert refused(folder)


def test_too_many_rows_are_refused_unread(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "ROWS", 10)
    assert any("has 80 rows, more than 10" in line for line in refused(copy("knn")))


def test_a_record_of_a_newer_schema(copy: Copy) -> None:
    folder = copy("knn")
    document(folder, "knn-*/records.json", lambda records: records[0].update(schema_version=99))
    remade(folder)
    assert any("of a newer xdcbench" in line for line in refused(folder))


def test_without_anything_to_recompute_from(copy: Copy) -> None:
    """Numbers of scores that are not there: named and counted, and no success."""
    folder = copy("multilabel_probe")
    for name in ("scores.npy", "classes.parquet"):
        next(folder.glob(f"*/{name}")).unlink()
    remade(folder)
    lines, code = verify_submission(folder)
    assert code == 1
    assert sum(line.startswith("not recomputed") for line in lines) == 4
    assert any("numbers is stated as recomputable, recomputed none" in line for line in lines)


@settings(max_examples=50)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_one_flipped_bit_of_predictions_is_refused(
    published: dict[str, Path], data: st.DataObject, kind: str
) -> None:
    (path,) = published[kind].glob("*/predictions.parquet")
    before = path.read_bytes()
    at = data.draw(st.integers(0, 8 * len(before) - 1))
    changed = bytearray(before)
    changed[at // 8] ^= 1 << at % 8
    path.write_bytes(changed)
    try:
        assert any("sha256" in line for line in refused(published[kind]))
    finally:
        path.write_bytes(before)


@settings(max_examples=40)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_one_changed_value_is_refused(published: dict[str, Path], data: st.DataObject, kind: str) -> None:
    """Any by its hash; by its metric, hashes made again, where it makes a right item wrong or a wrong one right."""
    folder = published[kind]
    (path,) = folder.glob("*/predictions.parquet")
    before, stated = path.read_bytes(), (folder / MANIFEST).read_bytes()
    table = pd.read_parquet(path)
    right = who_is_right(table)
    row = data.draw(st.integers(0, len(table) - 1))
    name = data.draw(st.sampled_from(sorted(table.columns)))
    values = list(table[name])
    values[row] = another(values[row], data)
    table[name] = values
    try:
        table.to_parquet(path, index=False)
        assert any("sha256" in line or "bytes" in line for line in refused(folder))
        if who_is_right(table) != right:
            remade(folder)
            assert refused(folder)
    finally:
        path.write_bytes(before)
        (folder / MANIFEST).write_bytes(stated)


def who_is_right(table: pd.DataFrame) -> list[bool]:
    """Of items with one prediction each."""
    return (table["prediction"] == table["label"]).tolist() if "prediction" in table else []


def another(value: object, data: st.DataObject) -> object:
    """Another value of the same type."""
    if isinstance(value, np.ndarray):
        return np.setxor1d(value, [data.draw(st.integers(0, 7))])
    if isinstance(value, str):
        return value + data.draw(st.sampled_from("abc"))
    return int(str(value)) + data.draw(st.sampled_from([-3, -1, 1, 2, 5]))


def test_no_submission_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no submission"):
        verify_submission(tmp_path)
