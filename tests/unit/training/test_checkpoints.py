"""Checkpoints: whole or not there, damaged ones passed over, the newest kept, a full disk told."""

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.training.checkpoints import Checkpoints

CPU = torch.device("cpu")


def state(value: int) -> dict[str, object]:
    return {"modules": {"weight": torch.full((3, 4), float(value))}, "failed": {3: "torn"}, "step": value}


def test_what_is_loaded_was_saved(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, 2).load(CPU) is None
    Checkpoints(tmp_path, 2).save(state(5), steps=5)
    found = Checkpoints(tmp_path, 2).load(CPU)
    assert found is not None and found["failed"] == {3: "torn"}
    assert torch.equal(found["modules"]["weight"], torch.full((3, 4), 5.0))


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(tmp_path: Path, keep: int) -> None:
    checkpoints = Checkpoints(tmp_path, keep)
    for steps in (9, 10, 11, 100):
        checkpoints.save(state(steps), steps=steps)
    assert [int(p.name.split("-")[1]) for p in checkpoints.newest_first()] == [100, 11, 10, 9][:keep]
    checkpoints.save(state(100), steps=100)  # asked to end twice without a step between
    assert len(checkpoints.newest_first()) == len(list(tmp_path.iterdir())) == keep


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_is_seen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A file that ends early, or in which one byte is another, is never taken."""
    folder = tmp_path_factory.mktemp("damaged")
    checkpoints = Checkpoints(folder, 2)
    checkpoints.save(state(1), steps=1)
    checkpoints.save(state(2), steps=2)
    newest = checkpoints.newest_first()[0]
    content = bytearray(newest.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    newest.write_bytes(content)
    found = checkpoints.load(CPU)
    assert found is not None and found["step"] == 1


def test_damage_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(state(1), steps=1)
    (newest,) = checkpoints.newest_first()
    newest.write_bytes(b"")
    (tmp_path / ".checkpoint").write_bytes(b"half")  # killed while writing
    with caplog.at_level(logging.WARNING, logger="xdcbench"):
        assert checkpoints.load(CPU) is None
    assert f"{newest} is damaged" in caplog.text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, which only root can make; others get a file system that is told to be full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = (
        os.getuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False, capture_output=True
        ).returncode
        == 0
    )
    yield folder if made else Path("/dev/full")
    if made:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_names_folder_and_bytes_and_spoils_nothing(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_disk if small_disk.is_dir() else tmp_path
    checkpoints = Checkpoints(folder, 2)
    checkpoints.save(state(1), steps=1)
    if not small_disk.is_dir():
        (folder / ".checkpoint").symlink_to(small_disk)
    big = state(2) | {"best": {"weight": torch.zeros(40_000)}}
    with pytest.raises(UserError, match=rf"no space left in {folder}: 16\d,\d\d\d bytes are needed"):
        checkpoints.save(big, steps=2)
    found = checkpoints.load(CPU)
    assert found is not None and found["step"] == 1
    assert [path.name for path in folder.iterdir()] == [checkpoints.newest_first()[0].name]
