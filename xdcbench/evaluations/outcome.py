"""From class scores of test items to accuracy, per-item predictions and the record."""

from pathlib import Path
from typing import Any

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
) -> None:
    """Write the record and the predictions of one evaluation.

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

    Raises:
        UserError: scores that are not finite, or more unreadable items than allowed.
    """
    bad = rows[~np.isfinite(scores).all(axis=1)]
    if len(bad):
        raise UserError(f"{index.name}: the scores of item {index.items['id'].iloc[bad[0]]!r} are not finite")
    train, lost_train = lost_items(config, index, "train", failed)
    _, lost = lost_items(config, index, "test", failed)
    write_failed(work, index, failed)
    labels, predicted = index.labels[rows], scores.argmax(axis=1)
    write_predictions(work, index, rows, predicted, scores)
    settings = config.settings
    record = measured(
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
        "metric": "top1",
        "value": 100.0 * float((predicted == labels).mean()),
        "unit": "%",
        "epochs": epochs,
        "factors": {**record.factors, "clips": settings.clips},
        "outcomes": outcomes or {},
    }
    write_records(work, [record.model_copy(update=update)])


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


def write_predictions(
    work: Path, index: Index, rows: np.ndarray, predicted: np.ndarray, scores: np.ndarray
) -> None:
    """Write ``predictions.parquet`` (id, group, label, prediction) and ``scores.npy`` beside it."""
    items = index.items.iloc[rows]
    table = pd.DataFrame(
        {
            "id": items["id"].to_numpy(),
            "group": items["group"].to_numpy(),
            "label": index.labels[rows],
            "prediction": predicted,
        }
    )
    table.to_parquet(work / "predictions.parquet", index=False)
    np.save(work / "scores.npy", scores.astype(np.float32), allow_pickle=False)
