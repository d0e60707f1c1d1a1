"""The gallery: one page over the clusters of a round, with the items nearest to each center."""

import base64
import mimetypes
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xdcbench.config.base import Modality
from xdcbench.errors import UserError
from xdcbench.reports.clusters.clusters import Cluster, clusters_of, labels_of
from xdcbench.reports.clusters.distances import distances_of
from xdcbench.reports.clusters.origin import ClusteredRound
from xdcbench.reports.clusters.previews import Preview, Previews
from xdcbench.reports.html import render
from xdcbench.utils.format import short
from xdcbench.utils.io import atomic_write, writing
from xdcbench.utils.runtime import pick_device

SINGLE_FILE = 40_000_000
"""Bytes of media that one file may hold."""
SAMPLE, SURE = 32, 1.5
"""Items by which the bytes of all are guessed, and how far above the limit a guess must be to count."""

KINDS: dict[tuple[Modality, ...], tuple[str, str, str]] = {
    ("audio",): ("Audio clusters", "Audio cluster", "to listen to"),
    ("video",): ("Visual clusters", "Visual cluster", "to look at"),
}
JOINT = ("Joint clusters", "Joint cluster", "of audio and video together")

Sections = dict[str, list[Cluster]]
Link = Callable[[str], str]


def write_gallery(
    found: ClusteredRound, to: Path, *, nearest: int, single_file: bool, device: str, workers: int
) -> Iterator[str]:
    """Write ``index.html`` into ``to``, and its previews into ``media`` beside it or, as one file, into itself.

    Previews that ``to`` holds are kept. Where the round kept no distances, a sample is encoded on ``device`` and
    read by so many ``workers``. Returns lines for the user: what was written, how many items could not be shown.

    Raises:
        UserError: the previews are too many for one file, or nothing can be written.
    """
    labels = labels_of(found.index)
    distances = distances_of(found, device=pick_device(device), workers=workers)
    sections: Sections = {}
    wanted: dict[int, set[Modality]] = defaultdict(set)
    for name, clustering in sorted(found.config.clusterings.items(), key=lambda item: item[1].features):
        numbers = found.table[name].to_numpy(dtype=np.float64)
        sections[name] = clusters_of(numbers, distances[name], labels, nearest=nearest)
        for row in (row for cluster in sections[name] for row in cluster.nearest):
            wanted[row] |= {*clustering.features}
    with writing(f"to {to}", "give another folder with --output"):
        to.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as scratch:
            previews = Previews(found, Path(scratch) if single_file else to / "media")
            if single_file:
                _refuse_large(previews, wanted)
            made = previews.make(wanted)
            link = _inside(previews.folder, made) if single_file else "media/{}".format
            page = render("gallery", page_data(found, sections, labels, made, link))
        with atomic_write(to / "index.html") as part:
            part.write_text(page, encoding="utf-8")
    gone = sum(bool(preview.gone) for preview in made.values())
    yield f"gallery {to / 'index.html'} ({sum(map(len, sections.values()))} clusters, {len(made)} items)"
    if gone:
        yield f"{gone} of {len(made)} items could not be read any more; their places say why"


def _refuse_large(previews: Previews, wanted: Mapping[int, Collection[Modality]]) -> None:
    """Tell from some previews that all of them are far too large, before hours go into making them."""
    some = list(wanted)[:: max(1, len(wanted) // SAMPLE)]
    made = previews.make({row: wanted[row] for row in some})
    likely = _size(previews.folder, made) * len(wanted) // max(1, len(some))
    if likely > SURE * SINGLE_FILE:
        raise _too_large(f"would be about {short(likely, 'B')}, going by {len(some)} of {len(wanted)} items")


def _inside(folder: Path, made: Mapping[int, Preview]) -> Link:
    """Links that hold the files themselves; refused where they are too large together."""
    size = _size(folder, made)
    if size > SINGLE_FILE:
        raise _too_large(f"are {short(size, 'B')}")

    def link(name: str) -> str:
        content = base64.b64encode((folder / name).read_bytes()).decode()
        return f"data:{mimetypes.guess_type(name)[0]};base64,{content}"

    return link


def _size(folder: Path, made: Mapping[int, Preview]) -> int:
    return sum((folder / name).stat().st_size for preview in made.values() for name in preview.files)


def _too_large(said: str) -> UserError:
    return UserError(
        f"--single-file: the previews {said}, more than the {short(SINGLE_FILE, 'B')} that one page may hold; show "
        "fewer with --nearest, or write a folder"
    )


def page_data(
    found: ClusteredRound,
    sections: Sections,
    labels: Sequence[tuple[str, ...]],
    made: dict[int, Preview],
    link: Link,
) -> dict[str, Any]:
    """What the template shows; text is raw, the template escapes it."""
    config, index = found.config, found.index
    heads = {c.shares[0][0] for clusters in sections.values() for c in clusters if c.shares}
    shown = _Shown(found, labels, made, link)
    return {
        "method": config.method,
        "round": config.round,
        "seed": config.seed,
        "key": found.run.name,
        "before": found.encoders.name,
        "dataset": index.name,
        "items": int((found.table[list(config.clusterings)] >= 0).any(axis=1).sum()),
        "synthetic": index.world,
        "gone": sum(bool(preview.gone) for preview in made.values()),
        "shown": len(made),
        "labeled": bool(heads),
        "classes": sorted(heads, key=str.casefold),
        "sections": [shown.section(name, clusters) for name, clusters in sections.items()],
    }


@dataclass(frozen=True)
class _Shown:
    """What sections and cards are made of; fields as in ``page_data``."""

    found: ClusteredRound
    labels: Sequence[tuple[str, ...]]
    made: dict[int, Preview]
    link: Link

    def section(self, name: str, clusters: list[Cluster]) -> dict[str, Any]:
        clustering, facts = self.found.config.clusterings[name], self.found.facts.get(name, {})
        title, one, aim = KINDS.get(tuple(clustering.features), JOINT)
        return {
            "name": name,
            "title": title,
            "one": one,
            "aim": aim,
            "features": clustering.features,
            "k": clustering.k,
            "empty": clustering.k - len(clusters),
            "largest": max((c.size for c in clusters), default=1),
            "purity": facts.get("purity"),
            "nmi": facts.get("nmi_class"),
            "clusters": [
                (c, [self.card(row, c, clustering.features) for row in c.nearest]) for c in clusters
            ],
        }

    def card(self, row: int, cluster: Cluster, features: Sequence[Modality]) -> dict[str, Any]:
        """One item; of its files, those of the modalities that were clustered."""
        preview = self.made[row]
        files = {"image": "", "video": "", "spectrogram": "", "audio": ""}
        if "video" in features:
            files |= {"image": preview.image, "video": preview.video}
        if "audio" in features:
            files |= {"spectrogram": preview.spectrogram, "audio": preview.audio}
        return {
            **{kind: self.link(file) if file else "" for kind, file in files.items()},
            "gone": preview.gone,
            "item": str(self.found.index.items["id"].iloc[row]),
            "labels": self.labels[row],
            "usual": bool(cluster.shares) and cluster.shares[0][0] in self.labels[row],
        }
