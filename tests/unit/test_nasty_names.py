"""Files and classes whose names act on screens: no output holds them raw, and what is stored holds them true."""

import json
import logging
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml

from tests.browser import galleries
from tests.unit.data.media.videos import write
from tests.unit.reports.results import made_results
from xdcbench.cli import main
from xdcbench.data.validation import statistics
from xdcbench.reports.results.page import write_report

NASTY = "x\x1b[31m\x07\x9b\n\r\u202e\u2066\u200fy"
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SHOWN = r"x\x1b[31m\x07\x9b\n\r\u202e\u2066\u200fy"

SUITE = """
datasets: {mine: {title: Mine, adapter: filelist, folder: mine, media: audio, splits: [only],
  options: {list: list.parquet, label: label, split: split}}}
models: {base: reduced}
evaluations: {audio_svm: {num_clips: 3, inner_folds: 2, precision: fp32}}
pretraining: [{methods: [scratch]}]
evaluate: [{evaluation: audio_svm, dataset: mine, splits: [only]}]
tables: []
"""


class Said(NamedTuple):
    code: int
    text: str


Command = Callable[..., Said]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two classes, one that is damaged, one that is missing and one in no list."""
    root = tmp_path_factory.mktemp("nasty") / "mine"
    audio = write(root.parent / "track.wav", video=None, audio="pcm_s16le")
    (root / f"d{NASTY}").mkdir(parents=True)
    names = [f"d{NASTY}/{i}{NASTY}.wav" for i in range(4)]
    for name in [*names[:3], f"extra{NASTY}.wav"]:
        shutil.copy(audio, root / name)
    (root / names[3]).write_bytes(b"no audio")
    rows = pd.DataFrame(
        {"path": [*names, f"gone{NASTY}.wav"], "label": [f"c{i}{NASTY}" for i in (0, 1, 0, 1, 2)]}
    )
    rows.assign(split=["train", "train", "test", "test", "train"]).to_parquet(root / "list.parquet")
    (root / f"nowhere{NASTY}").symlink_to("gone")
    return root


@pytest.fixture
def xdcbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line in this process, as its entry point does; all that it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["xdcbench", *map(str, words)])
        monkeypatch.setattr(
            logging.getLogger(), "handlers", []
        )  # those of pytest, which stand in for its own
        code = 0
        try:
            main.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, "".join(capfd.readouterr()))

    return call


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SUITE)["datasets"]["mine"]))
    return path


def clean(text: str) -> None:
    """A line of output may end, and nothing else in it acts."""
    found = RAW.search(text)
    assert found is None, ascii(text[max(0, found.start() - 60) : found.end() + 20])
    assert SHOWN in text
    assert not re.search(r"x\\x1b\[31m\\x07\\x9b\n", text)


def test_reports_of_data(xdcbench: Command, dataset: Path, mine: Path, tmp_path: Path) -> None:
    verified = xdcbench("data", "verify", dataset, "--root", mine, "--num-workers", 1)
    clean(verified.text)
    for word in ("missing", "extra", "undecodable"):
        assert word in verified.text
    assert verified.text.count(SHOWN) >= 7, "a warning, missing, two extras, undecodable twice, a class"
    clean(xdcbench("data", "stats", dataset, "--root", mine, "--num-workers", 1).text)
    overlap = xdcbench(
        "data", "overlap", dataset, dataset, "--root-a", mine, "--root-b", mine, "--part-b", "train"
    )
    clean(overlap.text)
    prepared = xdcbench(
        "data", "prepare", dataset, "--root", mine, "--output", tmp_path / "shards", "--num-workers", 1
    )
    clean(prepared.text)
    (folder,) = (tmp_path / "results/data").iterdir()
    kept = pd.read_parquet(folder / "items.parquet")
    assert set(kept["path"]) == set(pd.read_parquet(mine / "list.parquet")["path"])
    findings = json.loads((folder / "verify.json").read_text())["findings"]
    assert f"gone{NASTY}.wav" in {finding["path"] for finding in findings}
    for drawn in folder.glob("*.svg"):
        assert not RAW.search(drawn.read_text())


def test_the_figure_of_a_dataset(
    xdcbench: Command, dataset: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(statistics, "_short", lambda name, length=16: drawn.append(name) or name)
    xdcbench("data", "stats", dataset, "--root", mine, "--num-workers", 1)
    assert drawn
    assert all(SHOWN in name for name in drawn)


def test_logs_and_errors_of_a_run(xdcbench: Command, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    words = (
        "run",
        "--suite",
        "suite.yaml",
        "--data-root",
        mine.parent,
        "--filter",
        "index/*",
        "--device",
        "cpu",
    )
    failed = xdcbench(*words)
    assert failed.code == 1
    clean(failed.text)
    (error,) = (tmp_path / "results").rglob("error.txt")
    for path in (error, error.with_name("log.txt")):
        clean(path.read_text())
    assert error.read_text().count("\n") == 0
    clean(xdcbench("show", error.parents[1].name).text)
    done = xdcbench(*words, "--set", "datasets.mine.max_failed=0.5")
    assert done.code == 0
    clean(done.text)
    (log,) = (tmp_path / "results/runs").glob("index-*/log.txt")
    clean(log.read_text())
    items = pd.read_feather(log.with_name("items.arrow"))
    assert f"gone{NASTY}.wav" in set(items["path"]), "what is stored is true"


def test_a_mistake_is_one_line(xdcbench: Command, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / f"root{NASTY}").mkdir()
    said = xdcbench("data", "verify", dataset, "--root", tmp_path / f"root{NASTY}")
    assert (said.code, said.text.count("\n")) == (2, 1)
    clean(said.text)


def test_the_page_of_clusters(tmp_path: Path) -> None:
    page = galleries.write(tmp_path / "gallery", audio=2, video=2, each=3, classes=(NASTY, f"2{NASTY}"))
    clean((page if page.is_file() else page / "index.html").read_text(encoding="utf-8"))


def test_the_report_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_results, "EVIL", NASTY)
    monkeypatch.setitem(made_results.FACTS, "suite", NASTY)
    monkeypatch.setitem(made_results.RECORD, "suite", NASTY)
    folder = made_results.write(tmp_path / "results", right={"xdc": (150, 156), NASTY: (20,)})
    list(write_report([folder], None, tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    clean(text)
    assert text.count(SHOWN) > 10, "methods, suites, items that failed"
