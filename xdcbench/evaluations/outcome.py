"""From what an evaluation finds to its records and per-item predictions."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from xdcbench.context import Context
from xdcbench.data.index import Index, write_failed
from xdcbench.data.scan import MISSING
from xdcbench.errors import UserError
from xdcbench.evaluations.features import Features
from xdcbench.models.encoders import Card
from xdcbench.results.measured import measured
from xdcbench.results.records import write_records
from xdcbench.stages import KINDS, EvaluationStage, recipe


class Measure(NamedTuple):
    """One number that an evaluation yields, with what tells it from the others and how it came about."""

    metric: str
    value: float
    unit: str = "%"
    higher_is_better: bool = True
    factors: Mapping[str, Any] = {}
    outcomes: Mapping[str, Any] = {}


def split_rows(
    config: EvaluationStage, index: Index, features: Features | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (int64) of the training and test items that are readable, labelled and have features.

    Raises:
        UserError: as ``part_rows``, or the training items have one class only, or a test class has none.
    """
    train = part_rows(config, index, "train", features)
    test = part_rows(config, index, "test", features)
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
    return train, test


def part_rows(
    config: EvaluationStage, index: Index, part: Literal["train", "test"], features: Features | None = None
) -> np.ndarray:
    """Positions (int64) of the items of one part of the split that are readable, labelled and have features.

    Args:
        config: the evaluation.
        index: the data set.
        part: of the split.
        features: of the items; those that could not be decoded are left out.

    Raises:
        UserError: there is no such item, or the features of one are NaN or infinite though it was decoded.
    """
    modality = config.settings.modality
    rows: np.ndarray = index.rows(config.split, part, tracks=() if index.media == "image" else (modality,))
    rows = rows[index.labels[rows] >= 0]
    if features is not None:
        rows = rows[~np.isin(rows, list(features.failed))]
        bad = next((row for row in rows if not np.isfinite(features.of[row]).all()), None)
        if bad is not None:
            raise UserError(
                f"{index.name}: the {modality} features of item {index.items['id'].iloc[bad]!r} are not "
                f"finite, which the stage that made them refuses. Try: make them again with --policy always"
            )
    if not len(rows):
        word = {"train": "training"}.get(part, part)
        raise UserError(f"{index.name} split {config.split}: no readable {word} item with a {modality} track")
    return rows


def finish(
    config: EvaluationStage,
    index: Index,
    card: Card,
    scores: np.ndarray,
    rows: np.ndarray,
    failed: dict[int, str],
    *,
    work: Path,
    context: Context,
    epochs: int = 0,
    outcomes: dict[str, Any] | None = None,
    selection: str = "last",
) -> None:
    """Write the accuracy of class scores, and the scores themselves.

    Args:
        config: the evaluation.
        index: the data set.
        card: the encoders.
        scores: float (len(rows), classes), one row per test item; the highest wins, the first of equals.
        rows: int64 positions of the test items that have scores.
        failed: reason per item that could not be decoded.
        work: the run directory.
        context: of the stage.
        epochs: trained for.
        outcomes: what was found on the way, to record.
        selection: how the epoch was chosen.

    Raises:
        UserError: scores that are not finite, or more unreadable items than allowed.
    """
    predicted = classified(index, scores, rows)
    right = predicted == index.labels[rows]
    write_outcome(
        config,
        index,
        card,
        [Measure("top1", 100.0 * float(right.mean()))],
        pd.DataFrame({"prediction": predicted}),
        rows,
        failed,
        work=work,
        context=context,
        common={"epochs": epochs, "outcomes": outcomes or {}, "selection": selection},
    )
    np.save(work / "scores.npy", scores.astype(np.float32), allow_pickle=False)


def classified(index: Index, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The class of highest score, int64 (len(rows),), the first of equals.

    Raises:
        UserError: names the first item whose scores are not finite.
    """
    bad = rows[~np.isfinite(scores).all(axis=1)]
    if len(bad):
        raise UserError(f"{index.name}: the scores of item {index.items['id'].iloc[bad[0]]!r} are not finite")
    predicted: np.ndarray = scores.argmax(axis=1)
    return predicted


def write_outcome(
    config: EvaluationStage,
    index: Index,
    card: Card,
    measures: Iterable[Measure],
    predictions: pd.DataFrame,
    rows: np.ndarray,
    failed: dict[int, str],
    *,
    work: Path,
    context: Context,
    common: dict[str, Any] | None = None,
) -> None:
    """Write the records of an evaluation and what it says of each test item.

    Args:
        config: the evaluation.
        index: the data set.
        card: the encoders.
        measures: the numbers, one record each.
        predictions: what is said of each of ``rows``, or of each of them several times over, in that order;
            ``predictions.parquet`` holds it beside id, group and label.
        rows: int64 positions of the test items that were used.
        failed: reason per item that could not be decoded.
        work: the run directory.
        context: of the stage.
        common: further fields of every record.

    Raises:
        UserError: more unreadable items than allowed.
    """
    train, lost_train = lost_items(config, index, "train", failed)
    _, lost = lost_items(config, index, "test", failed)
    write_failed(work, index, failed)
    times = len(predictions) // len(rows)
    items = index.items.iloc[np.tile(rows, times)][["id", "group", "label"]].reset_index(drop=True)
    pd.concat([items, predictions], axis=1).to_parquet(work / "predictions.parquet", index=False)
    settings = config.settings
    base = measured(
        index,
        card,
        work,
        context,
        modality=settings.modality,
        precision=settings.precision,
        recipe=recipe(config, card.recipe, index.fingerprint),
    )
    update: dict[str, Any] = {
        "evaluation": config.name,
        "protocol": settings.kind,
        "evaluation_version": KINDS[settings.kind].version,
        "items_expected": len(index.listed(config.split, "test")),
        "items_used": len(rows),
        "items_failed": len(lost),
        "failed_items": index.names(lost),
        "train_items_used": len(train) - len(lost_train),
        "train_items_failed": len(lost_train),
        "split": config.split,
        "seed": config.seed,
        "unit": "%",
    } | (common or {})
    factors = {**base.factors, "clips": settings.clips}
    outcomes = update.pop("outcomes", {})
    records = [
        base.model_copy(
            update=update
            | measure._asdict()
            | {"factors": {**factors, **measure.factors}, "outcomes": {**outcomes, **measure.outcomes}}
        )
        for measure in measures
    ]
    write_records(work, records)


def lost_items(
    config: EvaluationStage, index: Index, part: str, failed: dict[int, str]
) -> tuple[np.ndarray, list[int]]:
    """Positions of the items of a part that are there, and of those of them that could not be read.

    Raises:
        UserError: there are more of the latter than the data set's limit.
    """
    listed = index.listed(config.split, part)
    here = listed[index.items["bytes"].to_numpy()[listed] != MISSING]
    lost = sorted({*index.unreadable(listed), *(set(failed) & set(listed))})
    if len(lost) > index.max_failed * len(here):
        raise UserError(
            f"{index.name} split {config.split}: {len(lost)} of {len(here)} {part} items are unreadable, first "
            f"{index.items['path'].iloc[lost[0]]}; mend them or raise datasets.{index.name}.max_failed"
        )
    return here, lost
