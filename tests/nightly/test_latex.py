"""The tables compile, where there is a LaTeX with booktabs and siunitx."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import NO_LATEX
from tests.golden.simulated import full_suite
from tests.golden.test_tables import FOLDER, NAMES
from xdcbench.results.tables.present import grids, load_tables
from xdcbench.results.tables.render import render
from xdcbench.results.tables.texts import Look

pytestmark = pytest.mark.nightly


def test_every_table_compiles(tmp_path: Path) -> None:
    """The paper's seven tables and the golden ones; every sign of theirs is in the fonts."""
    latex = shutil.which("pdflatex") or shutil.which("xelatex") or shutil.which("lualatex")
    if latex is None:
        pytest.skip(NO_LATEX)
    made = grids(load_tables(f"table{n}" for n in range(1, 8)), full_suite(2))
    looks = [
        Look(),
        Look(notes=True),
        Look(True, notes=True, caption=r"One in \emph{three}.", label="tab:one"),
    ]
    tables = [render(grid, "tex", look) for grid in made.values() for look in looks]
    tables += [(FOLDER / f"{name}.tex").read_text(encoding="utf-8") for name in NAMES]
    head = (
        r"\documentclass{article}\usepackage[paperwidth=40cm,paperheight=40cm,margin=1cm]{geometry}"
        r"\usepackage{booktabs,siunitx}"
    )
    (tmp_path / "tables.tex").write_text(
        "\n".join([head, r"\begin{document}", r"\clearpage ".join(tables), r"\end{document}"]),
        encoding="utf-8",
    )
    done = subprocess.run(
        [latex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "tables.log").read_text(errors="replace")
    assert (tmp_path / "tables.pdf").stat().st_size > 0
