"""Linear probe: multinomial logistic regression on frozen features (paper, "fc only")."""

import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from xdcbench.context import Context
from xdcbench.data.index import Index
from xdcbench.evaluations.features import load_features
from xdcbench.evaluations.outcome import finish, split_rows
from xdcbench.models.encoders import load_card
from xdcbench.schema import LinearProbe
from xdcbench.stages import EvaluationStage


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: fit on the clips of the training items, score test items by the mean softmax of theirs."""
    assert isinstance(config.settings, LinearProbe)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    train, test = (features.readable(rows) for rows in split_rows(config, index))
    scores, converged = probe(
        np.asarray(features.of[train]),
        index.labels[train],
        np.asarray(features.of[test]),
        classes=len(index.classes),
        settings=config.settings,
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
        outcomes={"converged": converged},
    )


def probe(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, classes: int, settings: LinearProbe
) -> tuple[np.ndarray, bool]:
    """Class probabilities of test items.

    Args:
        train: float32 (items, clips, features).
        labels: int64 (items,).
        test: float32 (test items, clips, features).
        classes: number of classes.
        settings: penalty and iterations.

    Returns:
        float64 (test items, classes), mean over clips; zero for classes without a training item. And
        whether the solver converged.
    """
    x, y = train.reshape(-1, train.shape[-1]), labels.repeat(train.shape[1])
    scale = StandardScaler().fit(x)
    model = LogisticRegression(C=settings.c, max_iter=settings.max_iter)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(scale.transform(x), y)
    found = model.predict_proba(scale.transform(test.reshape(-1, test.shape[-1])))
    scores = np.zeros((len(test), classes))
    scores[:, model.classes_] = found.reshape(*test.shape[:2], -1).mean(axis=1)
    return scores, not any(issubclass(w.category, ConvergenceWarning) for w in caught)
