from pathlib import Path

import pytest

from tests.integration.helpers import PICO, one_thread, xdcbench


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the smallest suite, run once, uninterrupted."""
    out = tmp_path_factory.mktemp("pico")
    done = xdcbench("run", "--suite", PICO, "--out", out, "--device", "cpu", env=one_thread())
    assert done.returncode == 0, done.stderr
    assert "17 done" in done.stdout
    return out
