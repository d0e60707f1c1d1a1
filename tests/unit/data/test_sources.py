import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xdcbench.config import load_dataset, load_suite
from xdcbench.data import sources
from xdcbench.data.prepared.layout import Label, Settings
from xdcbench.data.scan import Scan, fingerprint, scan
from xdcbench.data.sources import find_source, find_stores, root_of, stamps, used_datasets
from xdcbench.errors import UserError
from xdcbench.schema import Dataset, Subset
from xdcbench.stages import IndexStage, science

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

    def spy(root: Path, dataset: Dataset) -> Scan:
        roots.append(root)
        return scan(root, dataset)

    monkeypatch.setattr(sources, "scan", spy)
    return roots


def test_used_datasets_are_those_learned_from_or_measured_on() -> None:
    suite = load_suite("mini", overrides=["pretrain.rounds=1"])
    assert used_datasets(suite) == ["kinetics400"]
    assert used_datasets(load_suite("real-small")) == ["esc10", "grid"]
    assert used_datasets(load_suite("real-small", methods=["scratch"])) == ["esc10", "grid"]
    smoke = load_suite("smoke", methods=["scratch"])
    assert used_datasets(smoke) == ["dcase", "esc50", "hmdb51", "kinetics400", "ucf101"]


def test_own_root_comes_before_the_data_root() -> None:
    own = GRID.model_copy(update={"root": "/own"})
    assert root_of(GRID, None) is None
    assert root_of(GRID, Path("/data")) == Path("/data/grid")
    assert root_of(own, Path("/data")) == root_of(own, None) == Path("/own")


def test_data_set_without_a_place_is_unavailable() -> None:
    source = find_source("grid", GRID, None, cache=None)
    assert source.fingerprint is None
    assert source.unavailable == "no place given for grid; give --data-root or --set datasets.grid.root=DIR"


def test_data_set_without_its_folder_is_unavailable(tmp_path: Path) -> None:
    source = find_source("grid", GRID, tmp_path, cache=None)
    assert source.fingerprint is None
    assert source.unavailable == f"no folder {tmp_path / 'grid'} for grid"


def test_folder_that_does_not_fit_is_a_mistake(data: Path) -> None:
    (data / "grid" / "labels.csv").unlink()
    with pytest.raises(UserError, match=r"no list .*labels\.csv"):
        find_source("grid", GRID, data, cache=None)


def test_fingerprint_is_that_of_the_scan(data: Path) -> None:
    source = find_source("grid", GRID, data, cache=None)
    assert source.fingerprint == fingerprint(scan(data / "grid", GRID))
    assert source.unavailable == ""


def test_second_look_trusts_the_first(data: Path, tmp_path: Path, scans: list[Path]) -> None:
    cache = tmp_path / "results" / "cache"
    first = find_source("grid", GRID, data, cache=cache)
    assert find_source("grid", GRID, data, cache=cache) == first
    assert scans == [data / "grid"]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 80, b'{"fingerp', b"[]", b"{}", b'{"fingerprint": 3, "stamps": {}}']
)
def test_a_damaged_scan_is_made_again(data: Path, tmp_path: Path, scans: list[Path], content: bytes) -> None:
    first = find_source("grid", GRID, data, cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(content)
    assert find_source("grid", GRID, data, cache=tmp_path / "cache") == first
    assert entry.read_bytes() == whole and len(scans) == 2


def test_without_a_cache_every_look_scans(data: Path, scans: list[Path]) -> None:
    for _ in range(2):
        find_source("grid", GRID, data, cache=None)
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
    find_source("grid", GRID, data, cache=tmp_path)
    change(data / "grid")
    source = find_source("grid", GRID, data, cache=tmp_path)
    assert len(scans) == 2
    assert source.fingerprint == fingerprint(scan(data / "grid", GRID))
    assert find_source("grid", GRID, data, cache=tmp_path) == source
    assert len(scans) == 2


def test_folder_that_went_is_seen(data: Path, tmp_path: Path, scans: list[Path]) -> None:
    find_source("grid", GRID, data, cache=tmp_path)
    remove_folder(data / "grid")
    with pytest.raises(UserError, match="no video file"):
        find_source("grid", GRID, data, cache=tmp_path)
    assert len(scans) == 2


def test_other_settings_are_another_scan(data: Path, tmp_path: Path, scans: list[Path]) -> None:
    subset = GRID.model_copy(update={"subset": Subset(per_class=1)})
    titled = GRID.model_copy(update={"title": "another"})
    for dataset in (GRID, subset, titled):
        find_source("grid", dataset, data, cache=tmp_path)
    assert len(scans) == 2


def test_stamps_are_times_of_change_or_say_gone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    os.utime(path, ns=(5, 7))
    gone = str(tmp_path / "b")
    assert stamps([gone, str(path)]) == {str(path): 7, gone: -1}


# ------------------------------------------------------------------------------------ prepared stores


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    """Writes the label of a store of GRID, without items."""

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
            "settings": Settings(),
            "source_fingerprint": "s",
            "fingerprint": "f",
            "items_sha256": "",
            "versions": {},
            "shards": (),
        }
        Label(**(fields | changes)).save(folder)
        return folder

    return write


def test_a_store_is_found_by_its_folder_and_by_the_folder_above(store: Callable[..., Path]) -> None:
    folder = store("stores/grid")
    for place in (folder, folder.parent, f"{folder.parent}/"):
        found = find_stores([str(place)], {"esc10": load_dataset("esc10"), "grid": GRID})
        assert found.keys() == {"grid"} and found["grid"].where == str(folder)


def test_two_stores_of_one_data_set_are_refused(store: Callable[..., Path]) -> None:
    places = [str(store("one/grid")), str(store("two").parent / "one")]
    with pytest.raises(UserError, match="both hold grid; give one of them"):
        find_stores([str(places[0]), places[1]], {"grid": GRID})


def test_no_store_is_refused_and_one_of_another_data_set_is_not_read(
    store: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        UserError, match=rf"--store {tmp_path}: no store\.json there, nor in a folder .* named grid"
    ):
        find_stores([str(tmp_path)], {"grid": GRID})
    folder = store("other", name="ucf101")
    assert find_stores([str(folder)], {"grid": GRID}) == {}
    assert "holds ucf101, which this suite does not use" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": {"adapter": "kinetics", "media": "video"}},
            "with adapter 'kinetics', and 'filelist' is asked",
        ),
        ({"splits": ("another",)}, "has no split .* of grid, only another; prepare another with it"),
        (
            {"dataset": science(IndexStage(name="grid", dataset=GRID))["dataset"] | {"subset": {"items": 3}}},
            "holds a subset of grid, 3 items in each part of a split",
        ),
    ],
)
def test_a_store_of_another_configuration_is_refused(
    store: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_stores([str(store("grid", **changes))], {"grid": GRID})


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
def test_a_store_of_a_subset_serves_no_other(store: Callable[..., Path], asked: Subset) -> None:
    part = GRID.model_copy(update={"subset": Subset(items=3)})
    folder = str(store("grid", dataset=science(IndexStage(name="grid", dataset=part))["dataset"]))
    assert find_stores([folder], {"grid": part}).keys() == {"grid"}
    with pytest.raises(
        UserError, match="holds a subset of grid, 3 items in each part of a split, drawn by seed 0; prepare"
    ):
        find_stores([folder], {"grid": GRID.model_copy(update={"subset": asked})})
