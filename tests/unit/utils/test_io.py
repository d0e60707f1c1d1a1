import os
from pathlib import Path

import pytest

from xdcbench.errors import UserError
from xdcbench.utils.io import atomic_write, remove_part_files, writing


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


@pytest.mark.parametrize("name", ["result", f".result.{os.getpid()}"], ids=["file", "part"])
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
