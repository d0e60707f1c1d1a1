import pytest

from xdcbench.config.load import load_suite
from xdcbench.errors import UserError
from xdcbench.pipeline.defaults import default_num_workers, jobs_of


@pytest.mark.parametrize(
    ("cores", "jobs", "processes"),
    [
        (1, 1, 0),
        (2, 1, 1),
        (3, 1, 1),
        (4, 1, 2),
        (64, 1, 16),
        (2, 2, 0),
        (4, 2, 1),
        (4, 4, 0),
        (2, 5, 0),
        (16, 4, 2),
    ],
)
def test_cores_are_left_to_training(
    monkeypatch: pytest.MonkeyPatch, cores: int, jobs: int, processes: int
) -> None:
    monkeypatch.setattr("xdcbench.pipeline.defaults.available_cores", lambda: cores)
    assert default_num_workers(jobs) == processes


@pytest.mark.parametrize(
    ("suite", "device", "processes", "asked", "expected"),
    [
        ("smoke", "cpu", 1, None, 3),
        ("smoke", "cuda", 1, None, 1),
        ("smoke", "cpu", 2, None, 1),
        ("table1", "cpu", 1, None, 1),
        ("table1", "cpu", 1, 5, 5),
        ("smoke", "cuda", 1, 1, 1),
    ],
)
def test_stages_side_by_side(
    monkeypatch: pytest.MonkeyPatch, suite: str, device: str, processes: int, asked: int | None, expected: int
) -> None:
    monkeypatch.setattr("xdcbench.pipeline.defaults.available_cores", lambda: 3)
    monkeypatch.setattr("xdcbench.pipeline.defaults.available_memory", lambda: 64 << 30)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    assert jobs_of(load_suite(suite), device, asked) == expected


def test_little_memory_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdcbench.pipeline.defaults.available_cores", lambda: 16)
    for memory, expected in ((1 << 30, 1), (5 << 30, 2), (64 << 30, 4)):
        monkeypatch.setattr("xdcbench.pipeline.defaults.available_memory", lambda memory=memory: memory)
        assert jobs_of(load_suite("smoke"), "cpu", None) == expected


@pytest.mark.parametrize(
    ("device", "processes", "where"), [("cuda", 1, "on cuda"), ("cpu", 2, "under torchrun")]
)
def test_where_there_cannot_be_several(
    monkeypatch: pytest.MonkeyPatch, device: str, processes: int, where: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    with pytest.raises(UserError, match=f"--jobs 2: stages run one after another {where}"):
        jobs_of(load_suite("smoke"), device, 2)
