"""Tier 4: a suite's own stages on a few items and for a few steps, before rounding has grown."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from xdcbench.config.evaluation import Finetune
from xdcbench.config.suite import Suite
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.pipeline.tiers.values import Values, projected
from xdcbench.results.records import Record, read_records

ITEMS = 64
"""Items of each part of a dataset at most."""

K, ROUNDS, EPOCHS, CLIPS = 4, 2, 1, 64
"""Clusters, rounds of a method, epochs of a round, and clips of an epoch at most."""

LR = 0.002
"""Peak rate of encoders and heads: at a suite's own, a few steps magnify rounding a thousandfold."""

EVALUATIONS = ("finetune", "linear_probe", "multilabel_probe", "linear_svm")
"""Kinds of evaluations that choose or train something; those of the suite's first method run."""


def plan_steps(request: Request, suite: Suite) -> Launch:
    """The rounds of every method, and some evaluations of the first, at this size, with the suite's first seed.

    Results lie in a folder of their own below that of the request.
    """
    settings = {
        "pretrain.k": K,
        "pretrain.rounds": ROUNDS,
        "pretrain.schedule.epochs": EPOCHS,
        "pretrain.schedule.warmup_epochs": 0,
        "pretrain.schedule.lr": LR,
        "pretrain.clips_per_epoch": CLIPS,
        **{f"datasets.{name}.subset.items": ITEMS for name in suite.datasets},
        **{
            f"evaluations.{name}.{rate}": LR
            for name, evaluation in suite.evaluations.items()
            if isinstance(evaluation, Finetune)
            for rate in ("schedule.lr", "head_lr")
        },
    }
    small = replace(
        request,
        overrides=[*request.overrides, *(f"{name}={value}" for name, value in settings.items())],
        seeds=suite.seeds[:1],
        results=request.results / "steps",
    )
    launch = plan_launch(small)
    return replace(launch, plan=launch.plan.those(lambda stage: _is_chosen(stage, launch.plan.suite)))


def _is_chosen(stage: Stage, suite: Suite) -> bool:
    if stage.kind not in EVALUATIONS:
        return stage.kind == "round"
    method, *_, evaluation, dataset, split = stage.name.split("/")
    leaf = suite.leaves[0]
    first_split = {(task.evaluation, task.dataset, task.splits[0]) for task in leaf.evaluate}
    return method == leaf.pretraining[0].methods[0] and (evaluation, dataset, split) in first_split


def step_values(launch: Launch, stages: Sequence[Stage]) -> Values:
    """Losses, facts of clusterings and scores of stages that are done, by the names of the stages."""
    found: dict[str, float | str] = {}
    for stage in stages:
        if stage.key in launch.plan.targets:
            records = read_records([launch.store], [stage.key])
            run = launch.store.path(stage.key)
            values = _of_round(records) if stage.kind == "round" else _of_evaluation(records, run)
            found |= {f"steps/{name}/{stage.name}": value for name, value in values}
    return found


def _of_round(records: Sequence[Record]) -> Iterator[tuple[str, float]]:
    """Losses before the first step and over the last epoch, and how clusters agree with classes.

    What no step lies behind, in a first round, is named ``start``.
    """
    for record in records:
        settings, initial = record.hyperparameters, record.metric.startswith("initial_")
        clustered = record.metric == "nmi_class"
        when = "start" if settings["round"] == 1 and (initial or clustered) else "later"
        if clustered:
            yield f"{when}/nmi_class {settings['clustering']}", record.value
        elif record.metric.endswith("loss") and not record.metric.startswith("val_"):
            yield f"{when}/{record.metric}", record.value


def _of_evaluation(records: Sequence[Record], run: Path) -> Iterator[tuple[str, float]]:
    """A projection of the scores of test items, which another choice or training changes, and what was held out."""
    yield "start/held_out", float(records[0].outcomes.get("held_out", 0))
    scores = np.load(run / "scores.npy", allow_pickle=False)
    yield "later/scores", projected(scores)
