"""The README's commands exist, take the options that it shows, and are those that CI runs."""

import os
import re
import shlex
from pathlib import Path

import pytest

from docs.hooks.commands import commands_page
from tests.conftest import ROOT
from tests.integration.helpers import xdcbench

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.S)
(TINY,) = re.findall(
    r"```python\n(.*?class Tiny.*?)```", (ROOT / "docs/how-to/evaluate-encoder.md").read_text(), flags=re.S
)
SET_UP = [line for block in BLOCKS for line in block.splitlines() if ".venv" in line]
COMMANDS = [
    line.split("#")[0].strip()
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("xdcbench")
]


def test_two_commands_set_everything_up_and_ci_runs_them() -> None:
    assert len(SET_UP) == 2
    ci = (ROOT / ".ci" / "run").read_text()
    assert all(line in ci for line in SET_UP)


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line: str, pico: Path, tmp_path: Path) -> None:
    (tmp_path / "DIR").mkdir()
    (tmp_path / "my_encoder.py").write_text(TINY)
    words = shlex.split(line)[1:]
    if words[0] == "run" and "--dry-run" not in words:
        words += ["--dry-run"]
    if words[0] in ("table", "report"):
        words += ["--results", str(pico)]
    if words[0] == "compare":
        words = ["compare", "xdc", "scratch", "--results", str(pico)]
    if words[0] == "export":
        words = ["export", next(pico.glob("runs/init-*")).name, "--results", str(pico)]
    if words[0] == "clusters":
        words += ["--help"]
    if words[0] in ("export", "report"):
        words += ["--output", str(tmp_path / "output")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = xdcbench(*words, cwd=tmp_path, env=env)
    if words[0] == "data":
        assert done.returncode == 2 and "no folder DIR/grid" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if "--data-root" in words:
        assert "no folder DIR/" in done.stdout, "an empty data root is said to lack the data"


def test_the_readme_shows_ten_commands_and_the_page_of_commands_all() -> None:
    block = next(block for block in BLOCKS if "list suites" in block)
    assert len(block.splitlines()) == 10
    documented = re.findall(r"(?m)^## (\S+)", commands_page())
    assert {line.split()[1] for line in COMMANDS} <= set(documented)
