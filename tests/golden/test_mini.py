"""The page on `mini` and its kin says what kept records give, by other code: NumPy, SciPy and statsmodels.

To accept records of a new run, write them and the differences to ``baselines/mini``, as docs/explanation/mini.md says,
and run this file once with ``XDCBENCH_GOLDEN=write``.
"""

import csv
import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import permutation_test, t
from statsmodels.stats.multitest import multipletests

from tests.conftest import ROOT
from xdcbench.results.records import read_record_file

KEPT = ROOT / "baselines" / "mini"
METHODS = {
    "scratch": "scratch",
    "sdc": "SDC",
    "mdc": "MDC",
    "cdc": "CDC",
    "xdc": "XDC",
    "supervised": "supervised",
}
EVALUATIONS = {
    "linear_probe": "video, linear probe",
    "finetune": "video, finetuned",
    "audio_probe": "audio, linear probe",
    "audio_svm": "audio, SVM",
}
CLUSTERINGS = [
    ("sdc", "v"),
    ("mdc", "v"),
    ("xdc", "v"),
    ("sdc", "a"),
    ("mdc", "a"),
    ("xdc", "a"),
    ("cdc", "joint"),
]


def page() -> Path:
    (found,) = ROOT.glob("docs/**/mini.md")
    return found


@cache
def top1() -> dict[tuple[str, str], np.ndarray]:
    """Per cent of each seed, mean over splits, float64 (10,), by evaluation and method."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for record in read_record_file(KEPT / "records.jsonl.gz"):
        if record.metric == "top1":
            found[record.evaluation, record.method, record.pretrain_seed].append(record.value)
    seeds = sorted({seed for *_, seed in found})
    return {
        (e, m): np.array([np.mean(found[e, m, seed]) for seed in seeds]) for e in EVALUATIONS for m in METHODS
    }


def interval(of: np.ndarray) -> str:
    half = t.ppf(0.975, len(of) - 1) * of.std(ddof=1) / np.sqrt(len(of))
    return f"{of.mean():.1f} [{of.mean() - half:.1f}, {of.mean() + half:.1f}]"


def accuracies() -> Iterator[str]:
    """The table of means over seeds with t intervals."""
    yield "| method | " + " | ".join(EVALUATIONS.values()) + " |"
    yield "|---" * (1 + len(EVALUATIONS)) + "|"
    for method, title in METHODS.items():
        yield f"| {title} | " + " | ".join(interval(top1()[e, method]) for e in EVALUATIONS) + " |"


@cache
def differences() -> dict[tuple[str, str, str], dict[str, float]]:
    """What `xdcbench compare` said, by evaluation and pair."""
    with (KEPT / "differences.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ("difference", "low", "high", "p", "p_holm")
    return {(r["evaluation"], r["a"], r["b"]): {name: float(r[name]) for name in names} for r in rows}


def pairs() -> Iterator[str]:
    """The table of all pairs, the higher of the order first; a star where Holm rejects."""
    yield "| pair | " + " | ".join(EVALUATIONS.values()) + " |"
    yield "|---" * (1 + len(EVALUATIONS)) + "|"
    for b, a in itertools.combinations(METHODS, 2):
        cells = []
        for evaluation in EVALUATIONS:
            sign = 1 if (evaluation, a, b) in differences() else -1
            of = differences()[(evaluation, a, b) if sign == 1 else (evaluation, b, a)]
            low, high = sorted((sign * of["low"], sign * of["high"]))
            star = " *" if of["p_holm"] < 0.05 else ""
            cells.append(f"{sign * of['difference']:+.1f} [{low:.1f}, {high:.1f}]{star}")
        yield f"| {METHODS[a]} − {METHODS[b]} | " + " | ".join(cells) + " |"


def agreement() -> Iterator[str]:
    """The table of NMI with the class by round, mean and deviation over seeds."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for r in read_record_file(KEPT / "records.jsonl.gz"):
        if r.metric == "nmi_class":
            found[r.method, r.hyperparameters["clustering"], r.hyperparameters["round"]].append(r.value)
    yield "| clusters of | round 1 | 2 | 3 | 4 | 5 | 6 |"
    yield "|---" * 7 + "|"
    for method, clustering in CLUSTERINGS:
        of = [np.array(found[method, clustering, n]) for n in range(1, 7)]
        features = {"v": "video", "a": "audio", "joint": "both"}[clustering]
        cells = " | ".join(f"{x.mean():.2f} ± {x.std(ddof=1):.2f}" for x in of)
        yield f"| {METHODS[method]}, {features} | {cells} |"


ENCODERS = {
    ("scratch", "none"): "scratch",
    ("supervised", "kinetics_1x"): "supervised, 20 labeled items per class",
    ("xdc", "kinetics_1x"): "XDC, 20 items per class",
    ("xdc", "kinetics_4x"): "XDC, 80 items per class",
    ("xdc", "kinetics_16x"): "XDC, 320 items per class",
    ("xdc", "ig_random"): "XDC, 800 uncurated items",
    ("sdc", "kinetics_4x"): "SDC, 80 items per class",
    ("same-modality", "kinetics_4x"): "SDC's clusters of the own modality, 80 items per class",
}


def scale() -> Iterator[str]:
    """The table of few labels downstream: mean and deviation over seeds, of means over draws and folds."""
    found: dict[tuple[str, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for r in read_record_file(KEPT / "scale.jsonl.gz"):
        if r.metric == "top1":
            key = (r.method, r.pretrain_data, r.evaluation, str(r.hyperparameters["shots"]))
            found[key][r.pretrain_seed].append(r.value)
    columns = [(e, n) for e in ("low_shot", "audio_low_shot") for n in ("1", "5", "20")]
    yield "| pretraining | video, 1 per class | 5 | 20 | audio, 1 per class | 5 | 20 |"
    yield "|---" * 7 + "|"
    for encoder, title in ENCODERS.items():
        of = [np.array([np.mean(x) for x in found[(*encoder, *column)].values()]) for column in columns]
        yield f"| {title} | " + " | ".join(f"{x.mean():.1f} ± {x.std(ddof=1):.1f}" for x in of) + " |"


def strengths() -> Iterator[str]:
    """The table of the grid: video and audio of every method, mean over seeds, by the world's strengths."""
    found: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for r in read_record_file(KEPT / "strengths.jsonl.gz"):
        if r.metric == "top1":
            world = (r.hyperparameters[name] for name in ("nuisances", "appearance", "timing"))
            found[(*world, r.method, r.evaluation)].append(r.value)
    yield "| nuisances | hue, pitch | motion, rhythm | " + " | ".join(METHODS.values()) + " |"
    yield "|---" * (3 + len(METHODS)) + "|"
    for world in sorted({key[:3] for key in found}, key=lambda of: (of[2] != 1, of)):
        of = ([found[(*world, m, e)] for e in ("linear_probe", "audio_probe")] for m in METHODS)
        cells = " | ".join(" / ".join(f"{np.mean(x):.0f}" for x in pair) for pair in of)
        yield "| " + " | ".join(f"{x:g}" for x in world) + f" | {cells} |"


TABLES = {
    "accuracies": accuracies,
    "pairs": pairs,
    "agreement": agreement,
    "scale": scale,
    "strengths": strengths,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_page_is_that_of_the_records(name: str) -> None:
    text, wanted = page().read_text(encoding="utf-8"), "\n".join(TABLES[name]())
    block = re.compile(rf"(<!-- {name} -->\n).*?(?=\n<!-- end -->)", re.S)
    if os.environ.get("XDCBENCH_GOLDEN") == "write":
        text = block.sub(lambda found: found[1] + wanted, text)
        page().write_text(text, encoding="utf-8")
    found = block.search(text)
    assert found and found[0].split("\n", 1)[1] == wanted


def test_ten_seeds_of_every_method_and_evaluation() -> None:
    assert {len(of) for of in top1().values()} == {10}
    assert len(differences()) == 15 * len(EVALUATIONS)


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_differences_and_p_values_are_those_of_the_records(evaluation: str) -> None:
    said = {(a, b): of for (e, a, b), of in differences().items() if e == evaluation}
    p = []
    for (a, b), of in said.items():
        x = top1()[evaluation, a] - top1()[evaluation, b]
        assert of["difference"] == pytest.approx(x.mean(), abs=1e-3)
        assert of["low"] < x.mean() < of["high"]
        flips = permutation_test((x,), np.mean, permutation_type="samples", n_resamples=np.inf)
        p.append(float(flips.pvalue))
        assert of["p"] == pytest.approx(p[-1], rel=1e-4)
    holm = multipletests(p, method="holm")[1]
    assert [of["p_holm"] for of in said.values()] == pytest.approx(list(holm), rel=1e-4)
