import os
import socket
import time
from pathlib import Path

import pytest

from xdcbench.errors import UserError
from xdcbench.utils.io import PART, atomic_write, file_system_time, part_of, remove_part_files, writing


def test_a_file_is_replaced_at_the_end_and_hidden_before(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert part.name.startswith(".") and path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file_and_no_part(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as part:
        part.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_old_parts_are_swept_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (".hidden", "a.1", ".lock", ".new.12")]
    parts = [tmp_path / ".a.json.12", tmp_path / "deep" / ".b.wav.3"]
    for path in (*kept, *parts):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    for path in parts:
        os.utime(path, (0, 0))
    remove_part_files(tmp_path, older=3600)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    remove_part_files(tmp_path)
    assert not (tmp_path / ".new.12").exists()


@pytest.mark.parametrize("name", ["result", part_of(Path("result")).name], ids=["file", "part"])
def test_nothing_is_written_through_a_link(name: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / name).symlink_to(mine)
    with atomic_write(tmp_path / "result") as part:
        part.write_text("ours")
    assert mine.read_text() == "mine"
    assert not (tmp_path / "result").is_symlink()
    assert (tmp_path / "result").read_text() == "ours"


def test_what_cannot_be_written_is_one_line_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, writing("the page", "give another with --output"):
        (tmp_path / "nowhere" / "page.html").write_text("")
    assert str(caught.value) == "cannot write the page: No such file or directory; give another with --output"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_machines_with_a_common_disk_have_their_own_part_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal process numbers are common: containers begin at 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    parts = []
    for machine in ("a", "b"):
        monkeypatch.setattr(socket, "gethostname", lambda machine=machine: machine)
        parts.append(part_of(tmp_path / "table.md"))
    assert len(set(parts)) == 2 and all(PART.fullmatch(part.name) for part in parts)


@pytest.mark.parametrize("shift", [-86400.0, 86400.0])
def test_ages_are_told_by_the_clock_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    """A machine whose clock is a day off removes nothing that is new, and what is old all the same."""
    now = time.time()
    old, new = tmp_path / ".old.1", tmp_path / ".new.1"
    for path in (old, new):
        path.write_text("")
    os.utime(old, (now - 7200, now - 7200))
    monkeypatch.setattr(time, "time", lambda: now + shift)
    assert abs(file_system_time(tmp_path) - now) < 600
    remove_part_files(tmp_path, older=3600)
    assert list(tmp_path.iterdir()) == [new]


def test_where_nothing_can_be_written_the_clock_is_this_machines(tmp_path: Path) -> None:
    assert abs(file_system_time(tmp_path / "nowhere") - time.time()) < 600
