from pathlib import Path

import pytest

from xdcbench.config import paths
from xdcbench.config.paths import find, folder, names
from xdcbench.errors import UserError
from xdcbench.utils.messages import comma_separated, unknown_name

PARTS = ("configs", "tables", "baselines")


@pytest.mark.parametrize("part", PARTS)
def test_folder_in_a_checkout_lies_beside_the_package(part: str) -> None:
    assert folder(part) == Path(paths.__file__).parents[2] / part


@pytest.mark.parametrize("part", PARTS)
def test_folder_when_installed_lies_inside_the_package(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "xdcbench"
    (package / "share" / part).mkdir(parents=True)
    (package.parent / part).mkdir()  # another project's folder of the same name
    monkeypatch.setattr(paths, "PACKAGE", package)
    assert folder(part) == package / "share" / part


def test_broken_installation_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "xdcbench")
    with pytest.raises(UserError, match="lacks its folder 'tables'; install"):
        folder("tables")


def test_find_by_name_and_by_path(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text("{}")
    (tmp_path / "note.txt").write_text("")
    assert names(tmp_path) == ["a", "b"]
    assert find(tmp_path, "a", what="part") == tmp_path / "a.yaml"
    assert find(tmp_path / "elsewhere", str(tmp_path / "b.yaml"), what="part") == tmp_path / "b.yaml"


def test_find_tells_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "smoke.yaml").write_text("{}")
    with pytest.raises(UserError, match="unknown part 'smoek'; did you mean 'smoke'"):
        find(tmp_path, "smoek", what="part")
    with pytest.raises(UserError, match=r"no file 'x\.yml' for a part; .* smoke"):
        find(tmp_path, "x.yml", what="part")


@pytest.mark.parametrize("name", ["../smoke", "", "/smoke"])
def test_a_name_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "smoke.yaml").write_text("{}")
    (tmp_path / "inner").mkdir()
    with pytest.raises(UserError, match="known: none"):
        find(tmp_path / "inner", name, what="part")


def test_unknown_names_the_nearest_or_all() -> None:
    assert unknown_name("key", "epohs", ["epochs", "lr"]) == "unknown key 'epohs'; did you mean 'epochs'?"
    assert unknown_name("key", "zzz", iter(["epochs", "lr"])) == "unknown key 'zzz'; known: epochs, lr"


def test_listing_has_a_word_for_nothing() -> None:
    assert comma_separated(["a", "b"]) == "a, b"
    assert comma_separated([]) == "none"
