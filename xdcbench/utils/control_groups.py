"""Linux control groups, which limit what the processes in them may take."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def own_groups(root: Path, controller: str) -> Iterator[tuple[str, Path]]:
    """Folders of the control groups of this process and of those above, with their controllers; empty in version 2."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, own = line.split(":", 2)
        mounts = [root / "sys/fs/cgroup"]
        if controllers:
            mounts = [mounts[0] / controllers, mounts[0] / controller]
        if not controllers or controller in controllers.split(","):
            yield from ((controllers, folder) for mount in mounts for folder in _upwards(mount, own))


def _upwards(mount: Path, own: str) -> Iterator[Path]:
    """A control group's folder and those above it; in a container, where its own has no folder, the mount."""
    relative = PurePosixPath(own.lstrip("/"))
    yield from (mount / part for part in (relative, *relative.parents) if ".." not in part.parts)


def text_of(path: Path) -> str:
    """Content of a file of the kernel; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # not Linux, or not mounted
        return ""
