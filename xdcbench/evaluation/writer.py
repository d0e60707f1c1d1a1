"""From what an evaluation finds to its records and per-item predictions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from xdcbench.config.consistency import check_labels
from xdcbench.config.evaluation import modalities_of
from xdcbench.config.keys import VERSIONS, config_hash
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index, write_failed
from xdcbench.data.label_sets import is_multi_label, is_told_apart, label_sets, labeled
from xdcbench.data.scanning.items import MISSING
from xdcbench.errors import UserError
from xdcbench.evaluation.features import Features
from xdcbench.evaluation.record_fields import record_fields
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.results.records import Record, write_records


@dataclass(frozen=True)
class Evaluation:
    """One evaluation whose results are written.

    Attributes:
        rows: int64 positions of the test items that were used.
        failed: reason per item that could not be decoded.
    """

    config: EvaluationStage
    index: Index
    encoders: EncoderMetadata
    rows: np.ndarray
    failed: dict[int, str]
    work: Path
    context: Context


class Metric(NamedTuple):
    """One number that an evaluation yields, with what tells it from the others and how it came about."""

    metric: str
    value: float
    unit: str = "%"
    higher_is_better: bool = True
    hyperparameters: Mapping[str, Any] = {}
    outcomes: Mapping[str, Any] = {}


def split_rows(config: EvaluationStage, index: Index, *features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Positions (int64) of the training and test items that are readable, labeled and have features.

    Args:
        features: of each of the evaluation's modalities, in their order.

    Raises:
        UserError: as ``part_rows``, or there is nothing to learn or nothing to tell apart.
    """
    train = part_rows(config, index, "train", *features)
    test = part_rows(config, index, "test", *features)
    if is_multi_label(index):
        check_class_sets(config, index, train, "training")
        check_class_sets(config, index, test, "test")
    else:
        _check_classes(config, index, train, test)
    return train, test


def _check_classes(config: EvaluationStage, index: Index, train: np.ndarray, test: np.ndarray) -> None:
    """Raises a UserError where training items have one class only, or a class of test items has none."""
    labels = index.labels
    learned = np.unique(labels[train])
    if len(learned) == 1:
        raise UserError(
            f"{index.name} split {config.split}: all training items are of {index.classes[learned[0]]}, "
            f"and one class tells encoders nothing; give it a larger subset or another split"
        )
    unseen = np.setdiff1d(labels[test], learned)
    if len(unseen):
        names = ", ".join(index.classes[i] for i in unseen[:5])
        raise UserError(f"{index.name} split {config.split}: no readable training item of {names}")


def check_class_sets(config: EvaluationStage, index: Index, rows: np.ndarray, word: str) -> None:
    """Raises a UserError where no class has both an item with it and one without among ``rows``, ``word`` items."""
    if not is_told_apart(label_sets(index)[rows]).any():
        raise UserError(
            f"{index.name} split {config.split}: no class has both a readable {word} item with it and one without. "
            "Try: a larger subset or another split"
        )


def part_rows(
    config: EvaluationStage, index: Index, part: Literal["train", "test"], *features: Features
) -> np.ndarray:
    """Positions (int64) of the items of one part of the split that are readable, labeled and have ``features``.

    Raises:
        UserError: there is no such item, items have several classes each where the evaluation predicts one or the
            reverse, or the features of an item are NaN or infinite though it was decoded.
    """
    check_labels(config.name, config.settings, index.name, multi_label=is_multi_label(index))
    modalities = modalities_of(config.settings)
    rows: np.ndarray = index.rows(config.split, part, tracks=() if index.media == "image" else modalities)
    rows = rows[labeled(index)[rows]]
    for modality, given in zip(modalities, features, strict=bool(features)):
        rows = rows[~np.isin(rows, list(given.failed))]
        bad = next((row for row in rows if not np.isfinite(given.of[row]).all()), None)
        if bad is not None:
            raise UserError(
                f"{index.name}: the {modality} features of item {index.items['id'].iloc[bad]!r} are not "
                f"finite, which the stage that made them refuses. Try: make them again with --policy always"
            )
    if not len(rows):
        word = {"train": "training"}.get(part, part)
        tracks = f"a {modalities[0]} track" if len(modalities) == 1 else "both an audio and a video track"
        raise UserError(f"{index.name} split {config.split}: no readable {word} item with {tracks}")
    return rows


def write_classification(evaluation: Evaluation, scores: np.ndarray, **fields: Any) -> None:
    """Write class scores, float (len(rows), classes), and their accuracy; the highest wins, the first of equals.

    Raises:
        UserError: scores that are not finite, or more unreadable items than allowed.
    """
    index, rows = evaluation.index, evaluation.rows
    predicted = classified(index, scores, rows)
    top1 = top1_of(evaluation, predicted, {}, guesses(evaluation))
    write_results(evaluation, [top1], pd.DataFrame({"prediction": predicted}), **fields)
    save_scores(evaluation, scores)


def save_scores(evaluation: Evaluation, scores: np.ndarray) -> None:
    """Write class scores, float (len(rows), classes), as ``scores.npy``, float32."""
    np.save(evaluation.work / "scores.npy", scores.astype(np.float32), allow_pickle=False)


def top1_of(
    evaluation: Evaluation,
    predicted: np.ndarray,
    hyperparameters: Mapping[str, Any],
    outcomes: Mapping[str, Any],
) -> Metric:
    """Top-1, in per cent, of the classes that were predicted of the evaluation's rows, int64 (items,)."""
    right = predicted == evaluation.index.labels[evaluation.rows]
    return Metric("top1", 100.0 * float(right.mean()), hyperparameters=hyperparameters, outcomes=outcomes)


def guesses(evaluation: Evaluation) -> dict[str, float]:
    """Top-1 without looking, in per cent: of a uniform guess among the classes of the split, and of its best class."""
    index, split = evaluation.index, evaluation.config.split
    labels = index.labels
    listed = np.concatenate([index.listed(split, part) for part in ("train", "test")])
    classes = np.unique(labels[listed][labels[listed] >= 0])
    most = np.bincount(labels[evaluation.rows]).max() / len(evaluation.rows)
    return {"chance": 100.0 / len(classes), "most_frequent_class": 100.0 * float(most)}


def classified(index: Index, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The class of highest score, int64 (len(rows),), the first of equals.

    Raises:
        UserError: as ``check_finite``.
    """
    check_finite(index, scores, rows)
    predicted: np.ndarray = scores.argmax(axis=1)
    return predicted


def check_finite(index: Index, scores: np.ndarray, rows: np.ndarray) -> None:
    """Raises a UserError that names the first item of ``rows`` whose scores, (len(rows), classes), are not finite."""
    bad = rows[~np.isfinite(scores).all(axis=1)]
    if len(bad):
        raise UserError(f"{index.name}: the scores of item {index.items['id'].iloc[bad[0]]!r} are not finite")


def write_results(
    evaluation: Evaluation, metrics: Iterable[Metric], predictions: pd.DataFrame, **fields: Any
) -> None:
    """Write the records of an evaluation and its predictions of each test item.

    Args:
        predictions: of each of ``rows``, or of each of them several times over, in that order;
            ``predictions.parquet`` holds id, group and label with them.
        fields: further ones of every record.

    Raises:
        UserError: more unreadable items than allowed.
    """
    index, rows, work = evaluation.index, evaluation.rows, evaluation.work
    fields = _fields(evaluation) | fields
    write_failed(work, index, evaluation.failed)
    times = len(predictions) // len(rows)
    items = index.items[["id", "group", "label"]].iloc[np.tile(rows, times)].reset_index(drop=True)
    pd.concat([items, predictions], axis=1).to_parquet(work / "predictions.parquet", index=False)
    write_records(
        work,
        [
            Record(
                **fields
                | metric._asdict()
                | {
                    "hyperparameters": {**fields["hyperparameters"], **metric.hyperparameters},
                    "outcomes": {**fields["outcomes"], **metric.outcomes},
                }
            )
            for metric in metrics
        ],
    )


def _fields(evaluation: Evaluation) -> dict[str, Any]:
    """Fields that all records of an evaluation share.

    Raises:
        UserError: more unreadable items than allowed.
    """
    config, index, encoders = evaluation.config, evaluation.index, evaluation.encoders
    settings = config.settings
    train, lost_train = failed_items(config, index, "train", evaluation.failed)
    _, lost = failed_items(config, index, "test", evaluation.failed)
    modalities = modalities_of(settings)
    modality = modalities[0] if len(modalities) == 1 else None
    about = record_fields(index, encoders, evaluation.work, evaluation.context, modality)
    return about | {
        "config_hash": config_hash(config, encoders.config_hash, index.fingerprint),
        "evaluation": config.name,
        "protocol": settings.kind,
        "evaluation_version": VERSIONS[settings.kind],
        "items_expected": len(index.listed(config.split, "test")),
        "items_used": len(evaluation.rows),
        "items_failed": len(lost),
        "failed_items": index.names(lost),
        "train_items_used": len(train) - len(lost_train),
        "train_items_failed": len(lost_train),
        "split": config.split,
        "seed": config.seed,
        "selection": "last",
        "hyperparameters": {**about["hyperparameters"], "num_clips": settings.num_clips},
        "outcomes": {},
        "epochs": 0,
        "precision": settings.precision,
    }


def failed_items(
    config: EvaluationStage, index: Index, part: str, failed: dict[int, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (int64) of the items of a part that are there, and of those of them that could not be read.

    Raises:
        UserError: there are more of the latter than the dataset's limit.
    """
    listed = index.listed(config.split, part)
    here = listed[index.items["bytes"].to_numpy()[listed] != MISSING]
    lost = index.lost(listed, failed)
    if len(lost) > index.max_failed * len(here):
        raise UserError(
            f"{index.name} split {config.split}: {len(lost)} of {len(here)} {part} items are unreadable, first "
            f"{index.items['path'].iloc[lost[0]]}; mend them or raise datasets.{index.name}.max_failed"
        )
    return here, lost
