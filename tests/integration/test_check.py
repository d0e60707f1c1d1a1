"""The regression check passes on what it was made from, and fails when pseudo-labels are permuted."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.integration.helpers import PICO, own_reference, xdcbench
from xdcbench.cli.check import CANNOT_TELL, MOVED, PASSED, check_against
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.pretraining.learner import Learner
from xdcbench.pretraining.pseudo_labels import UNLABELLED, PseudoLabels
from xdcbench.results.records import read_records
from xdcbench.results.regression.reference import load_reference, write_reference
from xdcbench.results.run_store import RunStore


def request_for(out: Path) -> Request:
    return Request(
        suite=str(PICO), results=out, device="cpu", precision="fp32", overrides=("methods.xdc.title=XDC",)
    )


@pytest.fixture(scope="module")
def reference(pico: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference of pico's own numbers, with a spread for them: to measure one would take pico ten times."""
    path = tmp_path_factory.mktemp("reference") / "pico.json"
    write_reference(path, own_reference(plan_launch(request_for(pico))))
    return path


@pytest.mark.slow
def test_a_calibrated_reference_holds_for_its_own_runs(tmp_path: Path) -> None:
    path, words = tmp_path / "pico.json", ("check", "--suite", PICO, "--tiers", "trained")
    update = ("--update", "--calibrate", 3, "--reason", "a test", "--results", tmp_path / "first")
    done = xdcbench(*words, "--baseline", path, *update, env=os.environ | {"CI": ""})
    assert done.returncode == 0, done.stderr
    assert "pico: trained: over 3 seeds with " in done.stdout
    kept = load_reference(path)
    assert kept.seeds == (0, 1, 2) and any(spread.deviation for spread in kept.values.values())
    assert any(kept.wrong.values())
    done = xdcbench(*words, "--baseline", path, "--results", tmp_path / "second")
    assert done.returncode == PASSED, done.stdout


def test_passes_on_its_own_numbers(pico: Path, reference: Path, tmp_path: Path) -> None:
    out = shutil.copytree(pico, tmp_path / "out")
    done = xdcbench("check", "--suite", PICO, "--results", out, "--baseline", reference)
    assert done.returncode == PASSED, done.stdout
    assert "0 moved beyond tolerance" in done.stdout


def test_cannot_tell_without_a_reference(pico: Path, tmp_path: Path) -> None:
    done = xdcbench("check", "--suite", PICO, "--results", pico, "--baseline", tmp_path / "none.json")
    assert done.returncode == CANNOT_TELL
    assert "--update" in done.stderr


def test_cannot_tell_from_other_settings(pico: Path, reference: Path) -> None:
    done = xdcbench(
        "check", "--suite", PICO, "--results", pico, "--baseline", reference, "--set", "pretrain.k=4"
    )
    assert done.returncode == CANNOT_TELL
    assert "other settings" in done.stderr


def permuted(labels: PseudoLabels) -> PseudoLabels:
    """The same pseudo-labels on other items: sizes stay, meaning goes."""
    rng = np.random.default_rng(0)
    for name in labels.facts:
        of = labels.of[name]
        there = np.flatnonzero(of != UNLABELLED)
        of[there] = of[rng.permutation(there)]
    return labels


@pytest.mark.slow
def test_fails_when_pseudo_labels_are_permuted(
    pico: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(pico, out)
    for folder in out.glob("runs/*"):
        if folder.name.split("-")[0] not in ("world", "index", "init"):
            shutil.rmtree(folder)
    begin = Learner.__init__
    monkeypatch.setattr(
        Learner, "__init__", lambda self, config, labels, *rest: begin(self, config, permuted(labels), *rest)
    )
    request = Request(suite=str(PICO), results=out, device="cpu", precision="fp32")
    lines, code, *_ = check_against(request, reference)
    assert code == MOVED
    assert any("; with another seed " in line for line in lines)
    assert accuracy(out) < accuracy(pico) - 0.05, "labels without meaning are harder to learn"


def accuracy(out: Path) -> float:
    """Mean accuracy on pseudo-labels over heads and rounds."""
    found = read_records([RunStore(out, write=False)])
    return float(np.mean([r.value for r in found if r.metric.endswith("_accuracy")]))
