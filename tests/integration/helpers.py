"""Running the command line as its users do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from xdcbench.pipeline.launch import Launch
from xdcbench.results.records import read_records
from xdcbench.results.regression.reference import Reference, Spread, settings_digest
from xdcbench.results.regression.values import SCALES, values_of

PICO = Path(__file__).with_name("pico.yaml")
CIRCUMSTANCES = {"seconds", "commit"}
"""Fields of a record that may differ between two runs of the same thing."""


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "xdcbench", *map(str, words)]


def xdcbench(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, **options)


def records(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Records of every run, by key, without circumstances."""
    found = {}
    for path in sorted(out.glob("runs/*/records.json")):
        rows = json.loads(path.read_text())
        found[path.parent.name] = [{k: v for k, v in row.items() if k not in CIRCUMSTANCES} for row in rows]
    return found


def own_reference(launch: Launch) -> Reference:
    """A reference of a finished suite's own numbers, with a spread for them: to measure one takes ten runs."""
    values = {
        name: Spread(mean=value, deviation=0.02 * (SCALES[name.split("/")[-1]] or 1.0))
        for name, value in values_of(read_records([launch.store], launch.keys)).items()
    }
    suite = launch.plan.suite
    return Reference(suite=suite.name, plan=settings_digest(suite), seeds=tuple(range(8)), values=values)


def one_thread() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}
