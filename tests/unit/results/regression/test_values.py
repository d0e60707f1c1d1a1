"""The numbers that a check compares, of records written by hand."""

from collections.abc import Callable

import pytest

from tests.unit.results.regression.helpers import MEAN, NAME
from xdcbench.results.records import Record
from xdcbench.results.regression.values import item_of, metric_of, name_of, values_of

Maker = Callable[..., Record]


def test_name_says_which_number_it_is(make_record: Maker) -> None:
    assert name_of(make_record(), "top1") == NAME
    of_round = make_record(evaluation="round", metric="video_a_accuracy", hyperparameters={"round": 2})
    assert name_of(of_round, "accuracy") == "xdc/kinetics400/round/kinetics400/accuracy"


def test_value_is_the_mean_over_splits_rounds_heads_and_seeds(make_record: Maker) -> None:
    folds = [make_record(split=split, value=value) for split, value in (("1", 40.0), ("2", 60.0))]
    heads = [make_record(metric=f"{m}_accuracy", value=v) for m, v in (("video_a", 0.5), ("audio_v", 0.25))]
    validation = make_record(metric="val_video_a_accuracy", value=0.0)
    found = values_of([*folds, *heads, validation])
    assert found == {NAME: 50.0, MEAN: 50.0, NAME.replace("top1", "accuracy"): 0.375}
    seeds = [make_record(seed=0, value=40.0), make_record(seed=1, value=50.0)]
    assert values_of(seeds) == {NAME: 45.0, MEAN: 45.0}


def test_a_method_has_a_mean_over_its_evaluations(make_record: Maker) -> None:
    folds = [make_record(dataset="esc50", split=split, value=80.0) for split in "12345"]
    found = values_of([*folds, make_record(value=40.0), make_record(method="sdc", value=10.0)])
    assert found[MEAN] == 60.0, "each evaluation counts once"
    assert found[MEAN.replace("xdc", "sdc")] == 10.0


def test_name_does_not_hang_on_circumstances(make_record: Maker) -> None:
    other = make_record(run="x", value=1, seconds=9, device="cuda", commit="abc", versions={}, world_size=2)
    assert name_of(other, "top1") == NAME


def test_metrics_that_are_not_compared_are_not_kept(make_record: Maker) -> None:
    assert values_of([make_record(), make_record(metric="inertia", value=5.0)]).keys() == {NAME, MEAN}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("top1", "top1"),
        ("video_top1", "top1"),
        ("top10", None),
        ("atop1", None),
        ("a_nmi_class", "nmi_class"),
        ("nmi", None),
        ("nmi_previous", None),
        ("audio_v_accuracy", "accuracy"),
        ("cluster_accuracy", "cluster_accuracy"),
    ],
)
def test_metric_is_the_longest_suffix_that_is_compared(metric: str, expected: str | None) -> None:
    assert metric_of(metric) == expected


def test_draws_of_the_same_items_count_once(make_record: Maker) -> None:
    draws = [make_record(items_used=40, hyperparameters={"draw": n}) for n in range(5)]
    assert item_of(draws) == 2.5
    assert item_of([make_record(metric="nmi_class", items_used=40)]) == 0.0
    assert item_of([make_record(metric="video_a_accuracy", items_used=40)]) == 0.025
