"""Tier 2: features of untrained encoders of the full architecture, on clips of a suite's dataset."""

from pathlib import Path

import numpy as np
import torch

from xdcbench.config.models import Models
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import even_clips
from xdcbench.data.index import Index
from xdcbench.data.shards.reader import ShardReader
from xdcbench.models.inference import Inference, extract
from xdcbench.models.weights import build_encoder
from xdcbench.pipeline.tiers.values import Values, projected

ITEMS = 2
"""Items that are encoded; in train mode BatchNorm would mix them."""


def feature_values(index: Index, source: Path | ShardReader) -> Values:
    """Mean, deviation and a fixed projection of each item's features; nothing where items lack a track."""
    rows = index.rows(index.splits[0], "train", tracks=("video", "audio"))[:ITEMS]
    if len(rows) < ITEMS:
        return {}
    models = Models()
    encoders = {modality: build_encoder(model, seed=0) for modality, model in models.by_modality.items()}
    clips = ClipDataset(index, source, video=models.video.input, audio=models.audio.input)
    inference = Inference("fp32", torch.device("cpu"), workers=0, label="features of untrained encoders")
    features, _ = extract(encoders, clips, even_clips(rows, 1), inference)
    found: dict[str, float | str] = {}
    for modality, of in features.items():
        for number, row in enumerate(of.astype(np.float64)):
            where = f"features/{modality}/item {number}"
            found |= {f"{where} mean": float(row.mean()), f"{where} deviation": float(row.std())}
            found[f"{where} projection"] = projected(row)
    return found
