"""Encoders by configuration and seed, and their weights as safetensors files."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xdcbench.config.models import AudioModel, VideoModel
from xdcbench.errors import UserError
from xdcbench.models.audio_resnet import AudioResNet
from xdcbench.models.r2plus1d import R2Plus1D
from xdcbench.utils.io import is_web_page
from xdcbench.utils.runtime import seeded
from xdcbench.utils.tensors import read_safetensors, save_tensors

NESTED = ("state_dict", "model", "model_state")
"""Names under which training scripts keep a model's tensors."""


def build_encoder(model: VideoModel | AudioModel, *, seed: int) -> R2Plus1D | AudioResNet:
    """Build an encoder on the CPU whose weights depend on ``seed`` alone; global random state is kept."""
    with seeded(seed):
        return R2Plus1D(model) if isinstance(model, VideoModel) else AudioResNet(model)


def save_weights(module: nn.Module, path: Path, *, metadata: dict[str, str]) -> None:
    """Write a module's parameters and persistent buffers to a safetensors file.

    Raises:
        UserError: the disk is full.
    """
    save_tensors(module.state_dict(), path, metadata=metadata)


def load_weights(module: nn.Module, path: Path) -> dict[str, str]:
    """Read a file of ``save_weights`` into a module, whole or not at all.

    Returns:
        The file's metadata.

    Raises:
        UserError: the file is missing or no safetensors file, or its tensors are not exactly the
            module's by name and shape; all that differ are listed.
    """
    tensors, metadata = read_safetensors(path)
    load_partial(module, tensors, path)
    return metadata


def load_partial(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a module, whole or not at all.

    Raises:
        UserError: names and shapes are not exactly the module's; all that differ are listed.
    """
    own = module.state_dict()
    problems = {
        "missing": sorted(own.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - own.keys()),
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
            for name in sorted(own.keys() & tensors.keys())
            if tensors[name].shape != own[name].shape
        ],
    }
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names)
        raise UserError(
            f"{path}: weights do not fit this {type(module).__name__}: {listed}. "
            "Give the width, blocks and kind of model that the file was saved from."
        )
    module.load_state_dict(tensors)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a safetensors file or of a torch file, which may nest them or prefix ``module.``.

    Raises:
        UserError: the file is missing, cut short, or holds more than tensors: nothing is unpickled.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    state = load_plain(path)
    for name in NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise UserError(f"{path}: holds no tensors by name; give a state dict")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def load_plain(path: Path) -> Any:
    """What a torch file holds: tensors and plain values, and classes that ``safe_globals`` allows.

    Raises:
        UserError: the file is missing, a web page, cut short, or holds more: nothing is unpickled.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; check the path")
    _check_packing(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each kind of damage has one of its own
        raise UserError(
            f"{path}: no readable weights ({_reason(path, error)}); give a file of tensors alone, whole, as "
            "torch.save(model.state_dict()) writes it"
        ) from error


def _check_packing(path: Path) -> None:
    """Refuse a zip that unpacks to more than it is: torch packs nothing, and makes room for what is stated."""
    try:
        with zipfile.ZipFile(path) as archive:
            stated = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # of torch's older format, or damaged, which reading it says
    if stated > path.stat().st_size:
        raise UserError(
            f"{path} unpacks to {stated:,} bytes; give a file as torch.save(model.state_dict()) writes it"
        )


def _reason(path: Path, error: Exception) -> str:
    """Why torch does not read a file, without its advice to read it all the same."""
    if more := re.search(r"GLOBAL (\S+)", str(error)):
        return f"it holds more than tensors: {more[1]}"
    if is_web_page(path):
        return "it is a web page: its address gave no file"
    return "it is empty" if path.stat().st_size == 0 else "it is damaged, cut short, or no file of torch's"
