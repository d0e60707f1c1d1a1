"""Linear SVM on frozen audio features: one against all, C chosen inside the training part."""

import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from xdcbench.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluations.features import load_features
from xdcbench.evaluations.outcome import finish, split_rows
from xdcbench.models.encoders import load_card
from xdcbench.progress import log, track
from xdcbench.schema import LinearSVM
from xdcbench.stages import EvaluationStage


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: choose C by cross-validation over training recordings, refit, score the test recordings."""
    assert isinstance(config.settings, LinearSVM)
    index, features, settings = Index.load(inputs["data"]), load_features(inputs["features"]), config.settings
    train, test = (features.readable(rows) for rows in split_rows(config, index))
    x, labels = np.asarray(features.of[train]), index.labels[train]
    groups = index.items["group"].to_numpy()[train]
    c, folds = choose_c(x, labels, groups, settings=settings, seed=config.seed)
    scores, converged = svm(
        x, labels, np.asarray(features.of[test]), c=c, classes=len(index.classes), settings=settings
    )
    finish(
        config,
        index,
        load_card(inputs["features"]),
        scores,
        test,
        features.failed,
        work=work,
        context=context,
        outcomes={"c": c, "inner_folds": folds, "converged": converged},
    )


def choose_c(
    x: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, settings: LinearSVM, seed: int
) -> tuple[float, int]:
    """The C of highest accuracy over the inner folds, the smallest of equals, and the number of folds.

    Recordings of one source stay in one fold. There are as many folds as asked for, or as the class with
    the fewest sources allows.

    Args:
        x: float32 (recordings, windows, features).
        labels: int64 (recordings,).
        groups: source of each recording.
        settings: candidates and folds.
        seed: of the folds.

    Raises:
        UserError: a class has recordings of one source only, so that nothing can be held out.
    """
    if len(settings.cs) == 1:
        return settings.cs[0], 0
    sources = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    folds = min(settings.inner_folds, sources)
    if folds < 2:
        raise UserError(
            "C cannot be chosen: a class has training recordings of one source only; give one C in `cs`"
        )
    split = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(x, labels, groups))
    right = np.zeros(len(settings.cs))
    with track("choosing C", len(split) * len(settings.cs)) as tick:
        for train, held in split:
            for i, c in enumerate(settings.cs):
                scores, _ = svm(
                    x[train], labels[train], x[held], c=c, classes=labels.max() + 1, settings=settings
                )
                right[i] += (scores.argmax(axis=1) == labels[held]).sum()
                tick()
    log.info(
        "accuracy over %d inner folds: %s",
        folds,
        dict(zip(settings.cs, (right / len(x)).round(4).tolist(), strict=True)),
    )
    return settings.cs[int(right.argmax())], folds


def svm(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, c: float, classes: int, settings: LinearSVM
) -> tuple[np.ndarray, bool]:
    """One-vs-all margins of test recordings (LinearSVC: L2 penalty, squared hinge).

    Args:
        train: float32 (recordings, windows, features); every window is a training point.
        labels: int64 (recordings,).
        test: float32 (test recordings, windows, features).
        c: inverse penalty.
        classes: number of classes.
        settings: iterations.

    Returns:
        float64 (test recordings, classes), mean margin over windows, below all others for classes without
        a training recording; and whether the solver converged.
    """
    x, y = train.reshape(-1, train.shape[-1]), labels.repeat(train.shape[1])
    scale = StandardScaler().fit(x)
    model = LinearSVC(C=c, max_iter=settings.max_iter, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(scale.transform(x), y)
    margins = model.decision_function(scale.transform(test.reshape(-1, test.shape[-1])))
    if margins.ndim == 1:
        margins = np.stack([-margins, margins], axis=1)
    scores = np.full((len(test), classes), margins.min() - 1.0)
    scores[:, model.classes_] = margins.reshape(*test.shape[:2], -1).mean(axis=1)
    return scores, not any(issubclass(w.category, ConvergenceWarning) for w in caught)
