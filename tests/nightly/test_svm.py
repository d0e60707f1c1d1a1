"""The audio SVM at full size: ESC-10 beside the script of scikit-learn, and a search of ESC-50's size."""

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.bench.test_svm import CLASSES, SETTINGS, WORLDS, recordings
from tests.unit.evaluation.test_linear_svm import agree, esc10
from xdcbench.evaluation.linear_svm import choose_c, svm

pytestmark = pytest.mark.nightly


def test_every_fold_of_esc10(shared_data: Path, tmp_path: Path) -> None:
    inputs = esc10(shared_data, tmp_path, clips=10)
    for split in ("1", "2", "3", "5"):
        agree(inputs, split, tmp_path / split)


@pytest.mark.parametrize("world", WORLDS)
def test_a_search_of_the_size_of_esc50(world: str) -> None:
    """Five folds, eight values of C, four inner folds; then LinearSVC at the C that was chosen.

    The accuracies of a fold differ by one recording at most. The time is told: it should be below 300 s on
    two cores.
    """
    x, labels, source = recordings(world)
    seconds = 0.0
    for fold in range(5):
        test = source // CLASSES % 5 == fold
        started = time.perf_counter()
        c, _ = choose_c(x[~test], labels[~test], source[~test], settings=SETTINGS, seed=0)
        scores, converged = svm(x[~test], labels[~test], x[test], c=c, classes=CLASSES, settings=SETTINGS)
        seconds += time.perf_counter() - started
        model = make_pipeline(StandardScaler(), LinearSVC(C=c, dual=False, random_state=0))
        model.fit(np.concatenate(x[~test]), labels[~test].repeat(x.shape[1]))
        peer = np.stack([model.decision_function(recording).mean(axis=0) for recording in x[test]])
        right, wanted = (int((s.argmax(axis=1) == labels[test]).sum()) for s in (scores, peer))
        print(f"{world}, fold {fold}: C {c:g}, {right} and {wanted} of {test.sum()} right")  # noqa: T201
        assert converged and abs(right - wanted) <= 1
    print(f"{world}: {seconds:.0f} s")  # noqa: T201
