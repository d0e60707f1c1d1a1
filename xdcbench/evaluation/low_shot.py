"""Low-shot: linear probes that learn from a few items of each class, drawn several times."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from xdcbench.config.evaluation import LowShot, shot_names
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.linear_probe import probe
from xdcbench.evaluation.writer import Evaluation, classified, guesses, split_rows, top1_of, write_results
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.utils.progress import track

Wanted = Callable[[int], int]
"""From the items that a class has to those that are wanted of it."""


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: for each number of shots and each draw, a probe on the drawn items, scored on all test items."""
    settings = config.settings
    assert isinstance(settings, LowShot)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    train, test = split_rows(config, index, features)
    labels, ids = index.labels, index.items["id"].iloc[train].to_numpy()
    x = np.asarray(features.of[test])
    wanted = shots(settings.per_class, settings.fractions)
    encoders = load_encoder_metadata(inputs["features"])
    evaluation = Evaluation(config, index, encoders, test, features.failed, work, context)
    known = guesses(evaluation)
    measures, tables = [], []
    with track(f"{config.name}: probes", len(wanted) * settings.num_draws) as tick:
        for draw in range(settings.num_draws):
            order = train[shuffled(ids, seed=config.seed, draw=draw)]
            for name, want in wanted.items():
                few, short = take(order, labels, want)
                scores, outcomes = probe(
                    np.asarray(features.of[few]),
                    labels[few],
                    x,
                    classes=len(index.classes),
                    settings=settings,
                )
                predicted = classified(index, scores, test)
                tables.append(pd.DataFrame({"shots": name, "draw": draw, "prediction": predicted}))
                found = {**outcomes, **known, "learned_from": len(few), "short_classes": short}
                measures.append(top1_of(evaluation, predicted, {"shots": name, "draw": draw}, found))
                tick()
    write_results(evaluation, measures, pd.concat(tables, ignore_index=True))


def shots(per_class: Sequence[int], fractions: Sequence[float]) -> dict[str, Wanted]:
    """What to take of each class, under the name that records carry: ``5`` items, or ``1%`` and at least one.

    Raises:
        UserError: a number below 1, a share outside of 0 to 1, or neither.
    """
    bad = [n for n in per_class if n < 1] + [s for s in fractions if not 0 < s <= 1]
    if bad or not (per_class or fractions):
        raise UserError(
            f"low_shot: cannot learn from {bad[0] if bad else 'no'} items; give `per_class` from 1 up, "
            f"`fractions` above 0 and up to 1, or one of them"
        )
    numbers: list[Wanted] = [lambda size, n=n: n for n in per_class]  # type: ignore[misc]
    shares: list[Wanted] = [lambda size, s=s: max(1, int(s * size + 0.5)) for s in fractions]  # type: ignore[misc]
    return dict(zip(shot_names(per_class, fractions), [*numbers, *shares], strict=True))


def shuffled(ids: Iterable[str], *, seed: int, draw: int) -> np.ndarray:
    """Positions (int64) of ``ids`` in an order by hash of seed, draw and each id, whatever other ids there are.

    So fewer shots are part of more, and a new item moves no other one. Groups are not kept apart.
    """
    return np.argsort([sha256(f"{seed}/{draw}/{name}".encode()).digest() for name in ids], kind="stable")


def take(order: np.ndarray, labels: np.ndarray, want: Wanted) -> tuple[np.ndarray, int]:
    """The first items of each class, and how many classes have fewer than wanted, of which all are taken.

    Args:
        order: int64 (n,), positions of items.
        labels: class by position, int64.
        want: items wanted of a class, by its size.

    Returns:
        Positions in the order of ``order``, int64, and the number of short classes.
    """
    own = pd.Series(labels[order])
    sizes = own.value_counts()
    wanted = pd.Series({label: want(int(size)) for label, size in sizes.items()})
    taken = own.groupby(own).cumcount().to_numpy() < own.map(wanted).to_numpy()
    return order[taken], int((sizes < wanted[sizes.index]).sum())
