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
from xdcbench.reports.clusters.media import write_audio, write_image, write_spectrogram, write_video
from xdcbench.reports.clusters.origin import ClusteredRound
from xdcbench.reports.clusters.previews import Preview
from xdcbench.reports.clusters.shown import ShownSide, page_data
from xdcbench.reports.clusters.side import side_of
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
    return written(folder, [clustered(folder, made, audio=audio, video=video, each=each, classes=classes)])


def write_two(folder: Path) -> Path:
    """Two rounds of the same items side by side: the second has a video cluster less."""
    made = media(folder / "media")
    sizes = ({"audio": 3, "video": 3}, {"audio": 3, "video": 2})
    sides = [clustered(folder, made, **of, items=30, number=n + 1) for n, of in enumerate(sizes)]
    return written(folder, sides)


def written(folder: Path, sides: list[ShownSide]) -> Path:
    """The page of one round, or of two."""
    (folder / "index.html").write_text(render("gallery", page_data(sides, report="../../report/index.html")))
    return folder / "index.html"


def clustered(
    folder: Path,
    made: dict[str, Path],
    *,
    audio: int,
    video: int,
    each: int = 10,
    items: int | None = None,
    classes: tuple[str, ...] = CLASSES,
    number: int = 2,
) -> ShownSide:
    """A round of XDC with previews in ``folder``, of which ``made`` are the files."""
    items = items or each * max(audio, video)
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
        config=round_config("xdc", number=number).model_copy(update={"clusterings": clusterings}),
        encoders=Path("round-ba9876543210"),
        index=replace(index, classes=classes) if classes else index,
        root=folder,
        table=table,
        facts={name: {"purity": 0.5, "nmi_class": 0.25} if classes else {} for name in clusterings},
        title="Kinetics-400",
    )
    distances = rng.random(items)
    side = side_of(found, dict.fromkeys(clusterings, distances), nearest=10)
    wanted = sorted(side.wanted)
    previews = {}
    for row in wanted:
        names = {kind: f"{row:05d}.{suffix}" for kind, suffix in FILES.items()}
        for kind, name in names.items():
            if not (folder / "media" / name).exists():
                os.link(made[kind], folder / "media" / name)
        previews[row] = Preview(**names)
    previews[wanted[-1]] = Preview(gone="No such file or directory")
    return ShownSide(side, previews, "media/{}".format)
