"""Linear probe: multinomial logistic regression on frozen features (paper, "fc only")."""

import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import cross_entropy

from xdcbench.config.evaluation import LinearProbe, LowShot, Temporal
from xdcbench.config.pretraining import Schedule
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.sweep import choose
from xdcbench.evaluation.writer import Evaluation, split_rows, write_classification
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.training import rate_factor, sgd
from xdcbench.utils.progress import track
from xdcbench.utils.runtime import Stream, numpy_generator

Predict = Callable[[np.ndarray], np.ndarray]
"""From standardized clips, float32 (n, features), to class probabilities, (n, classes)."""


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: fit on the clips of the training items, score test items by the mean softmax of theirs.

    Augmented clips, where there are any, are learned from and never scored.
    """
    settings = config.settings
    assert isinstance(settings, LinearProbe)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    train, test = split_rows(config, index, features)
    x, labels = np.asarray(features.of[train]), index.labels[train]
    chosen: dict[str, Any] = {}
    if settings.Cs:
        settings, chosen = choose_c(
            x, labels, index.items["group"].iloc[train].to_numpy(), settings, config.seed
        )
    scores, outcomes = probe(
        x,
        labels,
        np.asarray(features.of[test, : settings.num_clips]),
        classes=len(index.classes),
        settings=settings,
        seed=config.seed,
    )
    encoders = load_encoder_metadata(inputs["features"])
    write_classification(
        Evaluation(config, index, encoders, test, features.failed, work, context),
        scores,
        epochs=settings.schedule.epochs if settings.solver == "sgd" else 0,
        outcomes=chosen | outcomes,
    )


def choose_c(
    x: np.ndarray, labels: np.ndarray, groups: np.ndarray, settings: LinearProbe, seed: int
) -> tuple[LinearProbe, dict[str, Any]]:
    """The settings with the C of highest accuracy over inner folds, and for the record what each C reached.

    Args:
        x: float32 (training items, clips, features), of which the first ``num_clips`` are scored.
        labels: int64 (training items,).
        groups: group of each training item.

    Raises:
        UserError: as ``choose``.
    """
    each = [settings.model_copy(update={"C": c}) for c in sorted(settings.Cs)]

    def fit(train: np.ndarray, held: np.ndarray) -> Iterator[tuple[np.ndarray, bool]]:
        clips = x[held, : settings.num_clips]
        for one in each:
            scores, found = probe(x[train], labels[train], clips, classes=labels.max() + 1, settings=one)
            yield scores, found["converged"]

    found = choose(fit, labels, groups, cs=settings.Cs, folds=settings.inner_folds, seed=seed)
    tried = [{"C": c, "val_top1": 100.0 * accuracy} for c, accuracy in found.accuracies.items()]
    outcomes = {"sweep": tried, "c": found.c, "inner_folds": found.folds}
    return settings.model_copy(update={"C": found.c}), outcomes


def probe(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    *,
    classes: int,
    settings: LinearProbe | LowShot | Temporal,
    seed: int = 0,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Class probabilities of test items.

    Args:
        train: float32 (items, clips, features); each clip is a training point.
        labels: int64 (items,), at least two classes.
        test: float32 (test items, test clips, features).
        seed: of the order of clips (sgd).

    Returns:
        Float (test items, classes), mean over clips; zero for classes without a training item. And what the
        solver found: whether it ``converged`` (lbfgs), or the last epoch's mean ``loss`` (sgd).

    Raises:
        UserError: as ``layer``.
    """
    x = train.reshape(-1, train.shape[-1])
    present, y = np.unique(labels.repeat(train.shape[1]), return_inverse=True)
    scale = StandardScaler().fit(x)
    x = scale.transform(x)
    if isinstance(settings, LinearProbe) and settings.solver == "sgd":
        predict, outcomes = layer(x, y, schedule=settings.schedule, batch=settings.batch_size, seed=seed)
    else:
        predict, outcomes = regression(x, y, c=settings.C, max_iter=settings.max_iter)
    found = predict(scale.transform(test.reshape(-1, test.shape[-1])))
    scores = np.zeros((len(test), classes))
    scores[:, present] = found.reshape(*test.shape[:2], -1).mean(axis=1)
    return scores, outcomes


def regression(x: np.ndarray, y: np.ndarray, *, c: float, max_iter: int) -> tuple[Predict, dict[str, Any]]:
    """Logistic regression by scikit-learn's L-BFGS, and whether it ``converged``.

    On one thread, 130,000 clips of 512 features in 101 classes take 11 to 16 s.

    Args:
        x: float32 (n, features), standardized.
        y: int64 (n,).
        c: inverse L2 penalty.
    """
    model = LogisticRegression(C=c, max_iter=max_iter)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(x, y)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return model.predict_proba, {"converged": converged}


def layer(
    x: np.ndarray, y: np.ndarray, *, schedule: Schedule, batch: int, seed: int
) -> tuple[Predict, dict[str, Any]]:
    """A linear layer trained by SGD, and the mean ``loss`` of its last epoch.

    It starts at zero, since the problem is convex; the order of clips depends on seed and epoch alone.

    Args:
        x: float32 (n, features), standardized.
        y: int64 (n,), in 0..classes - 1.
        batch: clips per step; the last of an epoch may have fewer.

    Raises:
        UserError: the loss is not finite.
    """
    clips, target = torch.from_numpy(x), torch.from_numpy(y)
    linear = nn.Linear(x.shape[1], int(y.max()) + 1)
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    optimizer, loss = sgd([(linear, schedule.lr)], schedule), 0.0
    with track("linear probe, epochs", schedule.epochs) as tick:
        for epoch in range(schedule.epochs):
            order = torch.from_numpy(numpy_generator(seed, Stream.PROBE_EPOCH, epoch).permutation(len(x)))
            loss = 0.0
            for step, part in enumerate(order.split(batch)):
                factor = rate_factor(schedule, epoch + step * batch / len(x))
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor
                value = cross_entropy(linear(clips[part]), target[part])
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                loss += value.item() * len(part) / len(x)
            if not math.isfinite(loss):
                raise UserError(
                    f"linear probe: the loss became {loss} in epoch {epoch + 1}; lower `schedule.lr`, "
                    f"which is {schedule.lr:g}"
                )
            tick()

    @torch.inference_mode()
    def predict(x: np.ndarray) -> np.ndarray:
        found: np.ndarray = linear(torch.from_numpy(x)).softmax(dim=1).numpy()
        return found

    return predict, {"loss": loss}
