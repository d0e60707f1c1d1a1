"""Matrices in files: what others read, what a kill leaves, whose pages a process writes."""

import errno
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.matrix import PAGE, Filling, create, mapped, rows_to_page, spread, summed

RNG = np.random.default_rng(0)


def values(rows: range, width: int) -> np.ndarray:
    """Numbers that say their place."""
    return np.arange(rows.start * width, rows.stop * width, dtype=np.float32).reshape(-1, width)


def fill(folder: Path, rows: int, width: int, *, block: int = 4, at_most: int | None = None) -> list[int]:
    """Fill what is missing, or the first blocks of it; the blocks that were filled."""
    filling = Filling(folder, {"x": width}, (rows,), block=block)
    with filling:
        blocks = filling.missing()[:at_most]
        for part in blocks:
            filling.put(part, {"x": values(part, width)}, {part.start: "torn"} if part.start == 4 else {})
    return [part.start for part in blocks]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(1, 40))
def test_numpy_reads_the_header(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], width: int
) -> None:
    path = tmp_path_factory.mktemp("m") / "x.npy"
    create(path, (*shape, width))
    for mode in (None, "r") if 0 not in shape else (None,):
        found = np.load(path, mmap_mode=mode, allow_pickle=False)
        assert found.shape == (*shape, width) and found.dtype == np.float32 and not found.any()
    assert mapped(path).shape == (*shape, width)
    assert path.stat().st_size == PAGE + found.nbytes


def test_a_matrix_is_whole_once_all_blocks_are_put(tmp_path: Path) -> None:
    assert fill(tmp_path / "f", 10, 3) == [0, 4, 8]
    filling = Filling(tmp_path / "f", {"x": 3}, (10,), block=4)
    with filling:
        assert filling.missing() == []
    found, failed = filling.whole()
    assert np.array_equal(found["x"], values(range(10), 3))
    assert np.array_equal(np.load(tmp_path / "f" / "x.npy"), found["x"])
    assert failed == {4: "torn"}


WHOLE = summed(json.dumps({"block": 8, "failed": {}, "sums": {"x": zlib.crc32(bytes(2 * 3 * 4))}}).encode())
"""The line of a block that nobody has put: its rows are zero, as the file was made."""


@pytest.mark.parametrize(
    "torn", [b"", b'{"block": 8, "fai', b"\0\0\0\0\0", b"\xff", b"3", b'{"block": 8}', WHOLE]
)
def test_what_was_put_is_not_asked_for_again_and_its_reasons_are_kept(tmp_path: Path, torn: bytes) -> None:
    """A line that was cut off does not count, unless nothing but its end is missing."""
    assert fill(tmp_path, 10, 3, at_most=2) == [0, 4]
    with (tmp_path / "journal" / "0.jsonl").open("ab") as file:
        file.write(torn)
    assert fill(tmp_path, 10, 3) == ([] if torn == WHOLE else [8])
    filling = Filling(tmp_path, {"x": 3}, (10,), block=4)
    with filling:
        assert filling.failed == {4: "torn"}
        assert filling.missing() == []


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (
            lambda content: content[: PAGE + 60].ljust(len(content), b"\0"),
            [4, 8],
        ),  # from row 5
        (lambda content: bytes(len(content)), [0, 4, 8]),
        (lambda content: content[:-1], [0, 4, 8]),
        (lambda content: content[:PAGE], [0, 4, 8]),
        (lambda content: b"", [0, 4, 8]),
        (lambda content: content[:-1] + b"\1", [8]),
    ],
)
def test_damaged_rows_are_made_again(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    again: list[int],
) -> None:
    fill(tmp_path, 10, 3)
    path = tmp_path / "x.npy"
    path.write_bytes(damage(path.read_bytes()))
    assert fill(tmp_path, 10, 3) == again
    assert "damaged; " in caplog.text and "made again" in caplog.text and "pickle" not in caplog.text
    filling = Filling(tmp_path, {"x": 3}, (10,), block=4)
    with filling:
        assert filling.missing() == []
    found, failed = filling.whole()
    assert np.array_equal(found["x"], values(range(10), 3)) and failed == {4: "torn"}


@pytest.mark.parametrize(
    ("whole", "damaged", "again"),
    [
        (b'"block": 4', b'"block": 5', [4]),
        (b'{"4": "torn"}', b'{"5": "torn"}', [4]),
        (b'{"4": "torn"}', b'{"x": "torn"}', [4]),
        (b'"block": 8', b'"block": \0', [8]),
    ],
)
def test_a_damaged_line_of_the_journal_does_not_count(
    tmp_path: Path, whole: bytes, damaged: bytes, again: list[int]
) -> None:
    """Another block would count as there, or another item as torn."""
    fill(tmp_path, 10, 3)
    journal = tmp_path / "journal" / "0.jsonl"
    assert whole in journal.read_bytes()
    journal.write_bytes(journal.read_bytes().replace(whole, damaged))
    assert fill(tmp_path, 10, 3) == again
    filling = Filling(tmp_path, {"x": 3}, (10,), block=4)
    with filling:
        assert filling.missing() == []
    assert filling.whole()[1] == {4: "torn"}


def test_other_shapes_begin_anew(tmp_path: Path) -> None:
    fill(tmp_path, 10, 3)
    assert fill(tmp_path, 11, 3) == [0, 4, 8]
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
    assert fill(tmp_path, 11, 3) == [0, 4, 8]
    (tmp_path / "x.npy").unlink()
    assert fill(tmp_path, 11, 3) == [0, 4, 8]


def test_a_process_that_leaves_early_is_noticed(tmp_path: Path) -> None:
    filling = Filling(tmp_path, {"x": 3}, (10,), block=4)
    with filling:
        filling.put(range(4), {"x": values(range(4), 3)}, {})
    with pytest.raises(AssertionError, match="left before"):
        filling.whole()


@given(st.integers(1, 5000), st.integers(0, 300), st.integers(1, 5))
def test_no_two_processes_write_one_page(width: int, blocks: int, processes: int) -> None:
    """Shares follow each other, make up all rows, and meet at pages."""
    rows = 64 * blocks + 17
    ends = []
    for number in range(processes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RANK", str(number))
            patch.setenv("WORLD_SIZE", str(processes))
            filling = Filling(Path("none"), {"x": width, "y": 64}, (rows,), block=64)
            filling.done = {}
            ends += [(part.start, part.stop) for part in filling.missing()]
            mine = filling.missing()
            if mine and mine[-1].stop < rows:
                assert mine[-1].stop * width * 4 % PAGE == 0
            if mine:
                assert mine[0].start * width * 4 % PAGE == 0
    assert [begin for begin, _ in ends] == list(range(0, rows, 64)), "the blocks of one process"
    assert [end for _, end in ends] == [*range(64, rows, 64), rows]


@pytest.mark.parametrize(
    ("width", "rows"), [(512, 2), (1024, 1), (2000, 64), (33, 1024), (1, 1024), (4096, 1)]
)
def test_rows_to_a_page_by_hand(width: int, rows: int) -> None:
    assert rows_to_page(width) == rows


def test_spread_makes_all_rows_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdcbench.matrix.CHUNK", 1024)
    seen: list[range] = []

    def make(rows: range) -> np.ndarray:
        seen.append(rows)
        return values(rows, 5)

    found = spread(tmp_path / "x.npy", 2500, 5, make)
    assert seen == [range(1024), range(1024, 2048), range(2048, 2500)]
    assert np.array_equal(found, values(range(2500), 5))


def test_what_is_assigned_to_a_mapped_matrix_does_not_reach_the_file(tmp_path: Path) -> None:
    spread(tmp_path / "x.npy", 3, 2, lambda rows: values(rows, 2))
    mapped(tmp_path / "x.npy")[:] = 7
    assert np.array_equal(mapped(tmp_path / "x.npy"), values(range(3), 2))


@pytest.mark.parametrize("call", ["pwrite", "write", "fdatasync"])
def test_a_full_disk_names_the_file_and_leaves_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    fill(tmp_path, 10, 3, at_most=1)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(UserError, match=rf"no space left in {tmp_path}\S*: \d+ bytes are needed"):
            fill(tmp_path, 10, 3)
    assert fill(tmp_path, 10, 3) == [4, 8]


def test_a_disk_too_full_to_make_the_file_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(UserError, match=rf"no space left in {tmp_path}\S*: 4,096 bytes are needed"):
            fill(tmp_path, 10, 3)
    assert fill(tmp_path, 10, 3) == [0, 4, 8]
