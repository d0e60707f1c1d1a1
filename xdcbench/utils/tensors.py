"""Tensors in a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from xdcbench.errors import UserError
from xdcbench.utils.disk import explain_full_disk


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, metadata: dict[str, str]) -> None:
    """Write tensors, on any device and in any memory format, and what the file's header keeps beside them.

    Raises:
        UserError: the disk is full.
    """
    # safetensors 0.8 writes a header that it cannot read where there are neither tensors nor metadata.
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(kept, metadata or None)
    # Written here, since safetensors' own error of a full disk is none of the system's.
    with explain_full_disk(path.parent, len(content)):
        path.write_bytes(content)


def read_safetensors(
    path: Path, *, fix: str = "save it with xdcbench"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file by name, on the CPU, and its metadata.

    Raises:
        UserError: the file is missing, cut short, or no safetensors file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except Exception as error:  # of the library in Rust, of torch for a type that it lacks, of the system
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a safetensors file ({reason}); {fix}") from error
