"""How batches are shared: every clip once, never one alone, the same batches for every number of processes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.together import said, together
from xdcbench.data.dataloader import shares


def of(rank: int, size: int, monkeypatch: pytest.MonkeyPatch, *numbers: int) -> list[list[int]]:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(size))
    return [list(share) for share in shares(*numbers)]


@given(
    count=st.integers(0, 200), size=st.integers(2, 20), processes=st.integers(1, 5), done=st.integers(0, 9)
)
@example(count=171, size=14, processes=2, done=0)
@example(count=29, size=14, processes=1, done=1)
@settings(max_examples=200, deadline=None)
def test_every_clip_once_and_never_one_alone(count: int, size: int, processes: int, done: int) -> None:
    done *= size
    with pytest.MonkeyPatch.context() as patch:
        (whole,) = [of(0, 1, patch, count, size, done)] if done <= count - 2 or not done else [[]]
        parts = [of(rank, processes, patch, count, size, done) for rank in range(processes)] if whole else []
    assert [p for batch in whole for p in batch] == list(range(done, count)) or not whole
    for batch, *mine in zip(whole, *parts, strict=True):
        assert sorted(position for share in mine for position in share) == batch
        assert all(len(share) != 1 for share in mine) or count == 1, "BatchNorm needs two"
        lengths = [len(share) for share in mine if share]
        assert max(lengths) - min(lengths) <= 1
        if len(batch) >= 2 * processes:
            assert [batch[rank::processes] for rank in range(processes)] == mine, "as it has always been"
    assert all(len(batch) == size for batch in whole[:-1])
    assert not whole or len(whole) == 1 or 2 <= len(whole[-1]) <= size + 1


TRAINED = """
import json
from torch.nn.functional import cross_entropy
from xdcbench.data.context import Context
from xdcbench.data.clip_dataset import Batch
from xdcbench.data.dataloader import shares
from xdcbench.config.pretraining import Schedule
from xdcbench.training import Trainer, sgd
from pathlib import Path

ITEMS, SIZE = 171, 14
torch.manual_seed(0)
data, model = torch.randn(ITEMS, 6), nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
schedule = Schedule(epochs=2, lr=0.05, warmup_epochs=0)
seen = []

def epoch_of(epoch, done):
    def batch(rows, number):
        # Of share 1 of batch 2, all clips but one are torn.
        rows = torch.tensor(list(rows), dtype=torch.int64)
        torn = rows[1:] if rank() == 1 and number == 2 and TORN else rows[:0]
        rows = rows[: len(rows) - len(torn)]
        return Batch(rows, rows, None, data[rows], tuple((row, "torn") for row in torn.tolist()))
    return ITEMS, (batch(rows, number) for number, rows in enumerate(shares(ITEMS, SIZE, done)))

def loss_of(batch):
    seen.append(len(batch.rows))
    return cross_entropy(model(batch.audio), batch.rows % 3), {}

context = Context("tests", checkpoint_seconds=3600.0)
trainer = Trainer(nn.ModuleDict({"m": model}), sgd([(model, 0.05)], schedule), schedule, "fp32",
                  torch.device("cpu"), Path(FOLDER), SIZE, context, "toy")
history, failed = trainer.fit(epoch_of, loss_of)
print(json.dumps([seen, len(failed), len(history), sum(float(p.sum()) for p in model.parameters())]))
stop()
"""


@pytest.mark.parametrize("torn", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_two_processes_train_on_a_last_batch_of_three(
    tmp_path_factory: pytest.TempPathFactory, torn: bool
) -> None:
    """171 items in batches of 14: the last three are one process's, so that none has a single clip."""
    import json

    code = f"TORN, FOLDER = {torn}, {str(tmp_path_factory.mktemp('run'))!r}" + TRAINED
    found = []
    for out, error in said(together(code), seconds=60):
        assert out, error
        found.append(json.loads(out.splitlines()[-1]))
    (first, lost, epochs, weights), (second, *_, others) = found
    assert first == ([7] * 12 + [3]) * 2
    assert second == ([7] * 2 + [7] * (not torn) + [7] * 9) * 2, (
        "a single clip that could be read is left out"
    )
    assert (lost, epochs, weights) == (6 * torn, 2, others)
