"""Damaged arrays, tables, weights and checkpoints say so in this project's words, at once, naming file and fix."""

import random
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from xdcbench.clustering.assigner import Assigner, load_assigners, save_assigners
from xdcbench.clustering.preprocess import Preprocessing
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import load_features
from xdcbench.models.weights import read_tensors
from xdcbench.training.checkpoints import Checkpoints
from xdcbench.utils.arrays import load_array, read_table
from xdcbench.utils.documents import write_json
from xdcbench.utils.mapped_table import map_table, write_table
from xdcbench.utils.matrix import mapped, write_rows
from xdcbench.utils.tensors import read_safetensors, save_tensors

UNSAFE = ("allow_pickle", "weights_only", "unpickl", "pickle", "arbitrary code", "max_header_size", "trust")
"""Words of advice to load a file all the same."""


def array(folder: Path) -> Path:
    path = folder / "x.npy"
    np.save(path, np.arange(3000, dtype=np.float32).reshape(10, 3, 100), allow_pickle=False)
    return path


def matrix(folder: Path) -> Path:
    path = folder / "m.npy"
    write_rows(path, (100, 50), [np.zeros((100, 50), np.float32)])
    return path


def table(folder: Path) -> Path:
    path = folder / "x.parquet"
    pd.DataFrame({"id": [f"i{n}" for n in range(500)], "value": np.arange(500.0)}).to_parquet(path)
    return path


def mapped_table(folder: Path) -> Path:
    path = folder / "x.arrow"
    rows = pd.DataFrame({"id": [f"i{n}" for n in range(500)], "value": np.arange(500.0), "ok": True})
    write_table(path, rows.assign(part="train", labels=[(0, 1)] * 500), categories=["part"])
    return path


def safetensors(folder: Path) -> Path:
    path = folder / "x.safetensors"
    save_tensors({"a": torch.arange(500.0), "b": torch.ones(2, 3)}, path, metadata={"method": "x"})
    return path


def assigners(folder: Path) -> Path:
    path = folder / "centroids.safetensors"
    prepared = Preprocessing("l2", torch.zeros(0), torch.zeros(0, 0))
    save_assigners({"a": Assigner(prepared, torch.randn(4, 8))}, path)
    return path


def weights(folder: Path) -> Path:
    path = folder / "x.pth"
    torch.save({"a": torch.arange(500.0), "b": torch.ones(2, 3)}, path)
    return path


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "array": (array, load_array),
    "mapped array": (array, lambda path: load_array(path, mmap_mode="r")),
    "matrix": (matrix, mapped),
    "table": (table, read_table),
    "mapped table": (mapped_table, map_table),
    "safetensors": (safetensors, read_safetensors),
    "centroids": (assigners, load_assigners),
    "torch file": (weights, read_tensors),
}


def damaged(whole: bytes) -> dict[str, bytes]:
    half = len(whole) // 2
    return {
        "empty": b"",
        "cut in the header": whole[:20],
        "cut": whole[:half],
        "zeroed": bytes(len(whole)),
        "wrong magic": b"XXXXXXXX" + whole[8:],
        "text": b"404: not found\n" * 100,
        "huge header": whole[:6] + b"\xff" * 10 + whole[16:],
        "huge safetensors header": struct.pack("<Q", 2**62) + whole[8:],
        "pickle": b"\x80\x04\x95" + whole[:50],
    }


@pytest.mark.parametrize("kind", READERS)
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    make, read = READERS[kind]
    path = make(tmp_path)
    read(path)
    whole = path.read_bytes()
    for what, content in damaged(whole).items():
        if what == "huge header" and kind in ("torch file", "mapped table"):
            continue  # a zip's names and sizes, and Arrow's, are also at its end, where they are read
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            read(path)
        text = str(error.value)
        assert str(path) in text, what
        assert "\n" not in text, what
        assert not any(word in text for word in UNSAFE), (what, text)
    path.unlink()
    with pytest.raises(UserError, match=str(path)):
        read(path)


@pytest.mark.parametrize("kind", READERS)
def test_flipped_bytes_are_read_or_named(tmp_path: Path, kind: str) -> None:
    make, read = READERS[kind]
    path = make(tmp_path)
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(min(len(content), 600))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read(path)
        except UserError as error:
            assert not any(word in str(error) for word in UNSAFE)


def test_a_header_that_states_a_terabyte_makes_no_room(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for shape in ("(250000000000,)", "(1000000, 1000000)", "(-1,)"):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16))
        for mode in (None, "r"):
            with pytest.raises(UserError, match=rf"{path} is (damaged|no array)"):
                load_array(path, mmap_mode=mode)  # type: ignore[arg-type]


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="it holds objects"):
        load_array(path)


def test_features_of_another_shape_are_named(tmp_path: Path) -> None:
    write_json(tmp_path / "failed.json", {})
    for wrong in (np.zeros((3, 4), np.float32), np.zeros((3, 1, 4))):
        np.save(tmp_path / "features.npy", wrong, allow_pickle=False)
        with pytest.raises(UserError, match="no features of clips of items"):
            load_features(tmp_path)


def test_an_index_without_a_column_is_named(tmp_path: Path) -> None:
    from tests.unit.tiny import small_index

    small_index([0, 1], ["train", "test"]).save(tmp_path)
    Index.load(tmp_path)
    items = tmp_path / "items.arrow"
    rest = map_table(items).drop(columns="label")
    items.unlink()  # it is mapped
    write_table(items, rest)
    with pytest.raises(UserError, match=r"items\.arrow has no column label"):
        Index.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", bytes(1000), b"\x80\x02]q\x00."])
def test_a_checkpoint_whose_sum_is_right_but_holds_no_state_is_passed_over(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A sum says that a file is as it was written, not that it was a checkpoint."""
    kept = Checkpoints(tmp_path, keep=2)
    kept.save({"epoch": 1}, steps=5)
    bad = tmp_path / f"checkpoint-000000009-{sha256(content).hexdigest()[:8]}.pt"
    bad.write_bytes(content)
    assert kept.load(torch.device("cpu")) == {"epoch": 1}
    assert f"{bad} is damaged; resuming from the checkpoint before it" in caplog.text
    assert not any(word in caplog.text for word in UNSAFE)


def test_weights_that_unpack_to_more_than_they_are_make_no_room(tmp_path: Path) -> None:
    whole, bomb = weights(tmp_path), tmp_path / "bomb.pth"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name) if not name.endswith("/data/0") else bytes(100_000_000))
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(UserError, match=r"bomb\.pth unpacks to 100,\d+,\d+ bytes"):
        read_tensors(bomb)
    assert read_tensors(whole)["a"].sum() == 499 * 250


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder, no table\. Try: "):
        read_table(tmp_path)
