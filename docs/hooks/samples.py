"""Sample pages of the site: a report and clusters of a tiny suite, which runs while the site is built."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
SUITE = Path(__file__).with_name("sample.yaml")
RESULTS = ROOT / "build" / "sample"
COMMANDS = (
    ("run", "--suite", str(SUITE), "--device", "cpu", "--quiet"),
    ("clusters", "xdc", "--nearest", "3", "--device", "cpu"),
    ("report",),
)
PAGES = ("report", "clusters")


def sample_files(config: MkDocsConfig) -> Iterator[File]:
    """Files below samples/ of the site. A second build makes only what changed.

    Raises:
        PluginError: a command failed; holds what it said.
    """
    for name in PAGES:
        shutil.rmtree(RESULTS / name, ignore_errors=True)
    for words in COMMANDS:
        command = [sys.executable, "-m", "xdcbench", *words, "--results", str(RESULTS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PluginError(f"{' '.join(command)}: {done.stderr}")
    for name in PAGES:
        for path in sorted(path for path in (RESULTS / name).rglob("*") if path.is_file()):
            place = f"samples/{path.relative_to(RESULTS).as_posix()}"
            yield File.generated(config, place, abs_src_path=str(path))
