"""What the page of clusters shows, as its template takes it: one round, or two side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xdcbench.config.base import Modality
from xdcbench.reports.clusters.clusters import Cluster
from xdcbench.reports.clusters.matches import agreement, matches
from xdcbench.reports.clusters.previews import Preview
from xdcbench.reports.clusters.side import Side
from xdcbench.results.tables.present import method_titles

KINDS: dict[tuple[Modality, ...], tuple[str, str, str]] = {
    ("audio",): ("Audio clusters", "Audio cluster", "made from audio alone"),
    ("video",): ("Visual clusters", "Visual cluster", "made from video alone"),
}
JOINT = ("Joint clusters", "Joint cluster", "made from audio and video together")
ACROSS = {1: 5, 2: 3}
"""Items in a line by the number of rounds on a page; as in gallery.css."""

Kind = tuple[tuple[Modality, ...], int]
Link = Callable[[str], str]
"""From the name of a preview's file to a link."""


@dataclass(frozen=True)
class ShownSide:
    """A round with the previews of its items, by position in the index."""

    side: Side
    made: dict[int, Preview]
    link: Link

    @property
    def title(self) -> str:
        """The method as tables call it."""
        method = self.side.found.config.method
        return method_titles().get(method, method)

    @property
    def name(self) -> str:
        """Method and round."""
        return f"{self.title}, round {self.side.found.config.round}"

    @property
    def kinds(self) -> dict[Kind, str]:
        """Names of the clusterings by their features and their place among those of the same features."""
        of, found = self.side.found.config.clusterings, dict[Kind, str]()
        for name in self.side.clusters:
            features = _sorted(of[name].features)
            found[features, sum(features == known for known, _ in found)] = name
        return found

    def assignments(self, name: str) -> np.ndarray:
        """Cluster of each item, float (items,), NaN where it has none."""
        found: np.ndarray = self.side.found.table[name].to_numpy(dtype=np.float64)
        return found


def _sorted(features: Sequence[Modality]) -> tuple[Modality, ...]:
    return tuple(sorted(features))


def page_data(shown: Sequence[ShownSide], *, report: str = "", reported: bool = True) -> dict[str, Any]:
    """What the template shows; text is raw, the template escapes it.

    ``report`` is a link to the report, if any, and ``reported`` says whether it has been written.
    """
    heads = {c.shares[0][0] for one in shown for of in one.side.clusters.values() for c in of if c.shares}
    kinds = sorted({kind for one in shown for kind in one.kinds})
    everything = [preview for one in shown for preview in one.made.values()]
    return {
        "sides": [_side(one) for one in shown],
        "gone": sum(bool(preview.gone) for preview in everything),
        "shown": len(everything),
        "labeled": bool(heads),
        "classes": sorted(heads, key=str.casefold),
        "sections": [_section(kind, shown) for kind in kinds],
        "across": ACROSS[len(shown)],
        "report": report,
        "report_link": "href" if reported else "data-report",
    }


def _side(one: ShownSide) -> dict[str, Any]:
    found = one.side.found
    return {
        "title": one.title,
        "name": one.name,
        "round": found.config.round,
        "seed": found.config.seed,
        "key": found.run.name,
        "before": found.encoders.name,
        "dataset": found.title or found.index.name,
        "items": int((found.table[list(found.config.clusterings)] >= 0).any(axis=1).sum()),
        "synthetic": found.index.world,
        "measures": [_measures(one, name) for name in one.side.clusters],
    }


def _measures(one: ShownSide, name: str) -> dict[str, Any]:
    """Purity and NMI with the classes as they were recorded, beside those of permuted labels."""
    found, chance = one.side.found, one.side.chance[name]
    facts = found.facts.get(name, {})
    title, _, _ = KINDS.get(_sorted(found.config.clusterings[name].features), JOINT)
    return {
        "title": title,
        "k": found.config.clusterings[name].k,
        "purity": facts.get("purity"),
        "purity_chance": chance and chance.purity,
        "nmi": facts.get("nmi_class"),
        "nmi_chance": chance and chance.nmi,
    }


def _section(kind: Kind, shown: Sequence[ShownSide]) -> dict[str, Any]:
    """Clusters of one kind: of each side that has them, else None."""
    features, place = kind
    title, word, aim = KINDS.get(features, JOINT)
    names = [one.kinds.get(kind) for one in shown]
    ids = [
        str(name) if len(shown) == 1 else f"{side}-{name}" for side, name in zip("AB", names, strict=False)
    ]
    parts = [
        _part(one, name, mark) if name else None for one, name, mark in zip(shown, names, ids, strict=True)
    ]
    agreed = None
    if all(names) and len(shown) == 2 and _same_items(shown):
        ours, theirs = (one.assignments(str(name)) for one, name in zip(shown, names, strict=True))
        agreed = agreement(ours, theirs)
        _match(parts, ids, (ours, theirs))
    return {
        "name": names[0] if len(shown) == 1 else f"{'-'.join(features)}-{place}",
        "title": title,
        "one": word,
        "aim": aim,
        "features": features,
        "parts": parts,
        "agreement": agreed,
    }


def _same_items(shown: Sequence[ShownSide]) -> bool:
    return len({one.side.found.index.fingerprint for one in shown}) == 1 and (
        len({len(one.side.found.table) for one in shown}) == 1
    )


def _match(
    parts: Sequence[dict[str, Any] | None], ids: Sequence[str], both: tuple[np.ndarray, np.ndarray]
) -> None:
    """Name, for each cluster, the one of the other side that holds most of its items."""
    ours, theirs = both
    for part, other, found in (
        (parts[0], ids[1], matches(ours, theirs)),
        (parts[1], ids[0], matches(theirs, ours)),
    ):
        for cluster in part["clusters"] if part else ():
            if (match := found.get(cluster["of"].number)) is not None:
                cluster["match"] = {
                    "anchor": f"{other}-{match.number}",
                    "number": match.number,
                    "share": match.share,
                }


def _part(one: ShownSide, name: str, anchor: str) -> dict[str, Any]:
    clustering, clusters = one.side.found.config.clusterings[name], one.side.clusters[name]
    chance = one.side.chance[name]
    return {
        "id": anchor,
        "name": one.name,
        "k": clustering.k,
        "empty": clustering.k - len(clusters),
        "largest": max((c.size for c in clusters), default=1),
        "clusters": [
            {
                "of": c,
                "cards": [_card(one, row, c) for row in c.nearest],
                "chance": chance and chance.by_cluster.get(c.number),
                "match": None,
            }
            for c in clusters
        ],
    }


def _card(one: ShownSide, row: int, cluster: Cluster) -> dict[str, Any]:
    """One item with the files of both modalities, as far as it has them."""
    preview, labels = one.made[row], one.side.labels[row]
    return {
        **{
            kind: one.link(file) if (file := getattr(preview, kind)) else ""
            for kind in ("image", "video", "spectrogram", "audio")
        },
        "gone": preview.gone,
        "item": str(one.side.found.index.items["id"].iloc[row]),
        "labels": labels,
        "usual": bool(cluster.shares) and cluster.shares[0][0] in labels,
    }
