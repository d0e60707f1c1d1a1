"""One suite, end to end, through the command line."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.integration.helpers import PICO, one_thread, records, xdcbench
from xdcbench.utils.manifest import write_manifest


def run(out: Path, *words: object) -> str:
    done = xdcbench("run", "--suite", PICO, "--results", out, "--device", "cpu", *words, env=one_thread())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tables_in_five_formats(pico: Path) -> None:
    written = {path.name for path in (pico / "tables" / "pico").iterdir()}
    assert written == {f"{t}.{f}" for t in ("table5", "table7") for f in ("md", "tex", "csv", "html", "txt")}
    cells = pd.read_csv(pico / "tables" / "pico" / "table7.csv")
    measured = cells[cells["group"] == "measured (synthetic data)"]
    assert set(measured["method"]) == {"Scratch", "XDC"}
    assert measured["runs"].str.split().str.len().eq(2).all(), "the mean over two folds names both runs"
    assert cells[cells["group"] == "published"]["status"].isin(["verified", "unverified"]).all()


def test_a_round_keeps_what_it_made(pico: Path) -> None:
    rounds = sorted(pico.glob("runs/round-*"))
    assert len(rounds) == 2
    for folder in rounds:
        assignments = pd.read_parquet(folder / "assignments.parquet")
        index = json.loads((folder / "run.json").read_text())["inputs"]["data"]
        items = pd.read_feather(pico / "runs" / index / "items.arrow")
        train = items["split:official"] == "train"
        assert assignments["id"].tolist() == items["id"].tolist()
        for name in ("a", "v"):
            assert assignments.loc[train, name].between(0, 2).all(), "every item is labeled exactly once"
            assert (assignments.loc[~train, name] == -1).all()
            assert load_file(folder / "centroids.safetensors")[name].shape[0] == 3
        for name in ("video", "audio", "video_heads", "audio_heads"):
            assert load_file(folder / f"{name}.safetensors")


def test_a_second_run_only_prints_tables(pico: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pico.glob("runs/*")}
    assert "26 kept" in run(pico)
    assert {path: path.stat().st_mtime_ns for path in pico.glob("runs/*")} == before


def test_one_changed_setting_runs_one_evaluation(pico: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(pico, out)
    assert "24 kept, 2 done" not in run(out, "--set", "evaluations.finetune.num_clips=3", "--dry-run")
    said = run(out, "--set", "evaluations.finetune.num_clips=3")
    assert "2 done, 24 kept" in said
    new = set(records(out)) - set(records(pico))
    assert {key.split("-")[0] for key in new} == {"finetune"}


def test_another_seed_runs_what_hangs_on_it(pico: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(pico, out)
    said = xdcbench("run", "--suite", PICO, "--results", out, "--seeds", "0,1", "--dry-run").stdout
    to_do = [line.split() for line in said.splitlines() if line.startswith("to do")]
    assert to_do
    assert all("seed1" in name for *_, name in to_do)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [2, 20])
def test_unreadable_files_are_counted_and_named(pico: Path, tmp_path: Path, broken: int) -> None:
    """A few are skipped and stand in the record; too many fail the stage with one message."""
    out = tmp_path / "out"
    shutil.copytree(pico, out)
    world = next(out.glob("runs/world-*"))
    for run_folder in out.glob("runs/*"):
        if run_folder != world and run_folder.name.split("-")[0] != "init":
            shutil.rmtree(run_folder)
    victims = sorted((world / "kinetics400" / "train").glob("*/*.mp4"))[:broken]
    for path in victims:
        path.write_bytes(b"not a video")
    write_manifest(world)  # as of a dataset that came so
    done = xdcbench("run", "--suite", PICO, "--results", out, "--filter", "xdc/*/round1", env=one_thread())
    if broken == 20:
        assert done.returncode == 1
        assert "20 of 48 files are unreadable" in done.stdout
        assert victims[0].name in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert all(path.name in done.stderr for path in victims)
        rows = next(rows for key, rows in records(out).items() if key.startswith("round"))
        assert {(r["items_expected"], r["items_used"], r["items_failed"]) for r in rows} == {(42, 40, 2)}


def test_intervals_come_from_the_predictions(pico: Path) -> None:
    plain = xdcbench("table", "table7", "--results", pico, "--format", "csv").stdout
    said = xdcbench("table", "table7", "--results", pico, "--format", "csv", "--intervals").stdout
    assert plain == said, "numbers of few items have theirs without being asked for"
    cells = pd.read_csv(StringIO(said))
    measured = cells[cells["group"].str.startswith("measured") & (cells["column"] == "ESC-50")]
    assert len(measured) == 2
    assert (measured["low"] <= measured["value"]).all() and (measured["value"] <= measured["high"]).all()
    assert (measured["low"] < measured["high"]).all()


def test_two_methods_are_compared_on_their_predictions(pico: Path) -> None:
    asked = ("compare", "xdc", "scratch", "--results", pico, "--evaluation", "audio_svm")
    assert "xdc − scratch" in xdcbench(*asked).stdout
    done = xdcbench(*asked, "--details")
    assert done.returncode == 0, done.stderr
    assert "audio_svm on ESC-50, top1" in done.stdout
    said = " ".join(done.stdout.split())
    assert "on ESC-50 split 1 (" in said and "on ESC-50 split 2 (" in said
    assert "1 pretraining seed: says nothing about other seeds" in done.stdout
    missing = xdcbench("compare", "xdc", "cdc", "--results", pico)
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1
