"""Start-up and smoke times, and peak memory: reported, not asserted."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.bench


def xdcbench(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "xdcbench", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smoke")


@pytest.mark.benchmark(group="start-up")
def test_smoke_from_nothing(benchmark: BenchmarkFixture, smoke: Path) -> None:
    """Bound of the design: 180 s and 4 GiB on 2 cores."""
    benchmark.pedantic(xdcbench, ("run", "--suite", "smoke", "--results", smoke), rounds=1)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    benchmark.extra_info["peak GiB"] = round(peak, 2)
    assert (smoke / "tables" / "smoke" / "table1.md").exists()


@pytest.mark.benchmark(group="start-up")
def test_smoke_again(benchmark: BenchmarkFixture, smoke: Path) -> None:
    """Bound of the design: 5 s."""
    benchmark.pedantic(xdcbench, ("run", "--suite", "smoke", "--results", smoke), rounds=3)
    assert not [path for path in (smoke / "runs" / ".building").iterdir() if path.is_dir()], "but for locks"


@pytest.mark.benchmark(group="start-up")
def test_help(benchmark: BenchmarkFixture) -> None:
    """Bound of the design: 0.5 s."""
    benchmark.pedantic(xdcbench, ("--help",), rounds=5)
    assert benchmark.stats is not None


@pytest.mark.benchmark(group="start-up")
def test_table(benchmark: BenchmarkFixture, smoke: Path) -> None:
    """Bound of the design: 2 s."""
    benchmark.pedantic(xdcbench, ("table", "--results", smoke), rounds=5)
    assert benchmark.stats is not None
