"""k-nearest-neighbor accuracy: the training items most like a test item vote for its class (Wu et al. 2018, DINO)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from xdcbench.config.evaluation import KNN
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.retrieval import cosines, unit_vectors, unordered
from xdcbench.evaluation.writer import Evaluation, guesses, split_rows, top1_of, write_results
from xdcbench.models.encoders import load_encoder_metadata

NEIGHBORS = "neighbors"
"""Name of k in records and predictions; ``k`` there is a number of clusters."""


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: top-1 for each k, by votes of the k training items whose mean features have the highest cosine.

    Splits that keep groups apart, as UCF101's do, never let a test item's own video source vote.
    """
    settings = config.settings
    assert isinstance(settings, KNN)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    train, test = split_rows(config, index, features)
    check_ks(config.name, settings.ks, len(train))
    voters = unordered(index, train)
    similarities = cosines(unit_vectors(features, index, test), unit_vectors(features, index, voters))
    labels = torch.tensor(index.labels)
    voted = vote(similarities, labels[voters], ks=settings.ks, temperature=settings.temperature)
    encoders = load_encoder_metadata(inputs["features"])
    evaluation = Evaluation(config, index, encoders, test, features.failed, work, context)
    known = guesses(evaluation)
    metrics = [top1_of(evaluation, predicted, {NEIGHBORS: k}, known) for k, predicted in voted.items()]
    tables = [pd.DataFrame({NEIGHBORS: k, "prediction": predicted}) for k, predicted in voted.items()]
    write_results(evaluation, metrics, pd.concat(tables, ignore_index=True))


def check_ks(name: str, ks: Iterable[int], items: int) -> None:
    """Refuse a k for which there are too few training ``items``; ``name`` is the evaluation's.

    Raises:
        UserError: names the k, the number of items and the setting.
    """
    lacking = [k for k in ks if k > items]
    if lacking:
        fitting = ",".join(str(k) for k in ks if k <= items) or items
        raise UserError(
            f"{name}: {lacking[0]} neighbors cannot vote where there are {items} training items. "
            f"Try: --set 'evaluations.{name}.ks=[{fitting}]'"
        )


def vote(
    similarities: Iterable[Tensor], labels: Tensor, *, ks: Iterable[int], temperature: float
) -> dict[int, np.ndarray]:
    """The class with most votes of the k most similar items, each weighted by exp(similarity / temperature).

    Args:
        similarities: float32 (some queries, items) at a time; more than one block is never held.
        labels: int64 (items,), class of each item.
        ks: in 1..items.

    Returns:
        By k, from low to high, int64 (queries,); the lowest class of those with equal votes. Of items that
        are equally similar and not all among the k, ``torch.topk`` chooses.
    """
    depths = sorted(set(ks))
    classes = int(labels.max()) + 1
    found: dict[int, list[int]] = {k: [] for k in depths}
    for part in similarities:
        near, items = part.topk(depths[-1], dim=1)
        # Less the highest, which changes no decision: exp never overflows, however low the temperature.
        weights = ((near - near[:, :1]).double() / temperature).exp()
        for k in depths:
            votes = weights.new_zeros(len(part), classes)
            votes.scatter_add_(1, labels[items[:, :k]], weights[:, :k])
            # Numbers, not tensors: those would lie in the gaps that blocks leave, and each block take new memory.
            found[k] += votes.argmax(dim=1).tolist()
    return {k: np.array(predicted, dtype=np.int64) for k, predicted in found.items()}
