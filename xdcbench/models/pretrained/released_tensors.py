"""The tensors of an encoder in a file of released weights, under the names that its class has for them."""

import argparse
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import safe_globals

from xdcbench.config.base import Modality
from xdcbench.config.released import PlainClass, Release, Tensors, VideoTensors
from xdcbench.errors import UserError
from xdcbench.models.pretrained.download import LARGEST
from xdcbench.models.weights import load_plain
from xdcbench.utils.cache_folder import cache_folder

PLAIN: Mapping[PlainClass, type] = {"argparse.Namespace": argparse.Namespace}


def released_tensors(release: Release, modality: Modality, path: Path) -> dict[str, Tensor]:
    """The tensors of one encoder of the release whose file is ``path``, renamed, without heads.

    Raises:
        UserError: it is no file of the release's layout, or holds more than its allowed classes.
    """
    with _unzipped(release, path) as file, safe_globals([PLAIN[name] for name in release.allowed]):
        content = load_plain(file)
    for key in release.nested:
        content = content.get(key) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: holds nothing under {'.'.join(release.nested)!r}, where {release.name} keeps its tensors"
        )
    kept = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not kept:
        raise UserError(f"{path}: holds no tensors by name; it is no file of {release.name}")
    layout = release.by_modality[modality]
    found = renamed(layout, kept, path)
    return rgb_first(found) if isinstance(layout, VideoTensors) and layout.channels == "bgr" else found


def renamed(layout: Tensors, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors whose names begin with the layout's prefix, by the names that its rules give them.

    Raises:
        UserError: none begins with it, or two get one name.
    """
    own = {
        name.removeprefix(layout.prefix): t for name, t in tensors.items() if name.startswith(layout.prefix)
    }
    if not own:
        known = ", ".join(sorted(tensors)[:3])
        raise UserError(f"{path}: no tensor's name begins with {layout.prefix!r}; it holds {known}")
    found: dict[str, Tensor] = {}
    for name, tensor in own.items():
        for pattern, by in layout.rename.items():
            name = re.sub(pattern, by, name)
        if name.startswith(layout.leave_out):
            continue
        if name in found:
            raise UserError(f"{path}: two tensors are called {name}; it is of another layout")
        found[name] = tensor
    return found


def rgb_first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network of BGR clips for RGB clips: kernels over three channels, (O, 3, T, S, S), turned."""
    return {name: t.flip(1) if t.dim() == 5 and t.shape[1] == 3 else t for name, t in tensors.items()}


@contextmanager
def _unzipped(release: Release, path: Path) -> Iterator[Path]:
    """The weights file in a zip archive, unpacked for as long as it is read; the file itself where it is none."""
    if not release.zipped or not zipfile.is_zipfile(path):
        yield path
        return
    place = cache_folder("weights")
    place.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path) as archive, TemporaryDirectory(dir=place, prefix=".unzip-") as folder:
        wanted = release.file.removesuffix(".zip")
        inside = [entry for entry in archive.infolist() if Path(entry.filename).name == wanted]
        if not inside:
            # torch's own files are zip archives, too: the user may have unpacked it.
            yield path
            return
        if len(inside) > 1 or inside[0].file_size > LARGEST:
            raise UserError(f"{path}: holds {wanted} more than once, or larger than {LARGEST:,} bytes")
        target = Path(folder, "weights")  # never a name that the archive chooses
        with archive.open(inside[0]) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)
        yield target


def read_statistics(path: Path) -> dict[str, Tensor]:
    """Mean and deviation per bin of an npz file, float32 (bins,) each.

    Raises:
        UserError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found: dict[str, Any] = {name: arrays[name] for name in ("mean", "std")}
        return {name: torch.from_numpy(array.astype(np.float32)) for name, array in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: no statistics of a front end, an npz file of `mean` and `std`. Try: remove it, and run again"
        ) from error
