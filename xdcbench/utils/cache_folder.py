"""The folder of a user's caches."""

import os
from pathlib import Path

from xdcbench.errors import UserError


def cache_folder(kind: str) -> Path:
    """Folder of one kind of cached file: below XDCBENCH_CACHE, or below the user's cache folder.

    Raises:
        UserError: neither is set, and the user has no home folder.
    """
    if chosen := os.environ.get("XDCBENCH_CACHE"):
        return Path(chosen) / kind
    try:
        user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise UserError(
            "there is no home folder to cache files in: HOME is not set. Try: XDCBENCH_CACHE=DIR"
        ) from error
    return Path(user, "xdcbench") / kind
