"""What a shell completes, asked as a shell asks; and that an answer or a mistake loads nothing heavy."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.results.test_find_run import LAST, a_round, add
from xdcbench.cli.main import app
from xdcbench.results.run_store import RunStore

SMOKE = "xdcbench run --suite smoke"


def completed(line: str) -> list[str]:
    words = line.split(" ")
    asked = {"_XDCBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner().invoke(app, prog_name="xdcbench", env=asked).output.split("\n")[:-1] or []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("xdcbench run --suite smo", {"smoke"}),
        ("xdcbench check --suite mini-s", {"mini-scale", "mini-search"}),
        (f"{SMOKE} --methods sd", {"sdc"}),
        (f"{SMOKE} --methods xdc,sc", {"xdc,scratch"}),
        (f"{SMOKE} --set pretrain.rou", {"pretrain.rounds="}),
        ("xdcbench table table1", {"table1"}),
        ("xdcbench data stats esc", {"esc10", "esc50"}),
        ("xdcbench run --suite nosuch --methods x", set()),
    ],
)
def test_names_and_keys_are_completed(line: str, found: set[str]) -> None:
    assert set(filter(None, completed(line))) == found


def test_runs_are_completed_by_all_their_names(tmp_path: Path) -> None:
    add(RunStore(tmp_path), LAST, "xdc/kinetics400/seed0/round1", 1, **a_round(1, "init-0"))
    for command in ("show", "export", "clusters"):
        line = f"xdcbench {command} --results {tmp_path} "
        assert completed(line + "xd") == ["xdc", "xdc/kinetics400/seed0/round1"]
        assert completed(line + "round") == [LAST]
    assert completed(f"xdcbench show --results {tmp_path / 'nosuch'} x") == [""]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--suite", "smok"),
        ("run", "--suite", "smoke", "--set", "rounds=3"),
        ("check", "--suite", "smok"),
        ("export", "nosuch"),
        ("clusters", "nosuch"),
        ("data", "stats", "nosuch"),
        ("data", "verify", "nosuch"),
        ("table", "nosuch"),
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_loaded(words: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys; from xdcbench.cli.main import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'pandas', 'scipy', 'av') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "[]\n"), done.stderr
    assert done.stderr.startswith("xdcbench: ") and done.stderr.count("\n") == 1
