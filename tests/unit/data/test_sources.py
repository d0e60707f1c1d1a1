import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xdcbench.config.data import Dataset, ShardSettings, Subset
from xdcbench.config.keys import science
from xdcbench.config.load import load_dataset, load_suite
from xdcbench.config.stages import IndexStage
from xdcbench.data import fingerprints, sources
from xdcbench.data.context import Source
from xdcbench.data.fingerprints import Mode, forget_scans
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import MISSING, Scan, fingerprint
from xdcbench.data.shards.layout import ShardsManifest
from xdcbench.data.sources import Lookup, find_shards, find_source, root_of, stamps, used_datasets
from xdcbench.errors import MediaChangedError, UserError
from xdcbench.utils.code import Consent

GRID = load_dataset("grid")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root with four files and their labels in ``grid``, last changed long ago."""
    root = tmp_path / "data" / "grid"
    (root / "s1").mkdir(parents=True)
    rows = ["file,command"]
    for number in range(4):
        (root / "s1" / f"{number}.mp4").write_bytes(b"x" * (number + 1))
        rows.append(f"s1/{number}.mp4,{'bin' if number % 2 else 'lay'}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "empty").mkdir()
    for path in (*root.rglob("*"), root):
        os.utime(path, (1e9, 1e9))
    return root.parent


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Roots that were scanned."""
    roots: list[Path] = []

    def spy(root: Path, dataset: Dataset, _consent: Consent) -> Scan:
        roots.append(root)
        return scan(root, dataset)

    monkeypatch.setattr(sources, "scan", spy)
    return roots


def test_used_datasets_are_those_learned_from_or_measured_on() -> None:
    suite = load_suite("mini", overrides=["pretrain.rounds=1"])
    assert used_datasets(suite) == ["esc50", "kinetics400", "ucf101"]
    of_grid = ["grid", "grid_color", "grid_digit", "grid_letter"]
    assert used_datasets(load_suite("real-small")) == ["esc10", *of_grid]
    assert used_datasets(load_suite("real-small", methods=["scratch"])) == ["esc10", *of_grid]
    smoke = load_suite("smoke", methods=["scratch"])
    assert used_datasets(smoke) == ["dcase", "esc50", "hmdb51", "kinetics400", "ucf101"]


def test_own_root_comes_before_the_data_root() -> None:
    own = GRID.model_copy(update={"root": "/own"})
    assert root_of(GRID, None) is None
    assert root_of(GRID, Path("/data")) == Path("/data/grid")
    assert root_of(own, Path("/data")) == root_of(own, None) == Path("/own")


def test_dataset_without_a_place_is_unavailable() -> None:
    source = find_source("grid", GRID, Lookup(None))
    assert source.fingerprint is None
    assert source.unavailable == "no place given for grid; give --data-root or --set datasets.grid.root=DIR"


def test_dataset_without_its_folder_is_unavailable(tmp_path: Path) -> None:
    source = find_source("grid", GRID, Lookup(tmp_path))
    assert source.fingerprint is None
    assert source.unavailable == f"no folder {tmp_path / 'grid'} for grid"


def test_folder_that_does_not_fit_is_a_mistake(data: Path) -> None:
    (data / "grid" / "labels.csv").unlink()
    with pytest.raises(UserError, match=r"no list .*labels\.csv"):
        find_source("grid", GRID, Lookup(data))


def test_fingerprint_is_that_of_the_scan(data: Path) -> None:
    source = find_source("grid", GRID, Lookup(data))
    assert source.fingerprint == fingerprint(scan(data / "grid", GRID))
    assert source.unavailable == ""


def test_second_look_trusts_the_first(data: Path, tmp_path: Path, scans: list[Path]) -> None:
    cache = tmp_path / "results" / "cache"
    first = find_source("grid", GRID, Lookup(data, cache=cache))
    assert find_source("grid", GRID, Lookup(data, cache=cache)) == first
    assert scans == [data / "grid"]


def test_a_scan_of_another_version_is_not_trusted(
    data: Path, tmp_path: Path, scans: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_source("grid", GRID, Lookup(data, cache=tmp_path))
    monkeypatch.setattr(sources, "VERSION", sources.VERSION + 1)
    find_source("grid", GRID, Lookup(data, cache=tmp_path))
    assert len(scans) == 2


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 80, b'{"fingerp', b"[]", b"{}", b'{"fingerprint": 3, "stamps": {}}']
)
def test_a_damaged_scan_is_made_again(data: Path, tmp_path: Path, scans: list[Path], content: bytes) -> None:
    first = find_source("grid", GRID, Lookup(data, cache=tmp_path / "cache"))
    (entry,) = (tmp_path / "cache").iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(content)
    assert find_source("grid", GRID, Lookup(data, cache=tmp_path / "cache")) == first
    assert entry.read_bytes() == whole and len(scans) == 2


def test_without_a_cache_every_look_scans(data: Path, scans: list[Path]) -> None:
    for _ in range(2):
        find_source("grid", GRID, Lookup(data))
    assert len(scans) == 2


def add_file(root: Path) -> None:
    (root / "s1" / "9.mp4").write_bytes(b"xx")


def fill_folder(root: Path) -> None:
    (root / "empty" / "9.mp4").write_bytes(b"xx")


def remove_file(root: Path) -> None:
    (root / "s1" / "0.mp4").unlink()


def change_list(root: Path) -> None:
    with (root / "labels.csv").open("a") as file:
        file.write("s1/9.mp4,bin\n")


def remove_folder(root: Path) -> None:
    (root / "s1").rename(root / "s2")


@pytest.mark.parametrize("change", [add_file, fill_folder, remove_file, change_list])
def test_change_below_the_folder_is_seen(
    data: Path, tmp_path: Path, scans: list[Path], change: Callable[[Path], None]
) -> None:
    find_source("grid", GRID, Lookup(data, cache=tmp_path))
    change(data / "grid")
    source = find_source("grid", GRID, Lookup(data, cache=tmp_path))
    assert len(scans) == 2
    assert source.fingerprint == fingerprint(scan(data / "grid", GRID))
    assert find_source("grid", GRID, Lookup(data, cache=tmp_path)) == source
    assert len(scans) == 2


def test_folder_that_went_is_seen(data: Path, tmp_path: Path, scans: list[Path]) -> None:
    find_source("grid", GRID, Lookup(data, cache=tmp_path))
    remove_folder(data / "grid")
    with pytest.raises(UserError, match="no video file"):
        find_source("grid", GRID, Lookup(data, cache=tmp_path))
    assert len(scans) == 2


def test_other_settings_are_another_scan(data: Path, tmp_path: Path, scans: list[Path]) -> None:
    subset = GRID.model_copy(update={"subset": Subset(per_class=1)})
    titled = GRID.model_copy(update={"title": "another"})
    for dataset in (GRID, subset, titled):
        find_source("grid", dataset, Lookup(data, cache=tmp_path))
    assert len(scans) == 2


def test_stamps_are_times_of_change_or_say_gone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    os.utime(path, ns=(5, 7))
    gone = str(tmp_path / "b")
    assert stamps([gone, str(path)]) == {str(path): [7, path.stat().st_ctime_ns], gone: []}


def test_a_list_whose_time_is_kept_is_seen(data: Path, tmp_path: Path, scans: list[Path]) -> None:
    first = find_source("grid", GRID, Lookup(data, cache=tmp_path))
    path = data / "grid" / "labels.csv"
    before = path.stat()
    path.write_text(path.read_text().replace("0.mp4,lay", "0.mp4,bin"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert find_source("grid", GRID, Lookup(data, cache=tmp_path)).fingerprint != first.fingerprint
    assert len(scans) == 2


def overwrite(path: Path, content: bytes) -> None:
    """Other content of the same size, a second later."""
    before = path.stat()
    path.write_bytes(content)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


def test_contents_count_where_they_are_asked_for(data: Path, tmp_path: Path) -> None:
    def find(mode: Mode) -> Source:
        forget_scans(tmp_path)
        return find_source("grid", GRID, Lookup(data, cache=tmp_path, mode=mode))

    sizes, contents = find("size"), find("content")
    assert sizes.fingerprint != contents.fingerprint
    path = data / "grid" / "s1" / "1.mp4"
    path.touch()
    touched = find("size"), find("content")
    assert [s.fingerprint for s in touched] == [sizes.fingerprint, contents.fingerprint]
    assert touched[0].stamp == touched[1].stamp != sizes.stamp
    overwrite(path, b"yy")
    assert find("size").fingerprint == sizes.fingerprint
    assert find("content").fingerprint not in (sizes.fingerprint, contents.fingerprint)
    overwrite(path, b"xx")
    assert find("content").fingerprint == contents.fingerprint


@pytest.mark.parametrize("content", [b"", b"\0" * 80, b"PAR1 cut"])
def test_damaged_hashes_are_made_again(data: Path, tmp_path: Path, content: bytes) -> None:
    first = find_source("grid", GRID, Lookup(data, cache=tmp_path, mode="content"))
    (kept,) = tmp_path.glob("contents-*.parquet")
    whole = kept.read_bytes()
    kept.write_bytes(content)
    assert find_source("grid", GRID, Lookup(data, cache=tmp_path, mode="content")) == first
    assert kept.read_bytes() == whole


def test_contents_are_hashed_once_for_each_state(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    true = fingerprints.LocalFile

    def spy(path: Path, *rest: Any) -> Any:
        opened.append(path.name)
        return true(path, *rest)

    monkeypatch.setattr(fingerprints, "LocalFile", spy)
    for _ in range(2):
        find_source("grid", GRID, Lookup(data, cache=tmp_path, mode="content"))
    assert sorted(opened) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    overwrite(data / "grid" / "s1" / "1.mp4", b"yy")
    find_source("grid", GRID, Lookup(data, cache=tmp_path, mode="content"))
    assert opened[4:] == ["1.mp4"], "no folder changed, and it was seen"


def test_hashes_are_those_of_sha256(data: Path, tmp_path: Path) -> None:
    found = scan(data / "grid", GRID)
    files = found.items[["path", "bytes"]].assign(mtime=10**18)
    files.loc[len(files)] = ["gone.mp4", MISSING, MISSING]
    hashes = [hashlib.sha256(b"x" * (size + 1)).hexdigest() for size in range(4)]
    assert fingerprints.contents(files, data / "grid", None).tolist() == [*hashes, ""]


def test_hashes_that_were_kept_outlive_a_failure(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items of one file share its hash; a state that is no more is forgotten."""
    monkeypatch.setattr(fingerprints, "KEEP_EVERY", 2)
    root, found = data / "grid", scan(data / "grid", GRID).items
    paths = found["path"].tolist()
    overwrite(root / paths[0], b"x")
    twice = pd.concat([found, found])[["path", "bytes"]]
    files = twice.assign(mtime=fingerprints.mtimes(twice, root))
    (root / paths[3]).write_bytes(b"longer than it was")
    with pytest.raises(MediaChangedError):
        fingerprints.contents(files, root, tmp_path)
    (kept,) = tmp_path.glob("contents-*.parquet")
    assert pd.read_parquet(kept)["path"].tolist() == paths[:2], "two at a time"
    overwrite(root / paths[0], b"y")
    files["bytes"] = [(root / path).stat().st_size for path in files["path"]]
    files["mtime"] = fingerprints.mtimes(files, root)
    hashes = [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in files["path"]]
    assert fingerprints.contents(files, root, tmp_path).tolist() == hashes
    assert sorted(pd.read_parquet(kept)["sha256"]) == sorted(hashes[: len(paths)])


# ------------------------------------------------------------------------------------ prepared shards


@pytest.fixture
def shards(tmp_path: Path) -> Callable[..., Path]:
    """Writes the manifest of shards of GRID, without items."""

    def write(place: str, **changes: Any) -> Path:
        folder = tmp_path / place
        folder.mkdir(parents=True)
        fields = {
            "name": "grid",
            "dataset": science(IndexStage(name="grid", dataset=GRID))["dataset"],
            "media": "video",
            "classes": ("bin", "lay"),
            "splits": GRID.splits,
            "official": GRID.splits,
            "settings": ShardSettings(),
            "source_fingerprint": "s",
            "fingerprint": "f",
            "items_sha256": "",
            "versions": {},
            "shards": (),
        }
        ShardsManifest(**(fields | changes)).save(folder)
        return folder

    return write


def test_shards_are_found_by_their_folder_and_by_the_folder_above(shards: Callable[..., Path]) -> None:
    folder = shards("prepared/grid")
    for place in (folder, folder.parent, f"{folder.parent}/"):
        found = find_shards([str(place)], {"esc10": load_dataset("esc10"), "grid": GRID})
        assert found.keys() == {"grid"} and found["grid"].where == str(folder)


def test_two_folders_of_shards_of_one_dataset_are_refused(shards: Callable[..., Path]) -> None:
    places = [str(shards("one/grid")), str(shards("two").parent / "one")]
    with pytest.raises(UserError, match="both hold grid; give one of them"):
        find_shards([str(places[0]), places[1]], {"grid": GRID})


def test_missing_shards_are_refused_and_those_of_another_dataset_are_not_read(
    shards: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        UserError, match=rf"--shards {tmp_path}: no shards\.json there, nor in a folder .* named grid"
    ):
        find_shards([str(tmp_path)], {"grid": GRID})
    folder = shards("other", name="ucf101")
    assert find_shards([str(folder)], {"grid": GRID}) == {}
    assert "hold ucf101, which this suite does not use" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": {"adapter": "kinetics", "media": "video"}},
            "with adapter 'kinetics', and 'filelist' is asked",
        ),
        ({"splits": ("another",)}, "have no split .* of grid, only another; prepare another with it"),
        (
            {"dataset": science(IndexStage(name="grid", dataset=GRID))["dataset"] | {"subset": {"items": 3}}},
            "hold a subset of grid, 3 items in each part of a split",
        ),
        (
            {"dataset": science(IndexStage(name="grid", dataset=GRID))["dataset"] | {"classes": ["bin"]}},
            r"from grid with classes \['bin'\], and \[\] is asked for",
        ),
    ],
)
def test_shards_of_another_configuration_are_refused(
    shards: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_shards([str(shards("grid", **changes))], {"grid": GRID})


@pytest.mark.parametrize(
    "asked",
    [
        Subset(),
        Subset(items=2),
        Subset(items=5),
        Subset(per_class=3),
        Subset(items=3, per_class=1),
        Subset(items=3, seed=1),
    ],
)
def test_shards_of_a_subset_serve_no_other(shards: Callable[..., Path], asked: Subset) -> None:
    part = GRID.model_copy(update={"subset": Subset(items=3)})
    folder = str(shards("grid", dataset=science(IndexStage(name="grid", dataset=part))["dataset"]))
    assert find_shards([folder], {"grid": part}).keys() == {"grid"}
    with pytest.raises(
        UserError, match="hold a subset of grid, 3 items in each part of a split, drawn by seed 0; prepare"
    ):
        find_shards([folder], {"grid": GRID.model_copy(update={"subset": asked})})
