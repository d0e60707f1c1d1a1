"""Retrieval: the nearest training items of each test item, and how soon one of its class is among them."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xdcbench.config.evaluation import Retrieval
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import Features, load_features
from xdcbench.evaluation.writer import Evaluation, Metric, split_rows, write_results
from xdcbench.models.encoders import load_encoder_metadata

BUDGET = 2**22
"""Scores that are held at once: 16 MiB in float32, which stay near the processor."""


class Ranking(NamedTuple):
    """What each query finds.

    Attributes:
        nearest: int64 (queries,), position of the highest score in the gallery.
        rank: int64 (queries,), of the first right item, from 1; gallery size + 1 where there is none.
    """

    nearest: np.ndarray
    rank: np.ndarray

    def recall(self, k: int) -> float:
        """Share of queries, in %, that have a right item among their first ``k``."""
        return 100.0 * float((self.rank <= k).mean())


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: rank the training items for each test item by the cosine of their mean features.

    Splits that keep groups apart, as UCF101's do, never rank a query against its own video source.
    """
    assert isinstance(config.settings, Retrieval)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    train, test = split_rows(config, index, features)
    check_depths(config.settings.ks, len(train))
    gallery = unordered(index, train)
    labels = torch.tensor(index.labels)
    found = rank_gallery(
        cosines(unit_vectors(features, index, test), unit_vectors(features, index, gallery)),
        labels[test],
        labels[gallery],
    )
    encoders = load_encoder_metadata(inputs["features"])
    evaluation = Evaluation(config, index, encoders, test, features.failed, work, context)
    write_ranking(evaluation, found, gallery, ks=config.settings.ks)


def write_ranking(
    evaluation: Evaluation, found: Ranking, gallery: np.ndarray, *, ks: Iterable[int], **fields: Any
) -> None:
    """Write recall at each depth, and per query the nearest item, its class and the rank of the first right one.

    Args:
        evaluation: what was evaluated; its rows are the queries.
        gallery: int64 positions of its items, in the order that was ranked.
    """
    index, nearest = evaluation.index, gallery[found.nearest]
    asked, there = index.labels[evaluation.rows], index.labels[gallery]
    predictions = pd.DataFrame(
        {
            "prediction": index.labels[nearest],
            "rank": found.rank,
            "nearest": index.items["id"].iloc[nearest].to_numpy(),
        }
    )
    metrics = [
        Metric(f"recall_at_{k}", found.recall(k), outcomes={"chance": recall_by_chance(asked, there, k)})
        for k in ks
    ]
    write_results(evaluation, metrics, predictions, **fields)


def recall_by_chance(queries: np.ndarray, gallery: np.ndarray, k: int) -> float:
    """Recall at ``k``, in per cent, that a gallery in random order has on average (hypergeometric).

    Args:
        queries: classes, int64 (queries,).
        gallery: classes, int64 (items,), more than ``k``.
    """
    n, drawn = len(gallery), np.arange(k)
    classes, count = np.unique(queries, return_counts=True)
    wrong = n - np.bincount(gallery, minlength=classes.max() + 1)[classes]
    missed = (np.maximum(wrong[:, None] - drawn, 0) / (n - drawn)).prod(axis=1)
    return 100.0 * float(np.average(1 - missed, weights=count))


def check_depths(ks: Iterable[int], gallery: int) -> None:
    """Refuse a depth at which every query finds its class, whatever the features.

    Raises:
        UserError: a depth is not in 1..gallery - 1.
    """
    bad = [k for k in ks if not 1 <= k < gallery]
    if bad:
        raise UserError(
            f"retrieval: recall at {bad[0]} of {gallery} training items says nothing; "
            f"give `ks` from 1 to {gallery - 1}"
        )


def unordered(index: Index, rows: np.ndarray) -> np.ndarray:
    """``rows`` in an order by hash of their ids, so that equal scores favor no class.

    An index lists class after class: in its order, an encoder whose features are all equal would find
    one class at every depth, and not what chance finds.
    """
    ids = index.items["id"].iloc[rows]
    return rows[np.argsort([sha256(name.encode()).digest() for name in ids], kind="stable")]


def unit_vectors(features: Features, index: Index, rows: np.ndarray) -> Tensor:
    """Mean features over clips, scaled to unit length: float32 (len(rows), features).

    Raises:
        UserError: names an item whose mean feature is zero, which has no direction, or not finite.
    """
    means = torch.from_numpy(features.means(rows))
    norms = torch.linalg.vector_norm(means, dim=1)
    bad = rows[~(norms.isfinite() & (norms > 0)).numpy()]
    if len(bad):
        raise UserError(
            f"{index.name}: the mean feature of item {index.items['id'].iloc[bad[0]]!r} is zero or not finite, "
            f"so that it has no cosine ({len(bad)} of {len(rows)} items have none). Try: look at the item with "
            f"`xdcbench data verify`; where it is sound, train the encoder again at a lower learning rate"
        )
    return normalize(means, dim=1)


def cosines(queries: Tensor, gallery: Tensor) -> Iterator[Tensor]:
    """Products of unit vectors, (at least 1, gallery) at a time and at most about ``BUDGET`` of them.

    Args:
        queries: float32 (n, features).
        gallery: float32 (m, features).
    """
    for part in queries.split(max(1, BUDGET // len(gallery))):
        yield part @ gallery.T


def rank_gallery(scores: Iterable[Tensor], queries: Tensor, gallery: Tensor) -> Ranking:
    """Rank a gallery for each query, by falling score; of equal scores the earlier in the gallery is first.

    A rank is counted, not sorted: items above the best right one, and its equals before it.

    Args:
        scores: float (some queries, m) at a time, n in all, in the order of ``queries``; -inf is a score.
        queries: int64 (n,); classes, or whatever else makes an item of the gallery right.
        gallery: int64 (m,).

    Raises:
        ValueError: a score is NaN, or there is not one row per query.
    """
    # Numbers, not tensors: those would lie in the gaps that blocks leave, and each block take new memory.
    nearest: list[int] = []
    ranks: list[int] = []
    begin = 0
    order = torch.arange(len(gallery))
    for part in scores:
        right = queries[begin : begin + len(part), None] == gallery
        top, first = part.max(dim=1)
        if top.isnan().any():
            raise ValueError(f"a score of query {begin + int(top.isnan().nonzero()[0])} is NaN")
        best = part.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        level = part == best
        chosen = (level & right).to(torch.uint8).argmax(dim=1, keepdim=True)
        ahead = (part > best).sum(dim=1) + (level & (order < chosen)).sum(dim=1)
        nearest += first.tolist()
        ranks += torch.where(right.any(dim=1), ahead + 1, len(gallery) + 1).tolist()
        begin += len(part)
    if begin != len(queries):
        raise ValueError(f"{begin} rows of scores for {len(queries)} queries")
    return Ranking(np.array(nearest, dtype=np.int64), np.array(ranks, dtype=np.int64))
