"""Where caches lie: as told, below the user's cache folder, or below a home folder that may be missing."""

from pathlib import Path

import pytest

from xdcbench.errors import UserError
from xdcbench.utils.cache_folder import cache_folder

NAMES = ("XDCBENCH_CACHE", "XDG_CACHE_HOME", "HOME")


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"HOME": "/home/a"}, "/home/a/.cache/xdcbench/weights"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/cache"}, "/cache/xdcbench/weights"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/cache", "XDCBENCH_CACHE": "/here"}, "/here/weights"),
        ({"XDCBENCH_CACHE": "/here"}, "/here/weights"),
    ],
)
def test_the_nearest_name_wins(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], folder: str) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert cache_folder("weights") == Path(folder)


def test_without_a_home_folder_one_line_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user number that no list of users knows, in a container."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(UserError, match=r"HOME is not set\. Try: XDCBENCH_CACHE=DIR"):
        cache_folder("weights")
