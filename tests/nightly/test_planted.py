"""Mistakes that benchmarks are known to make, planted one at a time in a copy of the package: `check` sees each.

These are seen in seconds, before anything is trained for long; the page says which tier sees which.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.nightly

ROOT = Path(__file__).parents[2]
QUICK = "inputs,features,algorithms,steps"


class Mistake(NamedTuple):
    """A line of the package, by file, and what it is turned into; the tier that sees it first.

    ``helper`` is appended to the file: what the planted line calls.
    """

    file: str
    line: str
    planted: str
    tier: str
    helper: str = ""


PERMUTED = """

def permuted(of):
    there = np.flatnonzero(of >= 0)
    other = of.copy()
    other[there] = of[np.random.default_rng(0).permutation(there)]
    return other
"""

BEST_OF_TEST = """

def best_of_test(features, index, train, test, settings):
    def right(c):
        found, _ = svm(
            np.asarray(features.of[train]),
            index.labels[train],
            np.asarray(features.of[test]),
            c=c,
            classes=len(index.classes),
            settings=settings,
        )
        return (found.argmax(axis=1) == index.labels[test]).mean()

    return max(settings.Cs, key=right)
"""


MISTAKES = {
    "RGB as BGR": Mistake(
        "data/clip_dataset.py",
        "box = clip[:, top : top + side, left : left + side]",
        "box = clip[:, top : top + side, left : left + side].flip(-1)",
        "inputs",
    ),
    "mean and deviation of the input swapped": Mistake(
        "data/transforms.py",
        "mean, std = torch.tensor(declared.mean), torch.tensor(declared.std)",
        "std, mean = torch.tensor(declared.mean), torch.tensor(declared.std)",
        "inputs",
    ),
    "frames reversed": Mistake(
        "data/clip_dataset.py",
        "box = clip[:, top : top + side, left : left + side]",
        "box = clip.flip(0)[:, top : top + side, left : left + side]",
        "inputs",
    ),
    "half the frame rate": Mistake(
        "data/clip_dataset.py",
        "frames=video.frames, fps=video.fps)",
        "frames=video.frames, fps=video.fps / 2)",
        "inputs",
    ),
    "audio shifted by 1 s against video": Mistake(
        "data/clip_dataset.py",
        "return read(start=start, seconds=audio.seconds, sample_rate=audio.sample_rate)",
        "return read(start=start + 1, seconds=audio.seconds, sample_rate=audio.sample_rate)",
        "inputs",
    ),
    "clips at test from the first second only": Mistake(
        "data/clips.py",
        "places = [0.5] if clips == 1 else [i / (clips - 1) for i in range(clips)]",
        "places, last_start = [i / clips for i in range(clips)], 0.01",
        "inputs",
    ),
    "folds off by one": Mistake(
        "data/datasets/esc50.py",
        '(items["fold"] == n).map',
        '(items["fold"] == str(int(n) % 5 + 1)).map',
        "inputs",
    ),
    "test items in training": Mistake(
        "data/index.py",
        'keep = (self.items[f"split:{split}"] == part) & self.items["ok"]',
        'keep = ((self.items[f"split:{split}"] == part) | (part == "train")) & self.items["ok"]',
        "inputs",
    ),
    "BatchNorm in train mode at extraction": Mistake(
        "models/inference.py", "        encoder.eval()\n", "        encoder.train()\n", "features"
    ),
    "features without L2": Mistake(
        "clustering/preprocess.py",
        'return normalize(self._whitened(x) if self.mode == "pca_whiten_l2" else x, dim=1)',
        'return self._whitened(x) if self.mode == "pca_whiten_l2" else x',
        "algorithms",
    ),
    "k-means stopped after one iteration": Mistake(
        "clustering/kmeans.py", "while updates < self.max_iter:", "while updates < 1:", "algorithms"
    ),
    "mean of logits for mean of softmax": Mistake(
        "evaluation/linear_probe.py",
        "scores[:, present] = found.reshape(*test.shape[:2], -1).mean(axis=1)",
        "scores[:, present] = np.exp(np.log(found).reshape(*test.shape[:2], -1).mean(axis=1))",
        "algorithms",
    ),
    "one process's share dropped": Mistake(
        "utils/distributed.py",
        "return items[rank() :: sharing] if rank() < sharing else items[:0]",
        "return items[rank() :: sharing] if rank() < max(1, sharing - 1) else items[:0]",
        "algorithms",
    ),
    "a failed item replaced by its neighbor": Mistake(
        "data/shared_batches.py",
        "notes.append(Note(position, spec.row, failed=error.reason))\n                continue",
        'sample = self.clips[__import__("dataclasses").replace(spec, row=spec.row - 1)]',
        "inputs",
    ),
    "pseudo-labels permuted": Mistake(
        "pretraining/learner.py",
        "torch.from_numpy(self.labels.of[source][rows.numpy()])",
        "torch.from_numpy(permuted(self.labels.of[source])[rows.numpy()])",
        "steps",
        PERMUTED,
    ),
    "labels of the own modality": Mistake(
        "pretraining/learner.py",
        "self.judge(scores.float(), source, batch.rows)",
        'self.judge(scores.float(), {"a": "v", "v": "a"}.get(source, source), batch.rows)',
        "steps",
    ),
    "heads not reset": Mistake(
        "pretraining/rounds.py", "if not config.pretrain.reset_heads:", "if config.round > 1:", "steps"
    ),
    "C chosen on the test fold": Mistake(
        "evaluation/linear_svm.py",
        "c, folds = choose_c(x, labels, groups, settings=settings, seed=config.seed)",
        "c, folds = best_of_test(features, index, train, test, settings), settings.inner_folds",
        "steps",
        BEST_OF_TEST,
    ),
    "best epoch taken on test": Mistake(
        "evaluation/finetune.py", "held = np.empty(0, dtype=np.int64)", "held = test", "steps"
    ),
}


def check(package: Path, tiers: str) -> subprocess.CompletedProcess[str]:
    """Run the check of smoke with the package of another folder."""
    words = [
        "check",
        "--suite",
        "smoke",
        "--tiers",
        tiers,
        "--baseline",
        str(ROOT / "baselines/regression/smoke.json"),
    ]
    return subprocess.run(
        [sys.executable, "-m", "xdcbench", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with what it reads beside it."""
    for name in ("xdcbench", "configs", "baselines", "tables"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_nothing_moves_in_a_copy(package: Path) -> None:
    done = check(package, QUICK)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_seen(package: Path, name: str) -> None:
    mistake = MISTAKES[name]
    path = package / "xdcbench" / mistake.file
    text = path.read_text()
    assert text.count(mistake.line) == 1, "the line is still there, so that something is planted"
    path.write_text(text.replace(mistake.line, mistake.planted) + mistake.helper)
    done = check(package, QUICK)
    assert done.returncode == 1, done.stdout + done.stderr
    moved = [line for line in done.stdout.splitlines() if ": expected " in line]
    print(f"{name}\t{mistake.tier}\t{len(moved)} moved")  # noqa: T201 - the table of docs/explanation/testing.md
    tiers = {line.split("/")[0] for line in moved}
    assert mistake.tier in tiers
    order = QUICK.split(",")
    assert min(tiers, key=order.index) == mistake.tier


def test_shuffled_folds_are_refused(package: Path) -> None:
    """They part the takes of one source, which an index sees by itself."""
    path = package / "xdcbench" / "data" / "datasets" / "esc50.py"
    text, line = path.read_text(), '(items["fold"] == n).map'
    assert text.count(line) == 1
    shuffled = '(items["fold"].sample(frac=1, random_state=0).set_axis(items.index) == n).map'
    path.write_text(text.replace(line, shuffled))
    done = check(package, QUICK)
    assert done.returncode == 2
    assert "train and test of split" in done.stderr
