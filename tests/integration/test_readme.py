"""The README's commands exist, take the options that it shows, and are those that CI runs."""

import os
import re
import shlex
from pathlib import Path

import pytest
import torch

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
    if words[0] == "run":
        words += ["--dry-run"]
    if words[0] in ("check", "status", "verify-submission"):
        words += ["--help"]
    if words[0] == "table":
        words += ["--results", str(pico)]
    if words[0] == "compare":
        words = ["compare", "xdc", "scratch", "--results", str(pico)]
    if words[0] == "export":
        key, to = next(pico.glob("runs/init-*")).name, str(tmp_path / "export")
        words = ["export", key, "--results", str(pico), "--output", to]
    if words[0] == "clusters":
        words = ["clusters", "--help"]
    if words[0] in ("verify-results", "publish", "runs"):
        words += ["--results", str(pico)]
    if words[0] == "prune":
        words += ["--help"]
    if words[0] == "report":
        words += ["--results", str(pico), "--output", str(tmp_path / "report")]
    if words[0] == "show":
        words = ["show", next(pico.glob("runs/round-*")).name, "--results", str(pico)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = xdcbench(*words, cwd=tmp_path, env=env)
    if words[0] == "bench" and not torch.cuda.is_available():
        assert done.returncode == 2 and "no CUDA device is visible" in done.stderr
        return
    if words[0] == "data":
        assert done.returncode == 2 and "no folder DIR/grid" in done.stderr
        return
    if "--shards" in words:
        assert done.returncode == 2 and "no shards.json there" in done.stderr
        return
    if "real-small" in words:
        assert "no folder DIR/grid" in done.stdout, "an empty data root is said to lack the data"
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_command_is_in_the_readme() -> None:
    said = xdcbench("--help").stdout
    known = (
        "run",
        "new",
        "bench",
        "check",
        "table",
        "compare",
        "data",
        "list",
        "show",
        "export",
        "doctor",
        "clusters",
        "prune",
        "report",
        "verify-results",
        "runs",
        "status",
        "publish",
        "verify-submission",
    )
    commands = re.findall(rf"^[│ ]+({'|'.join(known)})\b", said, flags=re.M)
    assert set(commands) == set(known)
    assert all(any(line.split()[1] == name for line in COMMANDS) for name in commands)
