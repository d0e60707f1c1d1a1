"""Settings chosen on held-out groups of the training items; test items are never looked at."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel
from sklearn.model_selection import StratifiedGroupKFold

from xdcbench.config.evaluation import Finetune
from xdcbench.data.index import Index
from xdcbench.errors import DivergedError, UserError
from xdcbench.utils.distributed import is_main_process, on_main_process
from xdcbench.utils.documents import read_cache, write_json
from xdcbench.utils.manifest import CHECKPOINTS
from xdcbench.utils.progress import log, track

Fit = Callable[[np.ndarray, np.ndarray], Iterable[tuple[np.ndarray, bool]]]
"""From positions to learn from and held-out ones, to the scores (held out, classes) of each C in ascending order,
and whether its solver converged."""

Train = Callable[[Finetune, np.ndarray, np.ndarray, Path], float]
"""From settings, rows to learn from, held-out rows and a folder, to the top-1 on the held-out rows, in per cent.

Raises:
    DivergedError: the loss is not finite.
"""

FOLDER = "sweep"
"""Where each candidate's metrics and result lie, in the run directory."""


class Choice(NamedTuple):
    """The chosen C, the number of inner folds, and the accuracy (0 to 1) over them of each C in ascending order."""

    c: float
    folds: int
    accuracies: dict[float, float]


def choose(
    fit: Fit, labels: np.ndarray, groups: np.ndarray, *, cs: Sequence[float], folds: int, seed: int
) -> Choice:
    """The C of highest accuracy over inner folds of the training items, the smallest of equals.

    Items of one group stay in one fold. There are as many folds as asked for, or as the class with the fewest
    groups allows. A single C is taken as it is, with 0 folds.

    Args:
        fit: learns from some of the items and scores others, for every C.
        labels: int64 (items,).
        groups: group of each item.

    Raises:
        UserError: a class has items of one group only, so that nothing can be held out.
    """
    if len(cs) == 1:
        return Choice(cs[0], 0, {})
    folds = min(folds, *(len(np.unique(groups[labels == label])) for label in np.unique(labels)))
    if folds < 2:
        raise UserError(
            "C cannot be chosen: a class has training items of one group only. Try: give one C in `Cs`"
        )
    cs = sorted(cs)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    right = np.zeros(len(cs))
    with track("choosing C", folds * len(cs)) as tick:
        for train, held in split:
            for i, (scores, converged) in enumerate(fit(train, held)):
                right[i] += (scores.argmax(axis=1) == labels[held]).sum()
                if not converged:
                    log.warning("C = %g: not converged; raise max_iter", cs[i])
                tick()
    accuracies = dict(zip(cs, (right / len(labels)).tolist(), strict=True))
    told = ", ".join(f"{100 * accuracy:.1f} % at C = {c:g}" for c, accuracy in accuracies.items())
    log.debug("accuracy over %d inner folds: %s", folds, told)
    return Choice(cs[int(right.argmax())], folds, accuracies)


def hold_out(index: Index, rows: np.ndarray, *, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part training rows, int64, into those to learn from and those to choose by.

    Videos of one group stay together, and classes keep their shares as far as that allows.

    Raises:
        UserError: the part to learn from lacks a class, or there are too few groups.
    """
    groups, labels = index.items["group"].iloc[rows].to_numpy(), index.labels[rows]
    folds = max(2, round(1 / share))
    if folds > len(np.unique(groups)):
        raise UserError(
            f"{index.name}: {len(np.unique(groups))} groups of training items are too few to hold out a share "
            f"of {share}. Try: raise val_fraction, or select the last epoch without a sweep"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes of fewer groups than folds are seen to below
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, labels, groups)
        learned, held = next(split)
    lacking = np.setdiff1d(labels, labels[learned])
    if len(lacking):
        names = ", ".join(index.classes[i] for i in lacking[:5])
        raise UserError(
            f"{index.name}: holding out a share of {share} leaves no training item of {names}. Try: lower "
            "val_fraction, or select the last epoch without a sweep"
        )
    return rows[learned], rows[held]


class HeldOutResult(BaseModel):
    """Top-1 of a candidate on held-out items, in per cent; none if its training diverged."""

    val_top1: float | None


def sweep(
    settings: Finetune, train: Train, index: Index, rows: np.ndarray, *, seed: int, work: Path
) -> tuple[Finetune, dict[str, Any]]:
    """The candidate of highest top-1 on held-out groups of the training rows, the first of equals.

    A candidate whose result is in ``work`` is not trained again.

    Args:
        rows: int64, of the training items.
        work: the run directory; each candidate has a folder of its own in it.

    Returns:
        The settings to train with on all ``rows``, and for the record: each candidate with its ``val_top1``
        (None where its loss became infinite), the choice, and the number of items held out.

    Raises:
        UserError: as ``hold_out``; or every candidate diverged.
    """
    learned, held = hold_out(index, rows, share=settings.val_fraction, seed=seed)
    found = candidates(settings)
    tried: list[dict[str, float | None]] = []
    for number, candidate in enumerate(found):
        folder = work / FOLDER / str(number)
        tried.append(_rates(candidate) | {"val_top1": _result(candidate, train, learned, held, folder)})
        told = ", ".join(
            f"{name} {'-' if value is None else f'{value:.4g}'}" for name, value in tried[-1].items()
        )
        log.debug("%s: sweep %d/%d: %s", index.name, number + 1, len(found), told)
    scores = [-1.0 if (top1 := row["val_top1"]) is None else top1 for row in tried]
    best = int(np.argmax(scores))
    if scores[best] < 0:
        rates = ", ".join(f"{candidate.schedule.lr:g}" for candidate in found)
        raise UserError(
            f"{index.name}: training diverged at every rate of the sweep ({rates}). Try: lower `sweep.lr`"
        )
    return found[best], {"sweep": tried, **_rates(found[best]), "held_out": len(held)}


def candidates(settings: Finetune) -> list[Finetune]:
    """Settings of every pair of rate and weight decay; the head's rate keeps its ratio to the encoder's."""
    schedule, grid = settings.schedule, settings.sweep
    assert grid is not None
    return [
        settings.model_copy(
            update={
                "sweep": None,
                "schedule": schedule.model_copy(update={"lr": lr, "weight_decay": decay}),
                "head_lr": settings.head_lr * (lr / schedule.lr),
            }
        )
        for lr, decay in product(grid.lr or (schedule.lr,), grid.weight_decay or (schedule.weight_decay,))
    ]


def _rates(settings: Finetune) -> dict[str, float | None]:
    schedule = settings.schedule
    return {"lr": schedule.lr, "weight_decay": schedule.weight_decay, "head_lr": settings.head_lr}


def _result(
    candidate: Finetune, train: Train, learned: np.ndarray, held: np.ndarray, folder: Path
) -> float | None:
    """The result that an earlier attempt left, or that of training; its checkpoints go."""
    path = folder / "result.json"
    known: HeldOutResult | None = on_main_process(lambda: read_cache(path, HeldOutResult))
    if known is None:
        if is_main_process():
            folder.mkdir(parents=True, exist_ok=True)
        try:
            known = HeldOutResult(val_top1=train(candidate, learned, held, folder))
        except DivergedError as error:
            log.warning("%s", error)
            known = HeldOutResult(val_top1=None)
        if is_main_process():
            write_json(path, known.model_dump())
    if is_main_process():
        for checkpoint in (old for pattern in CHECKPOINTS for old in folder.glob(pattern)):
            checkpoint.unlink()
    return known.val_top1
