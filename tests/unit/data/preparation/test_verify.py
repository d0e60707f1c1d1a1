import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from xdcbench.cli.main import app
from xdcbench.config.data import World
from xdcbench.data.preparation.verify import verify_shards
from xdcbench.data.shards.layout import read_manifest
from xdcbench.data.synthetic import write_world
from xdcbench.errors import UserError
from xdcbench.utils.format import short
from xdcbench.utils.parts import Part

WORLD = World(classes=2, size=16, seconds=0.5, kinetics_train=2, kinetics_val=1)


def xdcbench(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WORLD, root)
    (root / "kinetics400" / "train" / "drift_left" / "broken.mp4").write_bytes(b"no video")
    return root / "kinetics400"


@pytest.fixture(scope="module")
def whole(videos: Path) -> tuple[Path, Result]:
    """Made by the command itself, in processes of their own."""
    shards = videos.parent / "shards"
    said = xdcbench(
        "prepare",
        "kinetics400",
        "--root",
        videos,
        "--output",
        shards,
        "--shard-bytes",
        60_000,
        "--num-workers",
        2,
    )
    return shards, said


@pytest.fixture
def shards(whole: tuple[Path, Result], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "shards"))


def first(shards: Path) -> Path:
    return shards / "shards" / "000000.tar"


def test_the_command_tells_what_it_made(whole: tuple[Path, Result]) -> None:
    shards, said = whole
    assert said.exit_code == 0, said.output
    assert "6 of 7 items in" in said.output
    assert "broken.mp4: Invalid data" in said.output
    assert "ms a clip and its audio from originals" in said.output
    manifest = read_manifest(shards)
    originals = pd.read_parquet(shards / "items.parquet").query("ok")["bytes"].sum()
    size = sum(shard.bytes for shard in manifest.shards)
    assert f"originals    {short(originals, 'B')}" in said.output
    assert (
        f"{size / originals - 1:.0%} more" if size > originals else f"{1 - size / originals:.0%} less"
    ) in said.output


def test_shards_as_written_have_no_fault(whole: tuple[Path, Result]) -> None:
    said = xdcbench("verify", "kinetics400", "--shards", whole[0])
    assert said.exit_code == 0, said.output
    assert "7 items, 12 members whose hashes are right" in said.output
    assert "0 faults" in said.output


def test_parts_by_the_command_end_with_the_bytes_of_one(
    whole: tuple[Path, Result], videos: Path, tmp_path: Path
) -> None:
    words = ["prepare", "kinetics400", "--root", videos, "--output", tmp_path / "s", "--num-workers", 1]
    words += ["--shard-bytes", 60_000]
    first = xdcbench(*words, "--part", "2/2")
    assert first.output.startswith("part 2/2 is prepared; 4 of 7 originals are left to other parts"), first
    last = xdcbench(*words, "--part", "1/2")
    assert (last.exit_code, "6 of 7 items in" in last.output) == (0, True), last.output
    assert files_of(tmp_path / "s") == files_of(whole[0])


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_shards_are_verified_in_parts(shards: Path) -> None:
    whole, parts = verify_shards(shards, workers=1), [Part(1, 2), Part(2, 2)]
    found = [verify_shards(shards, workers=1, part=part) for part in parts]
    assert len(whole.manifest.shards) > 1
    assert sum(part.members for part in found) == whole.members and all(part.members for part in found)
    path = shards / "shards" / whole.manifest.shards[1].name
    path.write_bytes(path.read_bytes()[:-1])
    assert [bool(verify_shards(shards, workers=1, part=part).faults) for part in parts] == [False, True]
    said = xdcbench("verify", "kinetics400", "--shards", shards, "--part", "2/2")
    assert said.exit_code == 1 and "of which this is part 2/2" in said.output


def test_faults_end_with_1(shards: Path) -> None:
    with first(shards).open("r+b") as shard:
        shard.seek(700)
        shard.write(b"x")
    said = xdcbench("verify", "kinetics400", "--shards", shards)
    assert said.exit_code == 1
    assert "does not have its hash" in said.output


def test_another_dataset_is_told(shards: Path) -> None:
    error = xdcbench("verify", "esc50", "--shards", shards).exception
    assert isinstance(error, UserError)
    assert "shards of kinetics400" in str(error)


def flip(shards: Path) -> None:
    data = bytearray(first(shards).read_bytes())
    data[600] ^= 1
    first(shards).write_bytes(data)


def cut(shards: Path) -> None:
    data = first(shards).read_bytes()
    first(shards).write_bytes(data[: len(data) // 2])


def lengthen(shards: Path) -> None:
    first(shards).write_bytes(first(shards).read_bytes() + bytes(512))


def swap(shards: Path) -> None:
    a, b = (shards / "shards" / f"00000{i}.tar" for i in range(2))
    data = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(data)


def link(shards: Path) -> None:
    info = tarfile.TarInfo("00000000.mp4")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(first(shards), "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(info)


def stray(shards: Path) -> None:
    (shards / "shards" / "000099.tar").write_bytes(b"")


def other_index(shards: Path) -> None:
    items = pd.read_parquet(shards / "items.parquet")
    items.loc[items["ok"], "video_offset"] += 512
    items.to_parquet(shards / "items.parquet")


def unlisted(shards: Path) -> None:
    manifest = json.loads((shards / "shards.json").read_text())
    manifest["shards"].pop()
    (shards / "shards.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "faults"),
    [
        (flip, ["does not have the hash that", "video of .*: does not have its hash"]),
        (cut, ["holds .* bytes in place of", "is cut short within"]),
        (lengthen, ["holds .* bytes in place of", "does not end as a tar file does"]),
        (swap, ["is there in its place"]),
        (link, ["is a link, which shards never hold", "no member begins at byte 512"]),
        (lambda shards: first(shards).unlink(), ["No such file", "no member begins"]),
        (stray, ["shards/000099.tar: shards.json does not list it"]),
        (other_index, ["is not the one that shards.json was written for", "no member begins"]),
        (unlisted, ["does not list it", "lies in shard"]),
    ],
)
def test_damage_is_found(shards: Path, damage: Callable[[Path], None], faults: list[str]) -> None:
    intact = verify_shards(shards, workers=1).members
    damage(shards)
    found = verify_shards(shards, workers=2)
    for fault in faults:
        assert pd.Series(found.faults).str.contains(fault).any(), found.faults
    assert found.members < intact or damage is stray or damage is lengthen


def test_newer_shards_and_unreadable_indices_are_refused(shards: Path) -> None:
    manifest = json.loads((shards / "shards.json").read_text())
    (shards / "shards.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(UserError, match="upgrade xdcbench"):
        verify_shards(shards, workers=1)
    (shards / "shards.json").write_text(json.dumps(manifest))
    (shards / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"items\.parquet cannot be read"):
        verify_shards(shards, workers=1)


def test_settings_are_told_in_one_line(videos: Path, tmp_path: Path) -> None:
    words = ("prepare", "kinetics400", "--root", videos, "--output", tmp_path / "s")
    error = xdcbench(*words, "--short-side", 17).exception
    assert isinstance(error, UserError)
    assert "short_side" in str(error)
    assert isinstance(xdcbench("prepare", "kinetics400", "--output", tmp_path / "s").exception, UserError)


def test_shards_of_which_no_original_decodes(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    done = xdcbench("prepare", "filelist", "--root", tmp_path, "--output", tmp_path / "s", "--num-workers", 1)
    assert done.exit_code == 0, done.output
    assert "0 of 1 items" in done.output
