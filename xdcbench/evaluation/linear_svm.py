"""Linear SVM on frozen audio features: one against all, C chosen inside the training part."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler

from xdcbench.config.evaluation import LinearSVM
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.squared_hinge import fit_linear_svms
from xdcbench.evaluation.sweep import choose
from xdcbench.evaluation.writer import Evaluation, split_rows, write_classification
from xdcbench.models.encoders import load_encoder_metadata


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: choose C by cross-validation over training recordings, refit, score the test recordings."""
    settings = config.settings
    assert isinstance(settings, LinearSVM)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    train, test = split_rows(config, index, features)
    x, labels = np.asarray(features.of[train]), index.labels[train]
    groups = index.items["group"].iloc[train].to_numpy()
    c, folds = choose_c(x, labels, groups, settings=settings, seed=config.seed)
    scores, converged = svm(
        x, labels, np.asarray(features.of[test]), c=c, classes=len(index.classes), settings=settings
    )
    encoders = load_encoder_metadata(inputs["features"])
    write_classification(
        Evaluation(config, index, encoders, test, features.failed, work, context),
        scores,
        outcomes={"c": c, "inner_folds": folds, "converged": converged},
    )


def choose_c(
    x: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, settings: LinearSVM, seed: int
) -> tuple[float, int]:
    """The C of highest accuracy over the inner folds, the smallest of equals, and the number of folds.

    Args:
        x: float32 (recordings, windows, features).
        labels: int64 (recordings,).
        groups: source of each recording.

    Raises:
        UserError: as ``choose``.
    """

    def fit(train: np.ndarray, held: np.ndarray) -> Iterator[tuple[np.ndarray, bool]]:
        cs, classes = sorted(settings.Cs), labels.max() + 1
        return svms(x[train], labels[train], x[held], cs=cs, classes=classes, settings=settings)

    found = choose(fit, labels, groups, cs=settings.Cs, folds=settings.inner_folds, seed=seed)
    return found.c, found.folds


def svm(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, c: float, classes: int, settings: LinearSVM
) -> tuple[np.ndarray, bool]:
    """Scores of one C, and whether its solver converged; see ``svms``."""
    return next(svms(train, labels, test, cs=(c,), classes=classes, settings=settings))


def svms(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    *,
    cs: Sequence[float],
    classes: int,
    settings: LinearSVM,
) -> Iterator[tuple[np.ndarray, bool]]:
    """One-vs-all margins of test recordings for each C in ascending order, on standardized features.

    Args:
        train: float32 (recordings, windows, features); every window is a training point.
        labels: int64 (recordings,).
        test: float32 (test recordings, windows, features).
        cs: weights of the squared hinge against the penalty.

    Yields:
        float64 (test recordings, classes), mean margin over windows, below all others for classes without
        a training recording; and whether the solver converged.

    Raises:
        UserError: all training recordings are of one class.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise UserError("a linear SVM needs training recordings of two classes or more; there is one")
    scale = StandardScaler().fit(train.reshape(-1, train.shape[-1]))
    x, held = (scale.transform(part.reshape(-1, part.shape[-1])) for part in (train, test))
    y = np.where(present[:, None] == labels.repeat(train.shape[1]), 1.0, -1.0)
    for found in fit_linear_svms(x, y, cs=cs, max_iter=settings.max_iter):
        margins = found.margins(held)
        scores = np.full((len(test), classes), margins.min() - 1)
        scores[:, present] = margins.reshape(*test.shape[:2], -1).mean(axis=1)
        yield scores, found.converged
