"""The errors that the command line turns into one line each."""

from pathlib import Path


class UserError(Exception):
    """A mistake that its reader can mend: the message names the place, the value and the mend."""


class EqualFeaturesError(UserError):
    """Features of all items are equal, so that there is nothing to cluster."""


class DivergedError(UserError):
    """The loss of a training is not finite."""


class MediaUnreachableError(UserError):
    """The file system or server does not give a file that was there: nothing is known of its content."""


class MediaChangedError(UserError):
    """A file is not the one that was indexed."""


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
