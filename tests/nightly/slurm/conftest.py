from collections.abc import Iterator

import pytest

from tests.nightly.slurm.loopback import cluster, lacking


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if reason := lacking():
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("slurm")) as known:
        yield known | {"OMP_NUM_THREADS": "1"}
