"""The errors that the command line turns into one line each."""

from pathlib import Path


class UserError(Exception):
    """A mistake that its reader can mend: the message names the place, the value and the mend."""


class MediaError(Exception):
    """A media file that cannot be read.

    Args:
        path: the file.
        reason: what the decoder said, in one line.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
