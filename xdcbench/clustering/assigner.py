"""Clusterings kept with their preprocessing, so that items that were not clustered find their cluster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xdcbench.clustering.preprocess import Mode, Preprocessing
from xdcbench.errors import UserError
from xdcbench.utils.documents import RUN_AGAIN, check, parse_json
from xdcbench.utils.tensors import read_safetensors, save_tensors

CHUNK = 65_536
MODES = "modes"
"""Entry of the file's header: JSON, preprocessing by name of the clustering."""


@dataclass(frozen=True)
class Assigner:
    """A clustering as a function of features.

    Attributes:
        prepared: what was done to features before k-means.
        centroids: float32 (k, kept).
    """

    prepared: Preprocessing
    centroids: Tensor

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest centroid of each row, int64 (n,), and the distance to it, float32 (n,).

        Features are float32 (n, d), as the encoder gives them, both modalities joined where k-means saw both.
        """
        nearest = features.new_empty(len(features), dtype=torch.int64)
        distances = features.new_empty(len(features), dtype=torch.float32)
        for x, *into in zip(features.split(CHUNK), distances.split(CHUNK), nearest.split(CHUNK), strict=True):
            torch.min(torch.cdist(self.prepared(x), self.centroids), dim=1, out=into)
        return nearest, distances


def save_assigners(assigners: Mapping[str, Assigner], path: Path) -> None:
    """Write a safetensors file: ``<name>`` (centroids), and ``<name>.mean``, ``<name>.axes`` of a PCA."""
    tensors = {name: a.centroids for name, a in assigners.items()}
    tensors |= {f"{name}.mean": a.prepared.mean for name, a in assigners.items()}
    tensors |= {f"{name}.axes": a.prepared.axes for name, a in assigners.items()}
    # One entry, since several are written in any order, and equal rounds would not be equal files.
    modes = json.dumps({name: a.prepared.mode for name, a in assigners.items()})
    save_tensors(tensors, path, metadata={MODES: modes})


def load_assigners(path: Path) -> dict[str, Assigner]:
    """Read what ``save_assigners`` wrote, by the name of the clustering.

    Raises:
        UserError: it is missing or damaged.
    """
    tensors, metadata = read_safetensors(path, fix=RUN_AGAIN)
    header = f"{path}: its header"
    stated = parse_json(metadata.get(MODES, "").encode(), header, fix=RUN_AGAIN)
    modes: dict[str, Mode] = check(dict[str, Mode], stated, header, fix=RUN_AGAIN)
    wanted = {part for name in modes for part in (name, f"{name}.mean", f"{name}.axes")}
    if lost := sorted(wanted - tensors.keys()):
        raise UserError(f"{path}: no tensor {lost[0]!r}. Try: {RUN_AGAIN}")
    return {
        name: Assigner(Preprocessing(mode, tensors[f"{name}.mean"], tensors[f"{name}.axes"]), tensors[name])
        for name, mode in modes.items()
    }
