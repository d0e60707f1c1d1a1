"""A wheel carries the data folders: installed elsewhere, it plans the smoke suite."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_wheel_plans_smoke_from_another_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        site,
        wheel,
    ]
    subprocess.run(install, check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(site)}

    def python(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    where = "import xdcbench, xdcbench.resources as r; print(xdcbench.__file__, r.folder('tables'))"
    assert all(path.startswith(str(site)) for path in python("-c", where).split())
    plan = python("-m", "xdcbench", "run", "--suite", "smoke", "--dry-run", "--device", "cpu")
    assert "165 stages: 165 to do" in plan.splitlines()
    assert not list(elsewhere.iterdir()), "a dry run writes nothing"
    assert "xdc" in python("-m", "xdcbench", "list", "methods")
