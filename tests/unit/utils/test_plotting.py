"""Figures are drawn whatever backend the environment asks for, such as that of a notebook which is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.tiny import linked

ROOT = Path(__file__).parents[3]

DRAWING = (
    "xdcbench.data.validation.statistics",
    "xdcbench.cli.validation_output",
    "xdcbench.results.tables.figures",
    "xdcbench.reports.clusters.media",
    "xdcbench.utils.plotting",
)


def python(*words: object, backend: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("backend", ["module://nowhere.backend_inline", "nonsense", "tkagg", ""])
def test_what_draws_can_be_imported(backend: str) -> None:
    code = f"import os, {', '.join(DRAWING)}; print(os.environ['MPLBACKEND'])"
    done = python("-c", code, backend=backend)
    assert (done.returncode, done.stdout, done.stderr) == (0, backend + "\n", "")


def test_stats_are_drawn(world: Path, tmp_path: Path) -> None:
    root = linked(world / "esc50", tmp_path / "esc50")
    words = ["data", "stats", "esc50", "--root", root, "--results", tmp_path / "out", "--num-workers", 1]
    done = python("-m", "xdcbench", *words, backend="module://nowhere.backend_inline")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("out/data/*/stats.png"))) == 1


def test_nothing_else_imports_matplotlib() -> None:
    """Another import would come before the one that minds the environment."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "xdcbench").rglob("*.py")
        if any(
            line.startswith(("import matplotlib", "from matplotlib"))
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    ]
    assert found == []
