"""Fixtures that every test may use."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.integration.helpers import PICO, one_thread, xdcbench

pytest_plugins = ["tests.unit.tiny"]

# On a busy machine the 200 ms that hypothesis gives each example may pass before anything is done.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

ROOT = Path(__file__).parents[1]

NO_DATA = "no folder of real data beside the checkout"
NO_LATEX = "no LaTeX on this machine"
NO_LIBRARY = "does not load on this machine"
NO_S3 = ("s3fs is not installed", "moto is not installed")
NO_BROWSER = "no Chromium on this machine"
NO_ADVISORIES = "no advisory service answers"
NO_SLURM = "no Slurm on this machine"
EXPECTED_SKIPS = (
    NO_DATA,
    NO_LATEX,
    "no CUDA device",
    NO_LIBRARY,
    NO_ADVISORIES,
    NO_SLURM,
    *(() if os.environ.get("CI") else (NO_BROWSER, *NO_S3)),
)
"""Reasons for which a test may be skipped; any other skip fails the whole run. The checks bring a browser
and what S3 takes."""


def pytest_configure() -> None:
    """Under nohup SIGHUP is ignored, and so it would be by the commands that tests start and send it to."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail on a skip that nobody expects."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    odd = [
        report for report in skipped if not any(reason in str(report.longrepr) for reason in EXPECTED_SKIPS)
    ]
    for report in odd:
        reporter.write_line(f"unexpected skip: {report.nodeid}: {report.longrepr}", red=True)
    if odd:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout: a folder that holds the official annotations and sample files."""
    found = sorted(ROOT.parent.glob("*/data/annotations/ucfTrainTestlist"))
    if not found:
        pytest.skip(NO_DATA)
    return found[0].parents[1]


@pytest.fixture(scope="session")
def trial_media() -> Path:
    """Small media of faults that trials found, beside the checkout."""
    found = sorted(ROOT.parent.glob("*/trials/media"))
    if not found:
        pytest.skip(NO_DATA)
    return found[0]


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the smallest suite, run once, uninterrupted."""
    out = tmp_path_factory.mktemp("pico")
    done = xdcbench("run", "--suite", PICO, "--results", out, "--device", "cpu", env=one_thread())
    assert done.returncode == 0, done.stderr
    assert "26 done" in done.stdout
    return out
