"""A wheel carries data folders and pages: installed elsewhere, it plans the smoke suite and writes every page."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

Python = Callable[..., str]
SHARED = ("configs", "tables", "baselines")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed into, without its dependencies."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, folder, wheel], check=True, capture_output=True)
    return folder


@pytest.fixture
def python(site: Path, tmp_path: Path) -> Python:
    """Runs Python in an empty folder, with the installed package."""
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words: object) -> str:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_wheel_plans_smoke_from_another_folder(python: Python, site: Path, tmp_path: Path) -> None:
    where = "import xdcbench, xdcbench.config.paths as r; print(xdcbench.__file__, r.folder('tables'))"
    assert all(path.startswith(str(site)) for path in python("-c", where).split())
    plan = python("-m", "xdcbench", "run", "--suite", "smoke", "--dry-run", "--device", "cpu")
    assert "215 stages: 215 to do" in plan.splitlines()
    assert not list(tmp_path.iterdir()), "a dry run writes nothing"
    assert "xdc" in python("-m", "xdcbench", "list", "methods")


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Templates, styles, scripts and py.typed too, and nothing that lies in a cache."""
    places = {"xdcbench": "xdcbench", **{name: f"xdcbench/share/{name}" for name in SHARED}}
    expected = {
        f"{place}/{path.relative_to(ROOT / name).as_posix()}"
        for name, place in places.items()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("xdcbench/")}
    assert held == expected
    pages = {Path(name).name for name in held if name.startswith("xdcbench/reports/assets/")}
    assert {
        f"{page}.{end}" for page in ("base", "gallery", "report") for end in ("html", "css", "js")
    } <= pages
    assert "xdcbench/py.typed" in held


@pytest.mark.slow
def test_wheel_writes_galleries_and_reports(python: Python, pico: Path, tmp_path: Path) -> None:
    python(
        "-m",
        "xdcbench",
        "clusters",
        "xdc",
        "--nearest",
        1,
        "--results",
        pico,
        "--output",
        tmp_path / "clusters",
    )
    python("-m", "xdcbench", "report", "--results", pico, "--output", tmp_path / "report.html")
    for page in (tmp_path / "clusters" / "index.html", tmp_path / "report.html"):
        text = page.read_text()
        assert text.startswith("<!doctype html>") and "@media" in text and '"use strict"' in text
