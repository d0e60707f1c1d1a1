from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from xdcbench.errors import UserError
from xdcbench.utils.tensors import read_safetensors, save_tensors


def test_the_file_is_that_of_safetensors_own_writer(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.ones(2, dtype=torch.int64)}
    save_tensors(tensors, tmp_path / "mine", metadata={"method": "xdc"})
    save_file(
        {n: t.contiguous() for n, t in tensors.items()}, tmp_path / "theirs", metadata={"method": "xdc"}
    )
    assert (tmp_path / "mine").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_gradients_and_formats_of_memory_are_left_behind(tmp_path: Path) -> None:
    weight = torch.randn(2, 3, 4, 5, requires_grad=True).to(memory_format=torch.channels_last)
    save_tensors({"weight": weight}, tmp_path / "weights", metadata={"method": "xdc"})
    with safe_open(tmp_path / "weights", framework="pt") as file:
        assert torch.equal(file.get_tensor("weight"), weight)
        assert file.metadata() == {"method": "xdc"}


def test_a_full_disk_names_folder_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "weights").symlink_to("/dev/full")
    with pytest.raises(UserError, match=rf"no space left in {tmp_path}: 160,\d\d\d bytes are needed"):
        save_tensors({"weight": torch.zeros(40_000)}, tmp_path / "weights", metadata={})


def test_a_module_without_tensors_is_read_back(tmp_path: Path) -> None:
    save_tensors({}, tmp_path / "weights", metadata={})
    assert read_safetensors(tmp_path / "weights") == ({}, {})
