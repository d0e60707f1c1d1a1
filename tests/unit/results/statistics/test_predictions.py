"""Predictions of runs, and the interval of a cell of a table."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.results.statistics.made_runs import ITEMS, Measure, rights, table
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.intervals import wilson
from xdcbench.results.statistics.predictions import cell_interval, load_predictions
from xdcbench.results.tables.cells import measured_cell


def test_a_cell_has_the_interval_of_its_runs(out: Path, measure: Measure) -> None:
    one = measure("xdc", rights(0.7, 1))
    store = RunStore(out)
    found, by_hand = cell_interval([one], [store]), wilson(one.value / 100, ITEMS).percent
    assert found == by_hand
    more = [one, *(measure("xdc", rights(0.7, s), split="2", pretrain_seed=s, seed=s) for s in range(2))]
    wide = cell_interval(more, [store])
    assert wide is not None and wide.method == "bootstrap"
    value = measured_cell(more).value
    assert value is not None and wide.low < value < wide.high
    assert cell_interval([one.model_copy(update={"metric": "nmi"})], [store]) is None


def test_seeds_of_the_evaluation_count_alike_whatever_their_splits(out: Path, measure: Measure) -> None:
    """Of one pretraining seed, its evaluation's seeds are what the mean is over: two splits of one weigh as one."""
    scores = {("0", "1"): rights(0.9, 1), ("0", "2"): rights(0.8, 2), ("1", "1"): rights(0.3, 3)}
    cell = [
        measure("xdc", right, split=split, seed=int(seed), run=f"finetune-{seed}-{split}")
        for (seed, split), right in scores.items()
    ]
    shares = {place: float(np.mean(right)) for place, right in scores.items()}
    mean = 100 * ((shares["0", "1"] + shares["0", "2"]) / 2 + shares["1", "1"]) / 2
    assert abs(mean - 100 * np.mean(list(shares.values()))) > 5, "all three alike would be another mean"
    found = cell_interval(cell, [RunStore(out)])
    assert found is not None and (found.low + found.high) / 2 == pytest.approx(mean, abs=1)


def test_predictions_are_sorted_by_id(out: Path, measure: Measure) -> None:
    made = measure("xdc", table(rights(0.5, 1)).sample(frac=1, random_state=0))
    found = load_predictions(made, [RunStore(out)])
    assert found.ids.tolist() == sorted(found.ids)
    assert found.scores.tolist() == [float(right) for right in rights(0.5, 1)]
