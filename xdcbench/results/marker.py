"""The file that says that a folder is a results folder, and of which version."""

import json
import logging
from pathlib import Path

from xdcbench.errors import UserError
from xdcbench.utils.manifest import MANIFEST

MARKER = "results.json"
SCHEMA_VERSION = 3
"""Version of the layout of a results folder: 3 has the names of today. Others are refused."""

log = logging.getLogger("xdcbench")


def is_marked(root: Path) -> bool:
    """Whether a folder states that it is a results folder of this version; a marker that is lost is made again.

    Raises:
        UserError: it is of another version, or the marker is something else's.
    """
    marker = root / MARKER
    if not marker.exists() and not holds_runs(root):
        return False
    try:
        version = json.loads(marker.read_bytes())["schema_version"]
        if not isinstance(version, int):
            raise TypeError(version)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        if not holds_runs(root):
            raise UserError(
                f"{marker} states no version of a results folder; give another folder with --results"
            ) from error
        log.warning("%s is damaged or missing; it is made again, and the runs next to it stay", marker)
        return False
    if version != SCHEMA_VERSION:
        age, way = ("newer", "upgrade xdcbench or ") if version > SCHEMA_VERSION else ("older", "")
        raise UserError(
            f"{root} was written by {'a' if age == 'newer' else 'an'} {age} xdcbench (results schema {version}, this "
            f"one reads {SCHEMA_VERSION}); {way}give another folder with --results"
        )
    return True


def holds_runs(root: Path) -> bool:
    """Whether a folder holds runs of this version, or is where they are built."""
    runs = root / "runs"
    first = next((path for path in runs.glob("[!.]*/") if (path / "run.json").exists()), None)
    return any(runs.glob(f"[!.]*/{MANIFEST}")) or (first is None and (runs / ".building").is_dir())
