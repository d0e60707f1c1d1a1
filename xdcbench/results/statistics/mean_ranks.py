"""Methods ranked over data sets: Friedman's test and Nemenyi's critical difference (Demšar 2006)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from xdcbench.errors import UserError
from xdcbench.results.statistics.compare import Block
from xdcbench.results.statistics.significance import LEVEL

FEWEST_METHODS, FEWEST_BLOCKS = 3, 2


@dataclass(frozen=True)
class MeanRanks:
    """Mean rank of each method, from 1, the best, over evaluations in which all were measured.

    ``p`` is Friedman's. Methods whose ranks differ by less than ``critical`` are not told apart at ``LEVEL``.
    ``evaluations`` names what was ranked, on so many ``datasets``.
    """

    ranks: dict[str, float]
    p: float
    critical: float
    evaluations: tuple[str, ...]
    datasets: int

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """The largest sets of methods that are not told apart, each from its best to its worst."""
        names = sorted(self.ranks, key=self.ranks.__getitem__)
        sets: list[tuple[str, ...]] = []
        for i, first in enumerate(names):
            near = tuple(n for n in names[i:] if self.ranks[n] - self.ranks[first] < self.critical)
            if len(near) > 1 and not (sets and set(near) <= set(sets[-1])):
                sets.append(near)
        return sets


def mean_ranks(blocks: Sequence[Block], names: Sequence[str]) -> MeanRanks:
    """Rank ``names`` in each block that has all of them; equal numbers share the mean of their ranks.

    Raises:
        UserError: fewer than three methods, or than two such blocks.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    shared = [block for block in blocks if block.values.keys() >= set(names)]
    if len(names) < FEWEST_METHODS or len(shared) < FEWEST_BLOCKS:
        raise UserError(
            f"--figure ranks {FEWEST_METHODS} methods or more over {FEWEST_BLOCKS} evaluations or more that all of "
            f"them have; {len(names)} methods have {len(shared)} in common. Try: name more methods, or leave out "
            f"--dataset and --evaluation"
        )
    values = np.array([[block.values[name] for name in names] for block in shared])
    ranks = rankdata(-values, axis=1)
    n, k = values.shape
    tied = bool((ranks == ranks[:, :1]).all())
    return MeanRanks(
        dict(zip(names, ranks.mean(axis=0).tolist(), strict=True)),
        1.0 if tied else float(friedmanchisquare(*values.T).pvalue),
        float(studentized_range.ppf(1 - LEVEL, k, np.inf)) / sqrt(2) * sqrt(k * (k + 1) / (6 * n)),
        tuple(block.name for block in shared),
        len({block.dataset for block in shared}),
    )
