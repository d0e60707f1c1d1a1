import numpy as np
import pytest

from xdcbench.reports.clusters.matches import Match, agreement, matches


def test_by_hand() -> None:
    ours = np.array([0, 0, 0, 1, 1, np.nan])
    theirs = np.array([5, 5, 2, 2, -1, 3])
    assert matches(ours, theirs) == {0: Match(5, pytest.approx(2 / 3)), 1: Match(2, 1.0)}
    assert matches(theirs, ours)[2] == Match(0, 0.5), "of equal ones the lowest"


def test_agreement_ignores_numbers_and_items_that_one_lacks() -> None:
    ours = np.array([0, 0, 1, 1, np.nan])
    assert agreement(ours, 3 - ours) == pytest.approx(1.0)
    assert agreement(ours, np.array([0.0, 1, 0, 1, 7])) == pytest.approx(0.0, abs=1e-9)
    assert agreement(np.array([0.0, np.nan]), np.array([np.nan, 0.0])) is None
