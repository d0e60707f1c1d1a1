"""From what an evaluation finds to its records and per-item predictions."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from xdcbench.context import Context
from xdcbench.data.index import Index, write_failed
from xdcbench.data.scan import MISSING
from xdcbench.errors import UserError
from xdcbench.models.encoders import Card
from xdcbench.results.measured import measured
from xdcbench.results.records import write_records
from xdcbench.stages import KINDS, EvaluationStage, recipe


class Measure(NamedTuple):
    """One number that an evaluation yields, with what tells it from the others."""

    metric: str
    value: float
    unit: str = "%"
    higher_is_better: bool = True
    factors: Mapping[str, Any] = {}


def split_rows(config: EvaluationStage, index: Index) -> tuple[np.ndarray, np.ndarray]:
    """Positions (int64) of the training and test items that are readable and labelled.

    Raises:
        UserError: one of them is empty, or a test class has no training item.
    """
    modality = config.settings.modality
    tracks = () if index.media == "image" else (modality,)
    train, test = (index.rows(config.split, part, tracks=tracks) for part in ("train", "test"))
    labels = index.labels
    train, test = train[labels[train] >= 0], test[labels[test] >= 0]
    for part, rows in (("training", train), ("test", test)):
        if not len(rows):
            raise UserError(
                f"{index.name} split {config.split}: no readable {part} item with a {modality} track"
            )
    unseen = np.setdiff1d(labels[test], labels[train])
    if len(unseen):
        names = ", ".join(index.classes[i] for i in unseen[:5])
        raise UserError(f"{index.name} split {config.split}: no readable training item of {names}")
    return train, test


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
    update = {
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
    records = [
        base.model_copy(update=update | measure._asdict() | {"factors": factors | measure.factors})
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
