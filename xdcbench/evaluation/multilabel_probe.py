"""Linear probe of items with several classes each: a logistic regression per class, all of them solved together."""

from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit, logit
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import softplus

from xdcbench.config.evaluation import MultilabelProbe
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.data.label_sets import label_sets
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.writer import Evaluation, is_told_apart, split_rows, write_multilabel
from xdcbench.models.encoders import load_encoder_metadata

BLOCK = 8192
"""Points whose logits are held at a time: 17 MB for AudioSet's classes."""

TOLERANCE = 1e-5
"""Largest gradient of a weight, of the mean over points, at which the solver stops; a tenth of scikit-learn's, since a
rare class has small gradients everywhere."""


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: fit on the clips of the training items, score test items by the mean sigmoid of theirs."""
    settings = config.settings
    assert isinstance(settings, MultilabelProbe)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    train, test = split_rows(config, index, features)
    sets = label_sets(index)[train]
    scores, converged = probe(
        np.asarray(features.of[train]), sets, np.asarray(features.of[test]), settings=settings
    )
    encoders = load_encoder_metadata(inputs["features"])
    write_multilabel(
        Evaluation(config, index, encoders, test, features.failed, work, context),
        scores,
        outcomes={"converged": converged, "classes_not_learned": int((~is_told_apart(sets)).sum())},
    )


def probe(
    train: np.ndarray, sets: csr_array, test: np.ndarray, *, settings: MultilabelProbe
) -> tuple[np.ndarray, bool]:
    """Scores of test items, and whether the solver converged.

    Args:
        train: float32 (items, clips, features); each clip is a training point.
        sets: (items, classes) of 0 and 1.
        test: float32 (test items, test clips, features).

    Returns:
        Float64 (test items, classes), the mean sigmoid over clips; a class that all training items have, or none, has
        the same score, 1 or 0, for every item.
    """
    learned = is_told_apart(sets)
    points, clips = train.reshape(-1, train.shape[-1]), train.shape[1]
    scale = StandardScaler().fit(points)
    labels = sets[:, learned][np.arange(len(train)).repeat(clips)]
    weights, converged = fit(scale.transform(points), labels, c=settings.C, max_iter=settings.max_iter)
    scores = np.empty((len(test), len(learned)))
    scores[:] = np.asarray(sets.mean(axis=0)).round()
    logits = scale.transform(test.reshape(-1, test.shape[-1])) @ weights[:, :-1].T + weights[:, -1]
    scores[:, learned] = expit(logits).reshape(*test.shape[:2], -1).mean(axis=1)
    return scores, converged


def fit(x: np.ndarray, labels: csr_array, *, c: float, max_iter: int) -> tuple[np.ndarray, bool]:
    """Logistic regression of each class by L-BFGS over all classes, which share the matrix products.

    Each class k minimizes scikit-learn's ``LogisticRegression`` objective, here divided by the number of points,

        |w_k|^2 / 2C + sum_i log(1 + exp(z_ik)) - y_ik z_ik,    z_ik = w_k.x_i + b_k,

    from the intercept of a class without features. Labels enter through the sum of each class's points alone.

    Args:
        x: float32 (n, features), standardized.
        labels: (n, classes) of 0 and 1, each class with both.
        c: inverse L2 penalty.
        max_iter: steps.

    Returns:
        Float64 (classes, features + 1), weights and then the intercept of each class; and whether it converged.
    """
    n, features = x.shape
    points = torch.from_numpy(np.hstack([x, np.ones((n, 1), dtype=np.float32)]))
    positives = torch.from_numpy(np.asarray(labels.T @ points.numpy(), dtype=np.float64))
    penalty = torch.full((features + 1,), 1 / c, dtype=torch.float64)
    penalty[-1] = 0

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.from_numpy(flat).view(positives.shape)
        rounded = weights.float()
        gradient = penalty * weights - positives
        value = float((weights * (penalty * weights / 2 - positives)).sum())
        for block in points.split(BLOCK):
            logits = block @ rounded.T
            value += float(softplus(logits).sum(dtype=torch.float64))
            gradient += logits.sigmoid().T @ block
        return value / n, (gradient / n).flatten().numpy()

    start = np.zeros(positives.shape)
    start[:, -1] = logit(positives[:, -1].numpy() / n)
    options = {"maxiter": max_iter, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps, "maxls": 50}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(start.shape), bool(np.abs(found.jac).max() <= TOLERANCE)
