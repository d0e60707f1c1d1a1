"""Galleries of made-up clusters, written with the real page and the real encoders of media."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tests.unit.tiny import round_config, small_index
from xdcbench.config.models import AudioInput
from xdcbench.config.pretraining import Clustering
from xdcbench.reports.clusters.clusters import clusters_of, labels_of
from xdcbench.reports.clusters.media import write_audio, write_image, write_spectrogram, write_video
from xdcbench.reports.clusters.origin import ClusteredRound
from xdcbench.reports.clusters.page import page_data
from xdcbench.reports.clusters.previews import Preview
from xdcbench.reports.html import render

FILES = {"image": "jpg", "video": "mp4", "spectrogram": "png", "audio": "mp3"}
EVIL = '"><img src=x onerror=alert(1)><script>document.title="taken"</script>'
CLASSES = (
    "running",
    EVIL,
    "ركض في الحديقة",
    "a very long label that goes on and on without any end in sight " * 3,
)


def media(folder: Path) -> dict[str, Path]:
    """One file of each kind: a video and an audio file of 2 s."""
    folder.mkdir(parents=True)
    paths = {kind: folder / f"0.{suffix}" for kind, suffix in FILES.items()}
    shade = torch.linspace(0, 255, 144).to(torch.uint8)
    frames = torch.stack([shade.roll(6 * t)[:, None, None].expand(144, 144, 3) for t in range(24)])
    tone = 0.2 * torch.sin(torch.arange(32_000) * 2 * torch.pi * 440 / 16_000)
    write_image(frames[0], paths["image"])
    write_video(frames, 12, paths["video"])
    write_audio(tone, 16_000, paths["audio"])
    write_spectrogram(tone, AudioInput(), paths["spectrogram"])
    return paths


def write(
    folder: Path, *, audio: int, video: int, each: int = 10, classes: tuple[str, ...] = CLASSES
) -> Path:
    """A page of ``audio`` and ``video`` clusters of ``each`` items and more; the last item has vanished.

    Without classes, no item has a label.
    """
    made = media(folder / "media")
    items = each * max(audio, video)
    rng = np.random.default_rng(0)
    index = small_index(
        rng.integers(len(classes), size=items) if classes else [-1] * items, ["train"] * items
    )
    table = pd.DataFrame(
        {"a": np.arange(items) % audio, "v": np.minimum(np.arange(items) // each, video - 1)}, dtype=float
    )
    clusterings = {
        "a": Clustering(features=("audio",), k=audio + 1),
        "v": Clustering(features=("video",), k=video),
    }
    found = ClusteredRound(
        run=Path("round-0123456789ab"),
        config=round_config("xdc", number=2).model_copy(update={"clusterings": clusterings}),
        encoders=Path("round-ba9876543210"),
        index=replace(index, classes=classes) if classes else index,
        root=folder,
        table=table,
        facts={name: {"purity": 0.5, "nmi_class": 0.25} if classes else {} for name in clusterings},
    )
    labels, distances = labels_of(found.index), rng.random(items)
    sections = {
        name: clusters_of(table[name].to_numpy(), distances, labels, nearest=10) for name in clusterings
    }
    wanted = sorted({row for clusters in sections.values() for c in clusters for row in c.nearest})
    previews = {}
    for row in wanted:
        names = {kind: f"{row:05d}.{suffix}" for kind, suffix in FILES.items()}
        for kind, name in names.items():
            os.link(made[kind], folder / "media" / name)
        previews[row] = Preview(**names)
    previews[wanted[-1]] = Preview(gone="No such file or directory")
    (folder / "index.html").write_text(
        render("gallery", page_data(found, sections, labels, previews, "media/{}".format))
    )
    return folder / "index.html"
