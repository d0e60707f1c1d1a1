import re
from pathlib import Path

import pytest

from tests.unit.reports.leaderboard.made_board import write_board
from tests.unit.reports.results.made_results import EVIL
from xdcbench.errors import UserError
from xdcbench.reports.gather import gather
from xdcbench.reports.leaderboard.page import leaderboard_data, write_leaderboard
from xdcbench.results.run_store import RunStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_board(tmp_path_factory.mktemp("board") / "results")


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    said = list(write_leaderboard([folder], folder.parent / "page"))
    assert said == [f"leaderboard {folder.parent / 'page' / 'leaderboard.html'} (7 rows, 6 columns)"]
    return (folder.parent / "page" / "leaderboard.html").read_text()


def test_a_pure_function_of_the_records(folder: Path, page: str, tmp_path: Path) -> None:
    list(write_leaderboard([folder, folder], tmp_path / "again.html"))
    again = (tmp_path / "again.html").read_text()
    assert again.replace("results + results", "results") == page


def test_names_are_escaped_and_nothing_is_from_a_network(page: str) -> None:
    assert EVIL not in page
    assert "&lt;script&gt;document.title=" in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_rows_say_what_they_are_filtered_by(folder: Path) -> None:
    data = leaderboard_data(gather([folder]))
    licenses = {(row["title"], row["data"]): row["license"] for row in data["rows"]}
    assert licenses[("XDC", "AudioSet")] == "own"
    assert licenses[("r3d_18", "Kinetics-400")] == "BSD-3-Clause"
    assert licenses[(EVIL, "youtube")] == "not stated"
    assert data["filters"]["modality"]["values"] == ["audio", "video"]
    assert data["filters"]["backbone"]["values"] == [
        "R(2+1)D-18",
        "R(2+1)D-18, ResNet-18 (audio)",
        "mvit_v2_s",
        "torchvision:r3d_18",
    ]


def test_best_mean_rank_first_and_every_number_has_a_panel(folder: Path) -> None:
    data = leaderboard_data(gather([folder]))
    ranks = [row["ranks"][0]["value"] for row in data["rows"]]
    assert ranks == sorted(ranks)
    anchors = [cell["anchor"] for row in data["rows"] for cell in row["cells"] if cell]
    assert sorted(anchors) == sorted(panel["anchor"] for panel in data["panels"])
    finetuned = next(p for p in data["panels"] if p["name"] == "XDC, AudioSet" and "finetune" in p["what"])
    titles = [record["title"] for record in finetuned["records"]]
    assert titles == [f"split {split}, seed {seed}" for split in "123" for seed in (0, 1)]
    number = finetuned["records"][0]["sections"]["Number"]
    assert number["run"] == "finetune-ucf101-000000001"
    assert number["config hash"] == "r"
    assert finetuned["records"][0]["sections"]["Test items"]["used"] == "400"


def test_intervals_and_item_counts_stand_in_the_cells(folder: Path) -> None:
    data = leaderboard_data(gather([folder]))
    cells = [cell for row in data["rows"] for cell in row["cells"] if cell]
    shares = [cell for cell in cells if cell["interval"]]
    assert len(cells) - len(shares) == 4, "mAP has no interval"
    assert all(0 <= cell["bar"]["left"] <= cell["bar"]["at"] <= 100 for cell in shares)
    short = [cell for cell in cells if cell["short"]]
    assert [(cell["items"], cell["expected"]) for cell in short] == [("297 items", "300")]


def test_a_folder_without_runs(tmp_path: Path) -> None:
    RunStore(tmp_path / "results")
    list(write_leaderboard([tmp_path / "results"], tmp_path))
    assert "Nothing is measured here yet." in (tmp_path / "leaderboard.html").read_text()


def test_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a results folder"):
        list(write_leaderboard([tmp_path], tmp_path))
