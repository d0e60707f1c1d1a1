"""Speed of the audio SVM beside a plain loop over LinearSVC, on features of ESC-50's size, in the same run."""

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from xdcbench.config.evaluation import LinearSVM
from xdcbench.evaluation.linear_svm import svms

CLASSES, WINDOWS, D = 50, 10, 512
CS = tuple(np.logspace(-5, 0, 8).tolist())
SETTINGS = LinearSVM(Cs=CS, num_clips=WINDOWS, precision="fp32")
TIMED = (3, 31)
"""Classes for which the loop is run; its time is that of one class times all classes."""
WORLDS = {"easy": (0.6, 1.0), "hard": (0.25, 0.5)}
"""Distance of the classes, and how fast the spectrum of the features decays."""


def recordings(world: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a frozen encoder might give: float32 (2000, 10, 512), classes and sources of two recordings each.

    The classes' means have rank 40; sources, recordings and windows scatter around them with one decaying
    spectrum, and a rectifier makes all of it skewed and off the origin.
    """
    apart, decay = WORLDS[world]
    rng = np.random.default_rng(0)
    source = np.arange(2000) // 2
    labels = source % CLASSES
    rank = 40
    means = rng.normal(size=(CLASSES, rank)) @ rng.normal(size=(rank, D)) / np.sqrt(rank)
    x = apart * means[labels][:, None] + 0.5 * rng.normal(size=(2000, WINDOWS, D))
    x += 0.7 * rng.normal(size=(1000, 1, D))[source] + 0.7 * rng.normal(size=(2000, 1, D))
    basis = np.linalg.qr(rng.normal(size=(D, D)))[0]
    x = (x * np.arange(1, D + 1) ** -decay) @ basis
    return np.maximum(x + 0.3 * x.std(), 0).astype(np.float32), labels, source


def own(train: np.ndarray, labels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Scores (values of C, held recordings, classes)."""
    found = list(svms(train, labels, held, cs=CS, classes=CLASSES, settings=SETTINGS))
    assert all(converged for _, converged in found)
    return np.stack([scores for scores, _ in found])


def loop(train: np.ndarray, labels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The same of the timed classes, by LinearSVC as it comes."""
    scale = StandardScaler().fit(train.reshape(-1, D))
    x, y = scale.transform(train.reshape(-1, D)), labels.repeat(WINDOWS)
    test = scale.transform(held.reshape(-1, D))
    scores = np.empty((len(CS), len(held), len(TIMED)))
    for i, c in enumerate(CS):
        for k, label in enumerate(TIMED):
            model = LinearSVC(C=c, dual=False, random_state=0).fit(x, y == label)
            scores[i, :, k] = model.decision_function(test).reshape(-1, WINDOWS).mean(axis=1)
    return scores


@pytest.mark.bench
@pytest.mark.parametrize("world", WORLDS)
def test_beside_a_loop_over_linear_svc(benchmark: BenchmarkFixture, world: str) -> None:
    """One of the twenty inner folds, all values of C: the same scores, at least ten times as fast."""
    x, labels, source = recordings(world)
    number = source // CLASSES  # of the source in its class, 0 to 19: 4 for the test, 4 held out
    inside, held = number >= 8, (number >= 4) & (number < 8)
    part = (x[inside], labels[inside], x[held])
    times: dict[str, list[float]] = {"own": [], "loop": []}
    scores: dict[str, np.ndarray] = {}

    def take_turns() -> None:
        # A busy machine then slows both alike.
        for name, method in (("own", own), ("loop", loop)):
            started = time.perf_counter()
            scores[name] = method(*part)
            times[name].append(time.perf_counter() - started)

    benchmark.pedantic(take_turns, rounds=2, iterations=1)
    fast, slow = min(times["own"]), min(times["loop"]) * CLASSES / len(TIMED)
    benchmark.extra_info |= {
        "loop / own": round(slow / fast, 1),
        "own, seconds for the 20 inner folds": round(20 * fast),
        "accuracy by C": (scores["own"].argmax(axis=2) == labels[held]).mean(axis=1).round(3).tolist(),
    }
    # LinearSVC stops by a looser rule, and what is left shows where C is large.
    np.testing.assert_allclose(scores["own"][:, :, TIMED], scores["loop"], atol=0.1)
    assert slow >= 10 * fast
