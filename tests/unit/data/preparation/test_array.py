"""The array of jobs in docs/how-to/shards.md: a script that bash takes, whose tasks are the parts of one whole."""

import os
import re
import subprocess
from pathlib import Path

from tests.conftest import ROOT
from xdcbench.utils.parts import Part

SCRIPT = next(
    block
    for block in re.findall(
        r"```bash\n(.*?)```", (ROOT / "docs" / "how-to" / "shards.md").read_text(), re.DOTALL
    )
    if "#SBATCH" in block
)


def task(script: Path, number: int, count: int, folder: Path) -> list[str]:
    """Words that a task of the array gives to xdcbench."""
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_COUNT": str(count),
    }
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_tasks_are_the_parts_of_one_whole(tmp_path: Path) -> None:
    fake, script = tmp_path / "xdcbench", tmp_path / "array.sh"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script.write_text(SCRIPT)
    for path in (fake, script):
        path.chmod(0o755)
    first, last = map(int, re.findall(r"#SBATCH --array=(\d+)-(\d+)", SCRIPT)[0])
    told = [task(script, number, last - first + 1, tmp_path) for number in range(first, last + 1)]
    assert all(words[:3] == ["data", "prepare", "kinetics400"] and words[-2] == "--part" for words in told)
    parts = [Part.parse(words[-1]) for words in told]
    assert parts == [Part(number, last) for number in range(1, last + 1)]
