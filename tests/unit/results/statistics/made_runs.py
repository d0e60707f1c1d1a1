"""Runs written by hand: predictions of which the truth is known, in a results folder."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from xdcbench.results.records import Record
from xdcbench.results.statistics.compare import Block
from xdcbench.results.statistics.verdict import notes, verdict_lines

Maker = Callable[..., Record]
Measure = Callable[..., Record]

ITEMS = 40


def table(right: Sequence[bool], *, size: int = 1, first: int = 0) -> pd.DataFrame:
    """Predictions of items ``i<first>``, ...: groups of ``size`` in a row, label 1, prediction 1 where right."""
    numbers = range(first, first + len(right))
    return pd.DataFrame(
        {
            "id": [f"i{n:03d}" for n in numbers],
            "group": [f"g{n // size:03d}" for n in numbers],
            "label": 1,
            "prediction": np.where(right, 1, 0),
        }
    )


def rights(share: float, seed: int, n: int = ITEMS) -> list[bool]:
    return (np.random.default_rng(seed).random(n) < share).tolist()


def only(blocks: Sequence[Block]) -> Block:
    (block,) = blocks
    return block


def text(blocks: Sequence[Block]) -> str:
    return "\n".join([*verdict_lines(blocks), *notes(blocks)])
