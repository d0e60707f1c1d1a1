"""Folders as they are found on disks: links followed once, what cannot be looked at passed over and named."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Identity = tuple[int, int]
PassOver = Callable[[str, str], None]
"""Takes the path of what is passed over, below the top, and the reason."""


@dataclass(frozen=True)
class Folder:
    """A folder of a tree.

    Attributes:
        path: on the disk.
        name: below the top of the tree, posix; "" is the top.
        line: device and inode of the folder and of all folders above it, by which a way back is known.
    """

    path: str
    name: str
    line: frozenset[Identity]

    @classmethod
    def top(cls, path: Path, name: str = "") -> "Folder":
        """The folder in which a tree begins.

        Raises:
            OSError: it is not there.
        """
        return cls(str(path), name, frozenset([_identity(path.stat())]))

    def below(self, name: str) -> str:
        """Path of an entry below the top of the tree."""
        return f"{self.name}/{name}" if self.name else name


def children(folder: Folder, pass_over: PassOver) -> Iterator["Folder | os.DirEntry[str]"]:
    """Folders and files in a folder by name, but not the hidden ones.

    Links are followed, unless they lead nowhere or back to a folder above. Such a link, what is no file, and what
    the system does not let this process look at, is passed over.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    with os.scandir(folder.path) as entries:
        ordered = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    for entry in ordered:
        name = folder.below(entry.name)
        try:
            if entry.is_dir():
                identity = _identity(entry.stat())
                if identity in folder.line:
                    pass_over(name, "leads back to a folder above")
                else:
                    yield Folder(entry.path, name, folder.line | {identity})
            elif entry.is_file():
                yield entry
            elif entry.is_symlink() and not Path(entry.path).exists():
                pass_over(name, "a link that leads nowhere")
            else:
                pass_over(name, "a pipe, socket or device")
        except OSError as error:
            pass_over(name, error.strerror or str(error))


def files(top: Folder, pass_over: PassOver) -> Iterator[tuple[Folder, "os.DirEntry[str]"]]:
    """Every file of a tree with its folder, in the order of the parts of their paths.

    A folder below the top that cannot be listed is passed over.

    Raises:
        OSError: the top cannot be listed.
    """
    for folder, child in _walk(top, pass_over):
        if not isinstance(child, Folder):
            yield folder, child


def folders(top: Folder, pass_over: PassOver) -> Iterator[Folder]:
    """Every folder of a tree, the top first.

    Raises:
        OSError: the top cannot be listed.
    """
    yield top
    for _, child in _walk(top, pass_over):
        if isinstance(child, Folder):
            yield child


def _walk(top: Folder, pass_over: PassOver) -> Iterator[tuple[Folder, "Folder | os.DirEntry[str]"]]:
    # Not by recursion: a path may have more parts than Python has frames.
    trail = [(top, children(top, pass_over))]
    while trail:
        folder, rest = trail[-1]
        try:
            child = next(rest, None)
        except OSError as error:
            if folder is top:
                raise
            pass_over(folder.name, error.strerror or str(error))
            child = None
        if child is None:
            trail.pop()
            continue
        yield folder, child
        if isinstance(child, Folder):
            trail.append((child, children(child, pass_over)))


def _identity(stat: os.stat_result) -> Identity:
    return stat.st_dev, stat.st_ino
