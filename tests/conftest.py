"""Fixtures that every test may use."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout: a folder that holds the official annotations and sample files."""
    found = sorted(ROOT.parent.glob("*/data/annotations/ucfTrainTestlist"))
    if not found:
        pytest.skip("no folder of real data beside the checkout")
    return found[0].parents[1]
