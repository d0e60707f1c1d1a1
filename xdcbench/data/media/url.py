"""Files as FFmpeg is given them."""

from pathlib import Path


def local_url(path: Path) -> str:
    """FFmpeg's URL of a local file: absolute and of the ``file`` protocol, whatever the file is called.

    A bare name such as ``concat:a|b.mp4`` or ``http:x.mp4`` would be taken as the address of something else.
    """
    return f"file:{path.absolute()}"
