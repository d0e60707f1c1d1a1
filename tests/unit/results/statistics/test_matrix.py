"""What `compare` prints first: one table of all methods and evaluations, each note once."""

from pathlib import Path

import pytest

from tests.unit.results.statistics.made_runs import Measure, rights
from xdcbench.results.statistics.compare import compare
from xdcbench.results.statistics.matrix import matrix_text


@pytest.fixture
def three(out: Path, measure: Measure) -> Path:
    """Three methods on two datasets; on the second, one is missing."""
    for name, n in (("xdc", 36), ("cdc", 34), ("sdc", 10)):
        right = [True] * n + [False] * (40 - n)
        measure(name, right, run=f"u-{name}")
        if name != "cdc":
            measure(name, right, run=f"p-{name}", evaluation="probe", dataset="hmdb51")
    return out


def test_numbers_then_differences_with_marks(three: Path) -> None:
    names = ["xdc", "cdc", "sdc"]
    lines = matrix_text(compare(names, [three]), names, "txt").splitlines()
    cells = [line.split("  ") for line in lines if line and not line.startswith(" ")]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in cells]
    assert rows[0] == ["top-1 compared on the same test items"]
    assert rows[1] == ["method", "finetune on UCF101", "probe on HMDB51"]
    assert rows[3:] == [
        ["[top-1 (%)]"],
        ["xdc", "90.0", "90.0"],
        ["cdc", "85.0", "—"],
        ["sdc", "25.0", "25.0"],
        ["[difference (points)]"],
        ["xdc − cdc", "+5.0", "—"],
        ["xdc − sdc", "+65.0*", "+65.0*"],
    ]


def test_more_evaluations_than_methods_and_pairs_are_rows(out: Path, measure: Measure) -> None:
    for n in range(4):
        for name, right in (("xdc", 36), ("sdc", 10)):
            rights_of = [True] * right + [False] * (40 - right)
            measure(name, rights_of, run=f"{name}{n}", evaluation=f"probe{n}")
    names = ["xdc", "sdc"]
    text = matrix_text(compare(names, [out]), names, "txt")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith(" ")]
    assert rows[1] == ["evaluation", "xdc", "sdc", "xdc", "−", "sdc", "items", "splits", "seeds"]
    assert rows[4:] == [
        [f"probe{n}", "on", "UCF101", "90.0", "25.0", "+65.0*", "40", "1", "1"] for n in range(4)
    ]
    assert "Test items in common" not in text, "each row says its own"


def test_a_note_is_said_once(three: Path) -> None:
    names = ["xdc", "cdc", "sdc"]
    text = matrix_text(compare(names, [three]), names, "txt", details=True)
    assert text.count("1 pretraining seed: says nothing about other seeds.") == 1
    assert text.count("not measured for cdc: probe on HMDB51.") == 1
    assert "finetune on UCF101 40 (split 1; 1 seed); probe on HMDB51 40 (split 1; 1 seed)." in text
    assert "McNemar p" in text
    assert "McNemar p" not in matrix_text(compare(names, [three]), names, "txt")


def test_markdown_and_latex(three: Path) -> None:
    names = ["xdc", "sdc"]
    blocks = compare(names, [three])
    assert "| xdc − sdc" in matrix_text(blocks, names, "md") and "+65.0\\*" in matrix_text(
        blocks, names, "md"
    )
    tex = matrix_text(blocks, names, "tex")
    assert "retain-explicit-plus" in tex, "siunitx leaves a plus out"
    assert r"xdc $-$ sdc & +65.0 {*} & +65.0 {*} \\" in tex and r"\footnotesize * p" in tex


def test_seeds_are_one_difference(out: Path, measure: Measure) -> None:
    """Six seeds reach the level, three do not."""
    for n, mark in ((3, ""), (6, "*")):
        for seed in range(n if n == 3 else 3, n) if n == 6 else range(3):
            measure("xdc", rights(0.9, seed), pretrain_seed=seed, seed=seed)
            measure("sdc", rights(0.4, 10 + seed), pretrain_seed=seed, seed=seed)
        blocks = compare(["xdc", "sdc"], [out])
        mean = blocks[0].comparisons[0].overall
        assert mean is not None
        (line,) = (
            line for line in matrix_text(blocks, ["xdc", "sdc"], "txt").splitlines() if "xdc − sdc" in line
        )
        assert line.split()[-1] == f"+{mean.difference:.1f}{mark}"
