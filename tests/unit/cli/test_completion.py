"""What a shell completes, asked as a shell asks, and by bash itself."""

import os
import shutil
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
        ("xdcbench run --executor s", {"slurm"}),
        ("xdcbench run --synthetic s", {"small"}),
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


def test_methods_of_several_folders_are_completed(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    add(RunStore(one), "index-eeeeeeeeeeee", "index/kinetics400", 1)
    add(RunStore(one), "probe-eeeeeeeeeeee", "scratch/seed0/probe/esc50/1", 1)
    add(RunStore(other), LAST, "xdc/kinetics400/seed0/round1", 1, **a_round(1, "init-0"))
    assert completed(f"xdcbench compare --results {one} --results {other} ") == ["scratch", "xdc"]
    assert completed(f"xdcbench compare --results {one} --results {other} x") == ["xdc"]


def test_bash_completes_by_its_own_script(tmp_path: Path) -> None:
    """Bash itself, with the script that `--install-completion` installs."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    command = tmp_path / "xdcbench"
    command.write_text(f"#!{sys.executable}\nfrom xdcbench.cli.main import main\nmain()\n")
    command.chmod(0o755)
    typed = """source <(xdcbench --show-completion bash)
COMP_WORDS=(xdcbench run --suite smoke --methods x) COMP_CWORD=5 COMPREPLY=()
"$(complete -p xdcbench | grep -o -- '-F [^ ]*' | cut -c4-)" xdcbench x --methods
echo "${COMPREPLY[@]}"
"""
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", typed], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "xdc\n", done.stderr
