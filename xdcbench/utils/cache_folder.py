"""The folder of a user's caches."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Folder of one kind of cached file: below XDCBENCH_CACHE, or below the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("XDCBENCH_CACHE") or Path(user, "xdcbench")) / kind
