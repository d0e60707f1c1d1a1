"""Linear probe of items with several classes each: a logistic regression per class, all of them solved together."""

from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import softplus

from xdcbench.config.evaluation import MultilabelProbe
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.data.label_sets import is_told_apart, label_sets
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.multilabel_writer import write_multilabel
from xdcbench.evaluation.writer import Evaluation, split_rows
from xdcbench.models.encoders import load_encoder_metadata

BLOCK = 8192
"""Points whose logits are held at a time: 35 MB for AudioSet's classes."""

TOLERANCE = 1e-4
"""Largest gradient at which the solver stops, of the mean loss over points, in units of curvature 1: no weight is
farther than about that from its best, in these units."""


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

    from weights of zero and the intercept that is best for them. Labels enter through the sum of each class's points
    alone. L-BFGS sees weights in the principal axes of the points, each in units in which the curvature is 1 at the
    start. So rare classes and correlated features converge as fast as others.

    Args:
        x: float32 (n, features), of mean 0.
        labels: (n, classes) of 0 and 1, each class with both.
        c: inverse L2 penalty.
        max_iter: steps.

    Returns:
        Float64 (classes, features + 1), weights and then the intercept of each class; and whether it converged.
    """
    n, features = x.shape
    spread, axes = np.linalg.eigh(x.T @ x / n)
    points = torch.from_numpy(np.hstack([x @ axes, np.ones((n, 1), dtype=x.dtype)]))
    positives = torch.from_numpy(np.asarray(labels.T @ points.numpy(), dtype=np.float64)) / n
    share, variances = positives[:, -1:], torch.from_numpy(np.append(spread.clip(0), 1.0))
    penalty = torch.tensor([1 / (c * n)] * features + [0.0], dtype=torch.float64)
    unit = (share * (1 - share) * variances + penalty).rsqrt()

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = unit * torch.from_numpy(flat).view(unit.shape)
        gradient = penalty * weights - positives
        value = float((weights * (penalty * weights / 2 - positives)).sum())
        for block in points.split(BLOCK):
            block = block.double()  # float32 is too coarse for the last steps of the line search
            logits = block @ weights.T
            value += float(softplus(logits).sum()) / n
            gradient += logits.sigmoid_().T @ block / n
        return value, (unit * gradient).flatten().numpy()

    start = torch.zeros_like(unit)
    start[:, -1] = (share.logit() / unit[:, -1:])[:, 0]
    options = {"maxiter": max_iter, "gtol": TOLERANCE, "ftol": 0, "maxls": 50}
    found = minimize(objective, start.flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    weights = found.x.reshape(unit.shape) * unit.numpy()
    weights[:, :-1] = weights[:, :-1] @ axes.T
    return weights, bool(np.abs(found.jac).max() <= TOLERANCE)
