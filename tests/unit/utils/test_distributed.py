"""What two processes exchange."""

import pytest

from tests.unit.together import said, together
from xdcbench.errors import UserError
from xdcbench.utils.distributed import check_environment, rank, world_size


def test_sums_and_gradients_of_each_type() -> None:
    code = """
assert all_reduce_scalar(1.5 + rank()) == 4.0
one, two, lacking = (nn.Parameter(torch.zeros(3, dtype=t)) for t in (torch.float32, torch.float64, torch.float32))
one.grad = torch.full((3,), 1.0 + rank())
two.grad = torch.full((3,), 1e-12 * (1 + rank()), dtype=torch.float64)
if rank():
    lacking.grad = torch.ones(3)
all_reduce_gradients([one, two, lacking])
assert one.grad.tolist() == [3.0] * 3 and lacking.grad.tolist() == [1.0] * 3
assert two.grad.dtype == torch.float64 and torch.allclose(two.grad, torch.full((3,), 3e-12).double(), atol=0)
barrier()
stop()
print("ended")
"""
    for out, error in said(together(code), seconds=60):
        assert out == "ended\n", error


TORCHRUN = {
    "WORLD_SIZE": "2",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.mark.parametrize(
    ("env", "fault"),
    [
        ({}, ""),
        (TORCHRUN, ""),
        ({"WORLD_SIZE": "1"}, ""),
        ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, ""),
        ({"WORLD_SIZE": "", "RANK": "", "LOCAL_RANK": ""}, ""),
        ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}, ""),
        ({"LOCAL_RANK": "3"}, ""),
        (
            {"WORLD_SIZE": "2"},
            "has WORLD_SIZE=2, .*, and no RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. Try: unset",
        ),
        ({"RANK": "1"}, "has RANK=1, .* and no WORLD_SIZE, LOCAL_RANK"),
        (TORCHRUN | {"MASTER_PORT": ""}, "has WORLD_SIZE=2 RANK=1 LOCAL_RANK=1, .* and no MASTER_PORT"),
        (TORCHRUN | {"RANK": "2"}, "there is no such process"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two' in the environment is no whole number"),
        ({"RANK": "-1"}, "RANK='-1' in the environment is no whole number"),
    ],
)
def test_only_a_complete_environment_of_torchrun_counts(
    env: dict[str, str], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    if fault:
        with pytest.raises(UserError, match=fault):
            check_environment()
    else:
        check_environment()
        assert (rank(), world_size()) == ((1, 2) if env == TORCHRUN else (0, 1))
