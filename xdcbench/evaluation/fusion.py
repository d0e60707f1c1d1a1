"""Fusion: what audio and video features tell together, beside what each tells alone, measured in one way."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from xdcbench.config.base import Modality
from xdcbench.config.evaluation import Fusion, modalities_of
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.evaluation.features import Features, load_features
from xdcbench.evaluation.fusion_answers import ANSWERS, Answer, Inputs, Task
from xdcbench.evaluation.paired import top1_difference
from xdcbench.evaluation.retrieval import recall_by_chance, unit_vectors
from xdcbench.evaluation.writer import Evaluation, Metric, guesses, split_rows, top1_of, write_results
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.results.statistics.predictions import GAIN
from xdcbench.utils.progress import track

log = logging.getLogger("xdcbench")

FUSED = "fused"


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: measure video, audio and both side by side, all on the items that have both tracks."""
    settings = config.settings
    assert isinstance(settings, Fusion)
    index, modalities = Index.load(inputs["data"]), modalities_of(settings)
    features = dict(zip(modalities, map(load_features, (inputs["features"], inputs["other"])), strict=True))
    train, test = split_rows(config, index, *features.values())
    lacking = left_out(config, index, modalities)
    failed = {row: reason for of in features.values() for row, reason in of.failed.items()}
    encoders = load_encoder_metadata(inputs["features"])
    evaluation = Evaluation(config, index, encoders, test, failed, work, context)
    task = Task(index, train, test, settings, config.seed)
    given = fused({m: normalized(of, index, (train, test), settings) for m, of in features.items()})
    answers: dict[str, list[Answer]] = {}
    with track(f"{config.name}: {settings.by}", len(given)) as tick:
        for name, of in given.items():
            answers[name] = list(ANSWERS[settings.by](of, task))
            tick()
    # A class none of whose items has both tracks is neither learned nor asked for.
    chance = 100.0 / len(np.unique(index.labels[train]))
    known = {**guesses(evaluation), "chance": chance, "lacking_a_track": lacking}
    metrics = [
        metric
        for name, of in answers.items()
        for one in of
        for metric in scored(evaluation, name, one, known, train)
    ]
    metrics += gains(evaluation, answers)
    tables = [one.table(modalities=name) for name, of in answers.items() for one in of]
    write_results(evaluation, metrics, pd.concat(tables, ignore_index=True), train_items_used=len(train))


def scored(
    evaluation: Evaluation, name: str, answer: Answer, known: Mapping[str, float], train: np.ndarray
) -> Iterator[Metric]:
    """Top-1 of what modalities ``name`` answered, or recall at each depth of a ranking of ``train``."""
    settings, named = evaluation.config.settings, {"modalities": name, **answer.named}
    assert isinstance(settings, Fusion)
    if answer.ranks is None:
        yield top1_of(evaluation, answer.predicted, named, {**known, **answer.outcomes})
        return
    asked, there = (evaluation.index.labels[rows] for rows in (evaluation.rows, train))
    for k in settings.ks:
        recall = 100.0 * float((answer.ranks <= k).mean())
        outcomes = {"lacking_a_track": known["lacking_a_track"], "chance": recall_by_chance(asked, there, k)}
        yield Metric(f"recall_at_{k}", recall, hyperparameters=named, outcomes=outcomes)


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


def gains(evaluation: Evaluation, answers: Mapping[str, Iterable[Answer]]) -> Iterator[Metric]:
    """Top-1 of ``fused`` less that of each modality on the same items, in points, with interval and McNemar's p.

    Of a ranking, the class of the nearest item is the prediction.

    Args:
        answers: by modality and ``fused``, as many and in the same order.
    """
    for name, theirs in answers.items():
        if name == FUSED:
            continue
        for both, one in zip(answers[FUSED], theirs, strict=True):
            told = {"modalities": FUSED, "over": name, **both.named}
            yield top1_difference(evaluation, GAIN, (both.predicted, one.predicted), told)
