"""Tensors in a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from xdcbench.disk import room


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, metadata: dict[str, str]) -> None:
    """Write tensors, on any device and in any memory format, and what the file's header keeps beside them.

    Raises:
        UserError: the disk is full.
    """
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    # Written here, since safetensors' own error of a full disk is none of the system's.
    with room(path.parent, len(content)):
        path.write_bytes(content)
