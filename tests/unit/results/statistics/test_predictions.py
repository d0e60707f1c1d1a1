"""Predictions of runs, and the interval of a cell of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.unit.results.statistics.made_runs import ITEMS, Measure, rights, table
from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.intervals import Run, Sample, difference_interval, wilson
from xdcbench.results.statistics.predictions import (
    DROP,
    GAIN,
    cell_interval,
    load_difference,
    load_predictions,
)
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


def gained(measure: Measure, seed: int, *, split: str = "1") -> tuple[Record, np.ndarray]:
    """A record of what `fused` gains over `audio`, and the scores behind it."""
    fused, audio = rights(0.8, seed), rights(0.6, seed + 9)
    sides = {"audio": table(audio), "video": table(rights(0.1, seed)), "fused": table(fused)}
    both = pd.concat([of.assign(modalities=name) for name, of in sides.items()])
    scores = np.array(fused, float) - np.array(audio, float)
    made = measure("xdc", both, metric=GAIN, split=split, pretrain_seed=seed, seed=seed)
    update = {
        "hyperparameters": {"modalities": "fused", "over": "audio", "frames": 8},
        "items_used": ITEMS,
        "value": 100 * float(scores.mean()),
    }
    return made.model_copy(update=update), scores


def test_a_gain_is_of_the_same_items(out: Path, measure: Measure) -> None:
    record, scores = gained(measure, 1)
    found = load_difference(record, [RunStore(out)])
    assert found.scores.tolist() == scores.tolist()
    assert set(scores) == {-1.0, 0.0, 1.0}
    with pytest.raises(UserError, match="gives top1_gain"):
        load_difference(record.model_copy(update={"value": record.value + 1}), [RunStore(out)])
    with pytest.raises(UserError, match="top1_gain is no share of test items"):
        load_predictions(record, [RunStore(out)])


def test_a_drop_is_from_plain_to_changed_clips(out: Path, measure: Measure) -> None:
    plain, changed = rights(0.8, 1), rights(0.6, 2)
    sides = {"plain": table(plain), "frozen": table(changed), "rate-2": table(rights(0.1, 3))}
    both = pd.concat([of.assign(variant=name) for name, of in sides.items()])
    scores = np.array(plain, float) - np.array(changed, float)
    made = measure("xdc", both, metric=DROP)
    update = {
        "hyperparameters": {"variant": "frozen"},
        "items_used": ITEMS,
        "value": 100 * float(scores.mean()),
    }
    record = made.model_copy(update=update)
    assert load_difference(record, [RunStore(out)]).scores.tolist() == scores.tolist()
    found, by_hand = (
        cell_interval([record], [RunStore(out)]),
        difference_interval(Sample.of([Run("0", "1", np.array(sides["plain"]["group"], str), scores)])),
    )
    assert by_hand is not None and found == by_hand.percent


def test_a_cell_of_gains_has_the_interval_of_their_differences(out: Path, measure: Measure) -> None:
    cell = [gained(measure, seed, split=split) for seed in (1, 2) for split in ("1", "2")]
    records, store = [record for record, _ in cell], RunStore(out)
    found = cell_interval(records, [store])
    runs = [
        Run(str(record.pretrain_seed), record.split, load_difference(record, [store]).groups, scores)
        for record, scores in cell
    ]
    by_hand = difference_interval(Sample.of(runs))
    assert by_hand is not None and found == by_hand.percent
    assert found.low < np.mean([record.value for record in records]) < found.high
