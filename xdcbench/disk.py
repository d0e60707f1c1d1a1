"""A full disk, which is the user's to mend: what is there stays whole, and the same command goes on."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdcbench.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def room(folder: Path, needed: int) -> Iterator[None]:
    """Around writing ``needed`` bytes into ``folder``.

    Raises:
        UserError: the disk, or the user's part of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(folder).free
        raise UserError(
            f"no space left in {folder}: {needed:,} bytes are needed and {free:,} are free; free some "
            "(`xdcbench prune` removes what no result needs), and the same command goes on"
        ) from error
