"""The tutorial's commands, in order, with the files that it has its reader write."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.helpers import one_thread

pytestmark = pytest.mark.nightly

PAGE = (ROOT / "docs" / "tutorial" / "index.md").read_text()
FILES = re.findall(r"Write `(\S+)`.*?```yaml\n(.*?)```", PAGE, flags=re.S)
COMMANDS = "".join(re.findall(r"```bash\n(.*?)```", PAGE, flags=re.S))


def test_the_tutorial_runs_from_its_first_command_to_its_last(tmp_path: Path) -> None:
    for name, content in FILES:
        (tmp_path / name).write_text(content)
    script = f'set -e\nxdcbench() {{ {sys.executable} -m xdcbench "$@"; }}\n{COMMANDS}'
    env = one_thread() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "first: 24 done" in done.stdout and "xdc − sdc" in done.stdout
    assert list(tmp_path.glob("results/clusters/*/index.html"))
    assert (tmp_path / "results" / "report" / "index.html").is_file()
