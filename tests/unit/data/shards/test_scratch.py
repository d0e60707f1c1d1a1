"""Copies of shards on a node's scratch disk: what is read, when it is copied, and what is refused."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.data.shards.prepared import write_dataset
from tests.unit.tiny import DATASETS
from xdcbench.data.context import Context
from xdcbench.data.index import Index, media_of
from xdcbench.data.shards import scratch
from xdcbench.data.shards.reader import ShardReader, open_shards
from xdcbench.data.shards.remote import LocalFiles, RemoteFiles
from xdcbench.data.shards.scratch import on_scratch
from xdcbench.errors import UserError

NAME = "esc50"


@pytest.fixture(scope="module")
def written(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / NAME
    write_dataset(folder, world / DATASETS[NAME].folder, NAME, DATASETS[NAME])
    return folder


@pytest.fixture
def source(written: Path, tmp_path: Path) -> Path:
    """Shards of one's own, to spoil."""
    return Path(shutil.copytree(written, tmp_path / "source"))


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that are copied, in order."""
    found, copy = list[str](), scratch._copy_file

    def noted(reader: ShardReader, name: str, path: Path, digest: str) -> None:
        found.append(name)
        copy(reader, name, path, digest)

    monkeypatch.setattr(scratch, "_copy_file", noted)
    return found


def contents(reader: ShardReader) -> list[bytes]:
    """Audio of every item."""
    ids = reader.items(["id"])["id"]
    return [bytes(reader.member(row, "audio", item).data[:]) for row, item in enumerate(ids)]


def names(folder: Path) -> list[str]:
    """What shards consist of, but for their description."""
    return ["items.parquet", *sorted(f"shards/{path.name}" for path in (folder / "shards").iterdir())]


def copy_of(folder: Path) -> Path:
    (found,) = folder.glob("xdcbench-*")
    return found


def test_a_copy_is_read_in_place_of_the_shards(source: Path, tmp_path: Path) -> None:
    reader = open_shards(str(source))
    expected = contents(reader)
    there = on_scratch(reader, str(tmp_path / "node" / "disk"))
    for path in (source / "shards").iterdir():
        path.unlink()
    assert contents(there) == expected and len(set(expected)) > 1
    assert there.items().equals(reader.items())
    assert (there.where, there.manifest) == (reader.where, reader.manifest), "stages see the same shards"


def test_a_stage_reads_from_the_scratch_disk(source: Path, tmp_path: Path) -> None:
    reader = open_shards(str(source))
    index: Index = SimpleNamespace(name=NAME)  # type: ignore[assignment]
    context = Context("a", roots={NAME: reader}, scratch=str(tmp_path / "node"))
    read = media_of(index, context)
    assert isinstance(read, ShardReader) and read.files == LocalFiles(
        copy_of(tmp_path / "node"), scratch.AGAIN
    )
    assert media_of(index, Context("a", roots={NAME: reader})) is reader
    files = Context("a", roots={NAME: source}, scratch=str(tmp_path / "other"))
    assert media_of(index, files) == source and not (tmp_path / "other").exists()


def test_a_copy_is_made_once(source: Path, tmp_path: Path, copied: list[str]) -> None:
    reader = open_shards(str(source))
    on_scratch(reader, str(tmp_path / "node"))
    assert copied == names(source)
    on_scratch(open_shards(str(source)), str(tmp_path / "node"))
    assert copied == names(source)


def test_processes_of_a_node_make_one_copy(source: Path, tmp_path: Path, copied: list[str]) -> None:
    reader = open_shards(str(source))
    with ThreadPoolExecutor(4) as pool:  # each has a lock of its own, as processes have
        found = list(pool.map(lambda _: contents(on_scratch(reader, str(tmp_path / "node"))), range(4)))
    assert copied == names(source)
    assert found == [contents(reader)] * 4


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, changed, Path.unlink])
def test_what_is_damaged_in_a_copy_is_copied_again(
    source: Path, tmp_path: Path, copied: list[str], damage: Callable[[Path], None]
) -> None:
    reader = open_shards(str(source))
    on_scratch(reader, str(tmp_path / "node"))
    for name in ("items.parquet", "shards/000001.tar"):
        copied.clear()
        damage(copy_of(tmp_path / "node") / name)
        assert contents(on_scratch(reader, str(tmp_path / "node"))) == contents(reader)
        assert copied == [name]


def test_an_interrupted_copy_goes_on(
    source: Path, tmp_path: Path, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, read = open_shards(str(source)), LocalFiles.read

    def asked_to_end(files: LocalFiles, path: str, *rest: int) -> bytes:
        if path == "shards/000001.tar":
            raise SystemExit(75)
        return read(files, path, *rest)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(LocalFiles, "read", asked_to_end)
        on_scratch(reader, str(tmp_path / "node"))
    copied.clear()
    on_scratch(reader, str(tmp_path / "node"))
    assert copied == names(source)[2:]


def test_shards_that_were_prepared_anew_have_a_copy_of_their_own(
    source: Path, tmp_path: Path, world: Path
) -> None:
    old = open_shards(str(source))
    on_scratch(old, str(tmp_path / "node"))
    shutil.rmtree(source)
    write_dataset(source, world / DATASETS[NAME].folder, NAME, DATASETS[NAME], per_shard=2)
    new = open_shards(str(source))
    assert contents(on_scratch(new, str(tmp_path / "node"))) == contents(new)
    assert len(list((tmp_path / "node").iterdir())) == 2
    on_scratch(old, str(tmp_path / "node"))  # of which the source is gone


def test_shards_that_are_not_as_described_are_not_copied(source: Path, tmp_path: Path) -> None:
    changed(source / "shards" / "000001.tar")
    with pytest.raises(
        UserError, match=r"source/shards/000001\.tar is not the one that shards\.json describes"
    ):
        on_scratch(open_shards(str(source)), str(tmp_path / "node"))
    assert not (copy_of(tmp_path / "node") / "shards" / "000001.tar").exists()
    (source / "shards" / "000002.tar").unlink()
    with pytest.raises(
        UserError, match=r"000002\.tar: No such file or directory; run `xdcbench data prepare`"
    ):
        open_shards(str(source))


def test_too_small_a_disk_is_told_before_anything_is_copied(
    source: Path, tmp_path: Path, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum((source / name).stat().st_size for name in names(source))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError) as error:
        on_scratch(open_shards(str(source)), str(tmp_path / "node"))
    assert f"--scratch: {needed:,} bytes of the shards of {NAME} are to be copied to " in str(error.value)
    assert f"where {needed - 1:,} are free. Try: another folder" in str(error.value) and not copied


def test_variables_are_those_of_the_node(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_DISK", str(tmp_path / "job7"))
    on_scratch(open_shards(str(source)), "$JOB_DISK/shards")
    assert copy_of(tmp_path / "job7" / "shards").is_dir()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("$XDC_NONE/a", r"--scratch \$XDC_NONE/a: XDC_NONE is not set here. Try: "),
        ("${XDC_NONE}", r"--scratch \$\{XDC_NONE\}: XDC_NONE is not set here. Try: "),
        ("", "--scratch names no folder. Try: "),
        ("/proc/none", "cannot write a copy of the shards of esc50 to /proc/none/xdcbench-esc50-.*--scratch"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(source: Path, given: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        on_scratch(open_shards(str(source)), given)


def test_remote_shards_have_their_own_cache(source: Path, tmp_path: Path) -> None:
    reader = open_shards(str(source))
    remote = ShardReader(reader.where, RemoteFiles("s3://bucket/x"), reader.manifest)
    assert on_scratch(remote, str(tmp_path / "node")) is remote
