import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from xdcbench.cli import app
from xdcbench.data.prepared.layout import read_label
from xdcbench.data.prepared.verify import verify_store
from xdcbench.data.synth import write_world
from xdcbench.errors import UserError
from xdcbench.schema import World

WORLD = World(classes=2, size=16, seconds=0.5, kinetics_train=2, kinetics_val=1)


def xdcbench(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WORLD, root)
    (root / "kinetics400" / "train" / "drift_left" / "broken.mp4").write_bytes(b"no film")
    return root / "kinetics400"


@pytest.fixture(scope="module")
def whole(films: Path) -> tuple[Path, Result]:
    """Made by the command itself, in processes of their own."""
    store = films.parent / "store"
    said = xdcbench(
        "prepare", "kinetics400", "--root", films, "--store", store, "--shard-bytes", 60_000, "--workers", 2
    )
    return store, said


@pytest.fixture
def store(whole: tuple[Path, Result], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "store"))


def first(store: Path) -> Path:
    return store / "shards" / "000000.tar"


def test_the_command_tells_what_it_made(whole: tuple[Path, Result]) -> None:
    store, said = whole
    assert said.exit_code == 0, said.output
    assert "6 of 7 items in" in said.output
    assert "broken.mp4: Invalid data" in said.output
    assert "ms a clip and its sound from originals" in said.output
    label = read_label(store)
    originals = pd.read_parquet(store / "items.parquet").query("ok")["bytes"].sum()
    size = sum(shard.bytes for shard in label.shards)
    assert f"{originals / 1e9:>9.3f} GB" in said.output
    assert (
        f"{size / originals - 1:.0%} more" if size > originals else f"{1 - size / originals:.0%} less"
    ) in said.output


def test_a_store_as_written_has_no_fault(whole: tuple[Path, Result]) -> None:
    said = xdcbench("verify", "kinetics400", "--store", whole[0])
    assert said.exit_code == 0, said.output
    assert "7 items, 12 members whose hashes are right" in said.output
    assert "0 faults" in said.output


def test_faults_end_with_1(store: Path) -> None:
    with first(store).open("r+b") as shard:
        shard.seek(700)
        shard.write(b"x")
    said = xdcbench("verify", "kinetics400", "--store", store)
    assert said.exit_code == 1
    assert "does not have its hash" in said.output


def test_another_data_set_is_told(store: Path) -> None:
    error = xdcbench("verify", "esc50", "--store", store).exception
    assert isinstance(error, UserError)
    assert "a store of kinetics400" in str(error)


def flip(store: Path) -> None:
    data = bytearray(first(store).read_bytes())
    data[600] ^= 1
    first(store).write_bytes(data)


def cut(store: Path) -> None:
    data = first(store).read_bytes()
    first(store).write_bytes(data[: len(data) // 2])


def lengthen(store: Path) -> None:
    first(store).write_bytes(first(store).read_bytes() + bytes(512))


def swap(store: Path) -> None:
    a, b = (store / "shards" / f"00000{i}.tar" for i in range(2))
    data = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(data)


def link(store: Path) -> None:
    info = tarfile.TarInfo("00000000.mp4")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(first(store), "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(info)


def stray(store: Path) -> None:
    (store / "shards" / "000099.tar").write_bytes(b"")


def other_index(store: Path) -> None:
    items = pd.read_parquet(store / "items.parquet")
    items.loc[items["ok"], "video_offset"] += 512
    items.to_parquet(store / "items.parquet")


def unlisted(store: Path) -> None:
    label = json.loads((store / "store.json").read_text())
    label["shards"].pop()
    (store / "store.json").write_text(json.dumps(label))


@pytest.mark.parametrize(
    ("damage", "faults"),
    [
        (flip, ["does not have the hash that", "video of .*: does not have its hash"]),
        (cut, ["holds .* bytes in place of", "is cut short within"]),
        (lengthen, ["holds .* bytes in place of", "does not end as a tar file does"]),
        (swap, ["is there in its place"]),
        (link, ["is a link, which a store never holds", "no member begins at byte 512"]),
        (lambda store: first(store).unlink(), ["No such file", "no member begins"]),
        (stray, ["shards/000099.tar: store.json does not list it"]),
        (other_index, ["is not the one that store.json was written for", "no member begins"]),
        (unlisted, ["does not list it", "lies in shard"]),
    ],
)
def test_damage_is_found(store: Path, damage: Callable[[Path], None], faults: list[str]) -> None:
    sound = verify_store(store, workers=1).members
    damage(store)
    found = verify_store(store, workers=2)
    for fault in faults:
        assert pd.Series(found.faults).str.contains(fault).any(), found.faults
    assert found.members < sound or damage is stray or damage is lengthen


def test_newer_stores_and_unreadable_indices_are_refused(store: Path) -> None:
    label = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps(label | {"schema_version": 99}))
    with pytest.raises(UserError, match="upgrade xdcbench"):
        verify_store(store, workers=1)
    (store / "store.json").write_text(json.dumps(label))
    (store / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"items\.parquet cannot be read"):
        verify_store(store, workers=1)


def test_settings_are_told_in_one_line(films: Path, tmp_path: Path) -> None:
    words = ("prepare", "kinetics400", "--root", films, "--store", tmp_path / "s")
    error = xdcbench(*words, "--short-side", 17).exception
    assert isinstance(error, UserError)
    assert "short_side" in str(error)
    assert isinstance(xdcbench("prepare", "kinetics400", "--store", tmp_path / "s").exception, UserError)


def test_a_store_of_which_no_original_decodes(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    done = xdcbench("prepare", "filelist", "--root", tmp_path, "--store", tmp_path / "s", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert "0 of 1 items" in done.output
