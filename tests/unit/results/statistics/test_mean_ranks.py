"""Mean ranks, Friedman's test and the critical difference, against Demšar (2006) and SciPy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from tests.unit.results.statistics.made_runs import Measure
from xdcbench.errors import UserError
from xdcbench.results.statistics.compare import Block, compare
from xdcbench.results.statistics.mean_ranks import MeanRanks, mean_ranks
from xdcbench.results.statistics.rank_figure import write_figure

NAMES = ["a", "b", "c", "d"]
RIGHT = {"one": (30, 20, 20, 5), "two": (31, 22, 18, 9), "three": (29, 30, 12, 8), "four": (39, 25, 14, 3)}


@pytest.fixture
def blocks(out: Path, measure: Measure) -> list[Block]:
    for dataset, counts in RIGHT.items():
        for name, n in zip(NAMES, counts, strict=True):
            measure(name, [True] * n + [False] * (40 - n), run=f"{dataset}-{name}", dataset=dataset)
    measure("a", [True] * 40, run="e-a", dataset="five")
    measure("b", [True] * 40, run="e-b", dataset="five")
    return compare(NAMES, [out])


def test_ranks_by_hand(blocks: list[Block]) -> None:
    """Ranks: 1 2.5 2.5 4; 1 2 3 4; 2 1 3 4; 1 2 3 4. The dataset that two methods have does not count."""
    found = mean_ranks(blocks, NAMES)
    assert found.ranks == {"a": 1.25, "b": 1.875, "c": 2.875, "d": 4.0}
    assert len(found.evaluations) == found.datasets == 4
    assert found.p == pytest.approx(friedmanchisquare(*np.array(list(RIGHT.values())).T).pvalue)


def test_the_critical_difference_is_demsars(blocks: list[Block]) -> None:
    """His table 5 gives q = 2.569 for four methods at 0.05; his example, 14 data sets, gives 1.25."""
    assert mean_ranks(blocks, NAMES).critical == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 4)), abs=1e-3)
    assert 2.569 * np.sqrt(4 * 5 / (6 * 14)) == pytest.approx(1.25, abs=0.01)


def test_sets_that_are_not_told_apart() -> None:
    ranks = MeanRanks({"d": 4.0, "a": 1.0, "b": 2.0, "c": 2.5}, 0.01, 1.6, ("x", "y"), 2)
    assert ranks.alike == [("a", "b", "c"), ("c", "d")]
    assert MeanRanks({"a": 1.0, "b": 3.0}, 0.01, 1.6, ("x",), 1).alike == []


def test_methods_that_are_equal_everywhere(out: Path, measure: Measure) -> None:
    for dataset in ("one", "two"):
        for name in "abc":
            measure(name, [True] * 20 + [False] * 20, run=f"{dataset}-{name}", dataset=dataset)
    assert mean_ranks(compare(list("abc"), [out]), list("abc")).p == 1.0


def test_too_few_are_told(blocks: list[Block]) -> None:
    with pytest.raises(
        UserError, match=r"3 methods or more over 2 evaluations .* 2 methods have 5 in common"
    ):
        mean_ranks(blocks, NAMES[:2])
    with pytest.raises(UserError, match="4 methods have 1 in common"):
        mean_ranks(blocks[1:2], NAMES)


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_the_figure_names_every_method(tmp_path: Path, suffix: str) -> None:
    ranks = MeanRanks({"$x": 1.0, "b_{": 2.0, "c": 3.0}, 0.01, 1.6, ("x", "y"), 2)
    path = tmp_path / f"ranks.{suffix}"
    write_figure(ranks, path)
    first = path.read_bytes()
    write_figure(ranks, path)
    assert path.read_bytes() == first
    if suffix == "svg":
        assert all(text in first.decode() for text in ("$x  1.00", "b_{  2.00", "3.00  c", "Friedman p 0.01"))


def test_another_kind_of_figure_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ranks\.png: the name must end in \.svg or \.pdf"):
        write_figure(MeanRanks({"a": 1.0}, 1.0, 1.0, ("x",), 1), tmp_path / "ranks.png")
