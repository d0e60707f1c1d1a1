"""What ships with the suite: names and titles of methods, suites, data sets, evaluations and tables."""

from pathlib import Path
from typing import Literal

from xdcbench.config import read
from xdcbench.resources import folder

Part = Literal["methods", "suites", "datasets", "evaluations", "tables"]


def place(part: Part) -> Path:
    """Folder that holds the YAML files of ``part``."""
    if part == "tables":
        return folder("tables")
    return folder("baselines") / part if part == "methods" else folder("configs") / part


def rows(part: Part) -> list[tuple[str, str]]:
    """Name and title of each entry, sorted by name."""
    entries = []
    for path in sorted(place(part).glob("*.yaml")):
        tree = read(path)
        entries.append(
            (path.stem, str(tree.get("title") or tree.get("description") or tree.get("kind") or ""))
        )
    return entries
