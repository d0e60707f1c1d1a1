"""What code made a number: versions of libraries, commit of the checkout."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from xdcbench import __version__


@cache
def versions() -> dict[str, str]:
    """Versions of what decides numbers."""
    packages = ("torch", "torchvision", "torchaudio", "av", "numpy", "scikit-learn")
    return {"xdcbench": __version__, "python": platform.python_version()} | {p: version(p) for p in packages}


@cache
def commit() -> str:
    """Commit of the checkout that runs, with ``+`` where it was changed since; empty when installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    return head + ("+" if _git(root, "status", "--porcelain", "-uno") else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
