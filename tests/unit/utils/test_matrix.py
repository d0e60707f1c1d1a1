"""Matrices in files: what others read, what a kill or damage leaves, whose blocks a process makes."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.utils.matrix import FILES, Blocks, block_of, mapped, mapped_tensor, write_rows


def values(rows: range, width: int) -> np.ndarray:
    """Numbers that say their place."""
    return np.arange(rows.start * width, rows.stop * width, dtype=np.float32).reshape(-1, width)


def blocks_in(folder: Path, rows: int, width: int = 3) -> Blocks[str]:
    return Blocks(folder, {"x": width}, (rows,), block=4)


def fill(folder: Path, rows: int, width: int = 3, *, at_most: int | None = None) -> list[int]:
    """Make what is missing, or the first blocks of it; the blocks that were made."""
    blocks = blocks_in(folder, rows, width)
    made = blocks.missing()[:at_most]
    for part in made:
        blocks.put(part, {"x": values(part, width)}, {part.start: "torn"} if part.start == 4 else {})
    return [part.start for part in made]


def file_of(folder: Path, first: int) -> Path:
    (path,) = folder.glob(f"blocks/{first}-*")
    return path


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(1, 40))
def test_numpy_reads_what_is_written(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], width: int
) -> None:
    path = tmp_path_factory.mktemp("m") / "x.npy"
    rows = values(range(int(np.prod(shape))), width)
    written = write_rows(path, (*shape, width), (rows[begin : begin + 2] for begin in range(0, len(rows), 2)))
    for found in (np.load(path, allow_pickle=False), written, mapped(path)):
        assert found.dtype == np.float32 and np.array_equal(found, rows.reshape(*shape, width))


def test_a_matrix_is_whole_once_all_blocks_are_put(tmp_path: Path) -> None:
    assert fill(tmp_path / "f", 10) == [0, 4, 8]
    blocks = blocks_in(tmp_path / "f", 10)
    assert blocks.missing() == []
    found, failed = blocks.whole()
    assert np.array_equal(found["x"], values(range(10), 3))
    assert np.array_equal(np.load(tmp_path / "f" / "x.npy"), found["x"])
    assert failed == {4: "torn"}


def test_what_was_put_is_not_asked_for_again_and_its_reasons_are_kept(tmp_path: Path) -> None:
    """Killed while it wrote the third block, of which a part file is left."""
    assert fill(tmp_path, 10, at_most=2) == [0, 4]
    (tmp_path / "blocks" / ".8-10-of-10.npz.99").write_bytes(file_of(tmp_path, 0).read_bytes()[:50])
    assert fill(tmp_path, 10) == [8]
    assert blocks_in(tmp_path, 10).missing() == []
    assert blocks_in(tmp_path, 10).whole()[1] == {4: "torn"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: bytes(len(content)),
        lambda content: content[: len(content) // 2].ljust(len(content), b"\0"),
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"\x93NUMPY",
        lambda content: content.replace(b"torn", b"lorn"),
        lambda content: content.replace(b'"4"', b'"5"'),
        lambda content: content.replace(np.float32(13).tobytes(), np.float32(-13).tobytes()),
        lambda content: content.replace(b"(4, 3)", b"(3, 4)"),
    ],
)
def test_a_damaged_block_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    """Rows would else be wrong, or another item count as torn."""
    fill(tmp_path, 10)
    path = file_of(tmp_path, 4)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    assert fill(tmp_path, 10) == [4]
    assert f"{path} is damaged; it is made again" in caplog.text and "pickle" not in caplog.text
    assert blocks_in(tmp_path, 10).missing() == []
    found, failed = blocks_in(tmp_path, 10).whole()
    assert np.array_equal(found["x"], values(range(10), 3)) and failed == {4: "torn"}


@given(data=st.data())
def test_any_byte_of_a_block_may_be_another(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What is taken all the same holds what was put."""
    folder = tmp_path_factory.mktemp("m")
    fill(folder, 10)
    path = file_of(folder, 4)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert fill(folder, 10) in ([], [4])
    found, failed = blocks_in(folder, 10).whole()
    assert np.array_equal(found["x"], values(range(10), 3)) and failed == {4: "torn"}


def test_a_damaged_matrix_is_made_again_from_its_blocks(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    blocks_in(tmp_path, 10).whole()
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
    assert fill(tmp_path, 10) == []
    assert np.array_equal(blocks_in(tmp_path, 10).whole()[0]["x"], values(range(10), 3))


def test_other_shapes_begin_anew(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    assert fill(tmp_path, 11) == [0, 4, 8]
    assert fill(tmp_path, 11, 5) == [0, 4, 8]
    assert fill(tmp_path, 11, 5) == []


def test_a_process_that_leaves_early_is_noticed(tmp_path: Path) -> None:
    blocks = blocks_in(tmp_path, 10)
    blocks.put(range(4), {"x": values(range(4), 3)}, {})
    with pytest.raises(AssertionError, match="left before"):
        blocks.whole()


@given(st.integers(0, 300), st.integers(1, 5))
def test_no_two_processes_make_one_block(blocks: int, processes: int) -> None:
    """Shares follow each other and make up all rows, in the blocks of one process."""
    rows, parts = 64 * blocks + 17, []
    for number in range(processes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RANK", str(number))
            patch.setenv("WORLD_SIZE", str(processes))
            patch.setattr(Path, "mkdir", lambda *_, **__: None)
            mine: Blocks[str] = Blocks(Path("none"), {"x": 3, "y": 64}, (rows,), block=64)
            parts += mine.missing()
    assert [(part.start, part.stop) for part in parts] == [
        (begin, min(begin + 64, rows)) for begin in range(0, rows, 64)
    ]


@pytest.mark.parametrize(
    ("rows", "batch", "block"),
    [
        (0, 64, 64),
        (5000, 64, 64),
        (64 * FILES, 64, 64),
        (64 * FILES + 1, 64, 128),
        (65_000_000, 64, 15_872),
    ],
)
def test_blocks_are_whole_batches_and_few(rows: int, batch: int, block: int) -> None:
    assert block_of(rows, batch) == block
    assert -(-rows // block) <= FILES


def test_a_mapped_matrix_cannot_be_changed(tmp_path: Path) -> None:
    matrix = write_rows(tmp_path / "x.npy", (3, 2), [values(range(3), 2)])
    with pytest.raises(ValueError, match="read-only"):
        matrix[:] = 7


@pytest.mark.filterwarnings("error")
def test_a_matrix_larger_than_memory_is_mapped(tmp_path: Path) -> None:
    """Four times the memory and swap of this machine, all of it a hole but for its last row."""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    room = 1024 * sum(int(facts[name].split()[0]) for name in ("MemTotal", "SwapTotal"))
    path, rows, width = tmp_path / "x.npy", 4 * room // 2048, 512
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + rows * width * 4)
        file.seek(-width * 4, os.SEEK_END)
        file.write(np.arange(width, dtype="<f4").data)
    tensor = mapped_tensor(mapped(path))
    assert tensor.shape == (rows, width)
    assert tensor[-2:].sum(dim=1).tolist() == [0.0, 511 * 512 / 2]


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["savez", "ascontiguousarray"])
def test_a_full_disk_names_the_folder_and_leaves_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """While a block is written, and while the matrix is made of them."""
    fill(tmp_path, 10, at_most=1)
    with monkeypatch.context() as patch:
        patch.setattr(np, call, full)
        with pytest.raises(UserError, match=rf"no space left in {tmp_path}\S*: \d+ bytes are needed"):
            fill(tmp_path, 10)
            blocks_in(tmp_path, 10).whole()
    assert fill(tmp_path, 10) == ([4, 8] if call == "savez" else [])
    assert not list(tmp_path.rglob(".*"))
    assert np.array_equal(blocks_in(tmp_path, 10).whole()[0]["x"], values(range(10), 3))
