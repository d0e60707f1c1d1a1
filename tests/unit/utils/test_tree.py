"""Trees with links to themselves, closed folders and links to nowhere, made for real."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from inspect import stack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from xdcbench.utils.tree import Folder, files, folders


@contextmanager
def unprivileged() -> Iterator[None]:
    """Within, this process may not look at everything, even where root runs it."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def tree() -> Iterator[Path]:
    """A folder that everyone may enter."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def seen(tree: Path) -> tuple[list[str], dict[str, str]]:
    """Paths of all files, and what was passed over with its reason."""
    passed: dict[str, str] = {}
    found = [folder.below(entry.name) for folder, entry in files(Folder.top(tree), passed.__setitem__)]
    return found, passed


def touch(tree: Path, *names: str) -> None:
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()


def test_files_come_in_the_order_of_their_parts(tree: Path) -> None:
    touch(tree, "b/2", "b/1", "b c/3", "b-c/4", "a", "c", ".hidden/5", "b/.6")
    (tree / "empty").mkdir()
    assert seen(tree) == (["a", "b/1", "b/2", "b c/3", "b-c/4", "c"], {})
    assert [folder.name for folder in folders(Folder.top(tree), lambda *_: None)] == [
        "", "b", "b c", "b-c", "empty"
    ]  # fmt: skip


def test_links_back_are_passed_over(tree: Path) -> None:
    touch(tree, "a/b/1")
    (tree / "a/b/parent").symlink_to(tree / "a")
    (tree / "a/b/top").symlink_to("../..")
    (tree / "a/here").symlink_to(".")
    (tree / "a/self").symlink_to("self")
    found, passed = seen(tree)
    assert found == ["a/b/1"]
    back = "leads back to a folder above"
    assert passed == {
        "a/b/parent": back,
        "a/b/top": back,
        "a/here": back,
        "a/self": "Too many levels of symbolic links",
    }


def test_two_folders_that_link_to_each_other(tree: Path) -> None:
    touch(tree, "a/1", "b/2")
    (tree / "a/to_b").symlink_to("../b")
    (tree / "b/to_a").symlink_to("../a")
    found, passed = seen(tree)
    assert found == ["a/1", "a/to_b/2", "b/2", "b/to_a/1"]
    assert set(passed) == {"a/to_b/to_a", "b/to_a/to_b"}


def test_a_folder_seen_by_two_ways_is_no_way_back(tree: Path) -> None:
    touch(tree, "a/1")
    (tree / "link").symlink_to("a")
    (tree / "z.mp4").symlink_to("a/1")
    assert seen(tree) == (["a/1", "link/1", "z.mp4"], {})


def test_a_link_to_nowhere_is_passed_over(tree: Path) -> None:
    touch(tree, "a")
    (tree / "gone.mp4").symlink_to("nowhere.mp4")
    assert seen(tree) == (["a"], {"gone.mp4": "a link that leads nowhere"})


def test_what_is_no_file_is_passed_over(tree: Path) -> None:
    touch(tree, "a")
    os.mkfifo(tree / "pipe.wav")
    (tree / "zero.wav").symlink_to("/dev/zero")
    found, passed = seen(tree)
    assert found == ["a"]
    assert passed == dict.fromkeys(["pipe.wav", "zero.wav"], "a pipe, socket or device")


def test_a_closed_folder_is_passed_over(tree: Path) -> None:
    touch(tree, "a/1", "lost+found/2", "z/3", "unsearchable/deep/4")
    (tree / "lost+found").chmod(0)
    (tree / "unsearchable").chmod(0o744)
    (tree / "link").symlink_to("lost+found/2")
    with unprivileged():
        found, passed = seen(tree)
    assert found == ["a/1", "z/3"]
    assert passed == dict.fromkeys(["lost+found", "link", "unsearchable/deep"], "Permission denied")


def test_a_path_that_is_too_long_is_passed_over(tree: Path) -> None:
    touch(tree, "a", "z")
    here = os.open(tree, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    found, passed = seen(tree)
    assert found == ["a", "z"]
    assert list(passed.values()) == ["File name too long"]


def test_more_folders_than_python_has_frames(tree: Path, request: pytest.FixtureRequest) -> None:
    deep = "/".join(["d"] * 300)
    touch(tree, f"{deep}/1")
    request.addfinalizer(partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(len(stack()) + 150)
    assert seen(tree) == ([f"{deep}/1"], {})


def test_a_top_that_is_not_there(tree: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folder.top(tree / "absent")
