"""How far items lie from the centers of their clusters: as a round kept it, or measured again on a sample."""

import numpy as np
import pandas as pd
import torch

from xdcbench.clustering.assigner import Assigner, load_assigners
from xdcbench.clustering.preprocess import concat
from xdcbench.config.base import DISTANCE
from xdcbench.errors import UserError
from xdcbench.models.encoders import clips_for, load_encoders
from xdcbench.models.inference import Inference, extract
from xdcbench.pretraining.pseudo_labels import clips_of
from xdcbench.reports.clusters.origin import ClusteredRound
from xdcbench.utils.runtime import Stream, numpy_generator

SAMPLE = 200
"""Items of each cluster that are encoded again where a round kept no distances."""


def distances_of(found: ClusteredRound, *, device: torch.device, workers: int) -> dict[str, np.ndarray]:
    """Distance of each item to the center of its cluster, float32 (items,) per clustering; NaN where unknown."""
    names = list(found.config.clusterings)
    if all(f"{name}{DISTANCE}" in found.table for name in names):
        return {name: found.table[f"{name}{DISTANCE}"].to_numpy(dtype=np.float32) for name in names}
    return _measured(found, device=device, workers=workers)


def sample(assignments: np.ndarray, *, seed: int) -> np.ndarray:
    """Positions (int64, ascending) of up to ``SAMPLE`` items of each cluster, the same for one seed."""
    order = numpy_generator(seed, Stream.PAGE_SAMPLE).permutation(np.flatnonzero(assignments >= 0))
    kept: np.ndarray = pd.Series(order).groupby(assignments[order]).head(SAMPLE).to_numpy()
    return np.sort(kept)


def _measured(found: ClusteredRound, *, device: torch.device, workers: int) -> dict[str, np.ndarray]:
    """Encode a sample again, with the encoders that the round clustered with, unless their weights were pruned."""
    needed = sorted({m for c in found.config.clusterings.values() for m in c.features})
    if not all((found.encoders / f"{modality}.safetensors").exists() for modality in needed):
        raise UserError(
            f"{found.run.name} kept no distances to its centers, and the weights of {found.encoders.name}, which would "
            f"measure them again, were pruned; run the suite with --policy always to make both again"
        )
    config, assigners = found.config, load_assigners(found.run / "centroids.safetensors")
    tables = {name: found.table[name].fillna(-1).to_numpy(dtype=np.int64) for name in config.clusterings}
    clustered = np.flatnonzero(np.any([of >= 0 for of in tables.values()], axis=0))
    wanted = np.unique(np.concatenate([sample(of, seed=config.seed) for of in tables.values()]))
    specs = clips_of(config, clustered)
    encoders = load_encoders(found.encoders, needed, device=device, consent=found.consent)
    clips = clips_for(found.index, found.root, encoders)
    label = f"{config.method} round {config.round}: distances"
    inference = Inference(config.pretrain.precision, device, workers, label)
    features, _ = extract(
        encoders, clips, [specs[at] for at in np.searchsorted(clustered, wanted).tolist()], inference
    )
    distances = {}
    for name, clustering in config.clusterings.items():
        parts = [torch.from_numpy(features[modality]) for modality in clustering.features]
        raw = parts[0] if len(parts) == 1 else concat(parts, l2=config.pretrain.concat_l2)
        distances[name] = np.full(len(found.table), np.nan, dtype=np.float32)
        distances[name][wanted] = _to_centers(raw, assigners[name], tables[name][wanted])
    return distances


def _to_centers(raw: torch.Tensor, assigner: Assigner, numbers: np.ndarray) -> np.ndarray:
    """Float32 (n,); NaN for rows in no cluster and for those that could not be read."""
    of = torch.from_numpy(numbers)
    gone = (of < 0) | raw.isnan().any(dim=1)
    apart = assigner.prepared(raw.nan_to_num()) - assigner.centroids[of.clamp_min(0)]
    found: np.ndarray = apart.norm(dim=1).masked_fill(gone, float("nan")).numpy()
    return found
