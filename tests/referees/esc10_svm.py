"""The audio SVM by scikit-learn alone: ``python tests/referees/esc10_svm.py DATA FEATURES SPLIT SEED``.

DATA and FEATURES are the run directories of an index and of its audio features; the answer, lines of id and
predicted label of the split's test recordings after a line with C, goes to the standard output. It shares no
code with the suite: scaler and LinearSVC in a pipeline, C by grouped folds, mean of window scores.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

CS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 4


def decided(x: np.ndarray, labels: np.ndarray, test: np.ndarray, c: float) -> np.ndarray:
    """Predicted labels of test recordings; x and test are (recordings, windows, features)."""
    model = make_pipeline(StandardScaler(), LinearSVC(C=c, max_iter=100_000, random_state=0))
    model.fit(np.concatenate(x), np.repeat(labels, x.shape[1]))
    scores = np.stack([model.decision_function(recording).mean(axis=0) for recording in test])
    return model.classes_[scores.argmax(axis=1)]


def search(
    x: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, cs: tuple[float, ...], seed: int
) -> float:
    """The first C of highest accuracy over grouped folds."""
    right = dict.fromkeys(cs, 0)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, held in folds.split(x, labels, groups):
        for c in cs:
            right[c] += int((decided(x[train], labels[train], x[held], c) == labels[held]).sum())
    return max(cs, key=right.__getitem__)


def main(data: str, features: str, split: str, seed: str) -> None:
    items = pd.read_feather(Path(data) / "items.arrow")
    x = np.load(Path(features) / "features.npy", allow_pickle=False)
    usable = np.isfinite(x).all(axis=(1, 2))
    train, test = (np.flatnonzero(usable & (items[f"split:{split}"] == part)) for part in ("train", "test"))
    labels, groups = items["label"].to_numpy(), items["group"].to_numpy()
    c = search(x[train], labels[train], groups[train], cs=CS, seed=int(seed))
    guesses = decided(x[train], labels[train], x[test], c)
    sys.stdout.write(f"C {c:g}\n")
    for name, guess in zip(items["id"].iloc[test], guesses, strict=True):
        sys.stdout.write(f"{name} {guess}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
