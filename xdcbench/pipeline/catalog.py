"""What ships with the suite: names and titles of its methods, suites, datasets and the like."""

from pathlib import Path
from typing import Literal

from xdcbench.config.load import read
from xdcbench.config.paths import folder
from xdcbench.config.released import Release, registry
from xdcbench.models.pretrained.released import UNPINNED, cached, pinning
from xdcbench.results.published import MARKS, choose, load_published

Part = Literal["methods", "suites", "datasets", "evaluations", "tables"]
Listed = Part | Literal["weights"]


def folder_of(part: Part) -> Path:
    """Folder that holds the YAML files of ``part``."""
    if part == "tables":
        return folder("tables")
    return folder("baselines") / part if part == "methods" else folder("configs") / part


def rows(part: Listed) -> list[tuple[str, str]]:
    """Name and title of each entry, sorted by name; of weights also scores and file, in the registry's order."""
    if part == "weights":
        return [(name, summary(release)) for name, release in registry().items()]
    entries = []
    for path in sorted(folder_of(part).glob("*.yaml"), key=lambda path: path.stem):
        tree = read(path)
        entries.append(
            (path.stem, str(tree.get("title") or tree.get("description") or tree.get("kind") or ""))
        )
    return entries


def summary(release: Release) -> str:
    """Title, published scores with their marks, encoders, license, source, and whether the file is here."""
    rows = choose(load_published(folder("baselines") / "published.csv"), release.published)
    scores = ", ".join(f"{row.dataset} {row.value}{MARKS[row.status]}" for row in rows)
    parts = (
        release.title,
        scores or "no published score",
        " and ".join(release.by_modality),
        release.license.name,
        release.url or f"no direct address: {release.file} from {release.page}",
        UNPINNED if pinning(release) == UNPINNED else "",
        "here" if cached(release).is_file() else "not here",
    )
    return "; ".join(part for part in parts if part)
