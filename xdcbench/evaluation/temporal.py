"""Temporal probe: what a probe that learned from plain clips loses where the motion of test clips is changed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from xdcbench.config.evaluation import PLAIN, Temporal
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.linear_probe import probe
from xdcbench.evaluation.paired import top1_difference
from xdcbench.evaluation.writer import (
    Evaluation,
    Metric,
    classified,
    guesses,
    split_rows,
    top1_of,
    write_results,
)
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.results.statistics.predictions import DROP


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: fit on plain clips of training items, score test items by plain and by changed clips."""
    settings = config.settings
    assert isinstance(settings, Temporal)
    index, plain = Index.load(inputs["data"]), load_features(inputs["features"])
    changed = {name: load_features(inputs[name]) for name in settings.variants}
    features = {PLAIN: plain, **changed}
    failed = {row: reason for of in features.values() for row, reason in of.failed.items()}
    train, test = split_rows(config, index, replace(plain, failed=failed))
    scores, found = probe(
        np.asarray(plain.of[train]),
        index.labels[train],
        np.concatenate([of.of[test] for of in features.values()]),
        classes=len(index.classes),
        settings=settings,
    )
    encoders = load_encoder_metadata(inputs["features"])
    evaluation = Evaluation(config, index, encoders, test, failed, work, context)
    predicted = {
        name: classified(index, part, test)
        for name, part in zip(features, np.split(scores, len(features)), strict=True)
    }
    known = {**guesses(evaluation), **found}
    metrics = [top1_of(evaluation, of, {"variant": name}, known) for name, of in predicted.items()]
    tables = [pd.DataFrame({"variant": name, "prediction": of}) for name, of in predicted.items()]
    write_results(evaluation, [*metrics, *drops(evaluation, predicted)], pd.concat(tables, ignore_index=True))


def drops(evaluation: Evaluation, predicted: Mapping[str, np.ndarray]) -> Iterator[Metric]:
    """Top-1 of plain clips less that of each kind of changed ones; arguments as of ``top1_difference``, by name."""
    for name in (name for name in predicted if name != PLAIN):
        yield top1_difference(evaluation, DROP, (predicted[PLAIN], predicted[name]), {"variant": name})
