"""Fusion: what audio and video features tell together, beside what each tells alone, by one kind of probe."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from xdcbench.config.base import Modality
from xdcbench.config.evaluation import Fusion, modalities_of
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.evaluation.features import Features, load_features
from xdcbench.evaluation.linear_probe import regression
from xdcbench.evaluation.paired import top1_difference
from xdcbench.evaluation.retrieval import unit_vectors
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
from xdcbench.results.statistics.predictions import GAIN
from xdcbench.utils.progress import track

log = logging.getLogger("xdcbench")

FUSED = "fused"

Inputs = tuple[np.ndarray, np.ndarray]
"""What a probe learns from and what it is scored on, float32 (items, features) each."""


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: a probe on video, one on audio and one on both, all on the items that have both tracks."""
    settings = config.settings
    assert isinstance(settings, Fusion)
    index, modalities = Index.load(inputs["data"]), modalities_of(settings)
    features = dict(zip(modalities, map(load_features, (inputs["features"], inputs["other"])), strict=True))
    train, test = split_rows(config, index, *features.values())
    lacking = left_out(config, index, modalities)
    failed = {row: reason for of in features.values() for row, reason in of.failed.items()}
    encoders = load_encoder_metadata(inputs["features"])
    evaluation = Evaluation(config, index, encoders, test, failed, work, context)
    # A class none of whose items has both tracks is neither learned nor asked for.
    chance = 100.0 / len(np.unique(index.labels[train]))
    known = {**guesses(evaluation), "chance": chance, "lacking_a_track": lacking}
    predicted: dict[str, np.ndarray] = {}
    outcomes: dict[str, dict[str, Any]] = {}
    probed = fused({m: normalized(of, index, (train, test), settings) for m, of in features.items()})
    with track(f"{config.name}: probes", len(probed)) as tick:
        for name, of in probed.items():
            scores, found = probe(of, index.labels[train], classes=len(index.classes), settings=settings)
            predicted[name], outcomes[name] = classified(index, scores, test), {**known, **found}
            tick()
    tables = [pd.DataFrame({"modalities": name, "prediction": of}) for name, of in predicted.items()]
    metrics = [
        top1_of(evaluation, of, {"modalities": name}, outcomes[name]) for name, of in predicted.items()
    ]
    metrics += gains(evaluation, predicted)
    write_results(evaluation, metrics, pd.concat(tables, ignore_index=True), train_items_used=len(train))


def left_out(config: EvaluationStage, index: Index, tracks: tuple[Modality, ...]) -> int:
    """The number of readable test items that lack one of ``tracks``; a log line says it, and that of training items."""
    test, train = (
        len(index.rows(config.split, part)) - len(index.rows(config.split, part, tracks=tracks))
        for part in ("test", "train")
    )
    if test or train:
        log.warning(
            "%s: %d test and %d training items of %s split %s have no %s and are left out",
            *(config.name, test, train, index.name, config.split, " or no ".join(tracks)),
        )
    return test


def normalized(features: Features, index: Index, rows: Inputs, settings: Fusion) -> Inputs:
    """Mean features of training and test items, whose positions are ``rows``, on the scale of ``settings.normalize``.

    Raises:
        UserError: as ``unit_vectors`` (l2).
    """
    if settings.normalize == "l2":
        train, test = (unit_vectors(features, index, part).numpy() for part in rows)
        return train, test
    train, test = (features.means(part) for part in rows)
    scale = StandardScaler().fit(train)
    return scale.transform(train), scale.transform(test)


def fused(alone: Mapping[Modality, Inputs]) -> dict[str, Inputs]:
    """Each modality alone, and all of them side by side under the name ``fused``."""
    train, test = (np.hstack(parts) for parts in zip(*alone.values(), strict=True))
    found: dict[str, Inputs] = {modality: given for modality, given in alone.items()}
    return found | {FUSED: (train, test)}


def probe(
    inputs: Inputs, labels: np.ndarray, *, classes: int, settings: Fusion
) -> tuple[np.ndarray, dict[str, bool]]:
    """Class probabilities of test items, float (test items, classes), and whether the solver ``converged``.

    Args:
        labels: int64 (training items,), at least two classes; others have probability 0.
    """
    train, test = inputs
    present, y = np.unique(labels, return_inverse=True)
    predict, outcomes = regression(train, y, c=settings.C, max_iter=settings.max_iter)
    scores = np.zeros((len(test), classes))
    scores[:, present] = predict(test)
    return scores, outcomes


def gains(evaluation: Evaluation, predicted: Mapping[str, np.ndarray]) -> Iterator[Metric]:
    """Top-1 of ``fused`` less that of each modality on the same items, in points, with interval and McNemar's p.

    Args:
        predicted: int64 (items,), classes of the evaluation's rows, by modality and ``fused``.
    """
    for name in (name for name in predicted if name != FUSED):
        told = {"modalities": FUSED, "over": name}
        yield top1_difference(evaluation, GAIN, (predicted[FUSED], predicted[name]), told)
