"""metrics.jsonl and TensorBoard, read by TensorBoard itself; nothing twice or missing after an interruption."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xdcbench.errors import UserError
from xdcbench.training import logger as module
from xdcbench.training.logger import MetricsWriter


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def board(folder: Path) -> EventAccumulator:
    read = EventAccumulator(str(folder))
    read.Reload()
    return read


def told(folder: Path) -> None:
    """Two epochs of three steps each, a row after every step."""
    watch = MetricsWriter(folder, "toy", epochs=0, steps=0)
    watch.write({"epoch": 0, "a_cluster_sizes": [3, 1, 0, 2]})
    for step in range(1, 7):
        watch.write({"epoch": (step + 2) // 3, "steps": step, "loss": 1 / step})
        if step % 3 == 0:
            watch.write({"epoch": step // 3, "loss": 2 / step})


def test_the_board_shows_what_the_file_says(tmp_path: Path) -> None:
    told(tmp_path)
    read = board(tmp_path)
    assert [(e.step, e.value) for e in read.Scalars("step/loss")] == [
        (step, pytest.approx(1 / step)) for step in range(1, 7)
    ]
    assert [(e.step, e.value) for e in read.Scalars("epoch/loss")] == [
        (1, pytest.approx(2 / 3)),
        (2, pytest.approx(1 / 3)),
    ]
    (histogram,) = read.Histograms("epoch/a_cluster_sizes")
    assert histogram.histogram_value.num == 4 and histogram.histogram_value.max == 3


@pytest.mark.parametrize(("epochs", "steps"), [(0, 2), (1, 3), (1, 4), (2, 6)])
def test_going_on_keeps_what_the_checkpoint_holds(tmp_path: Path, epochs: int, steps: int) -> None:
    told(tmp_path)
    whole = rows(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "los')  # killed while writing
    watch = MetricsWriter(tmp_path, "toy", epochs=epochs, steps=steps)
    for row in whole:
        if (row["steps"] > steps) if "steps" in row else (row["epoch"] > epochs):
            watch.write({name: value for name, value in row.items() if name != "run"})
    key = lambda row: (row.get("steps", 3 * row["epoch"]), "steps" not in row)  # noqa: E731
    assert sorted(rows(tmp_path), key=key) == sorted(whole, key=key)
    assert [event.step for event in board(tmp_path).Scalars("step/loss")] == list(range(1, 7))
    assert [event.step for event in board(tmp_path).Scalars("epoch/loss")] == [1, 2]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: None,
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) // 2].ljust(len(content), b"\0"),
        lambda content: b"\xff3\n[]\n" + content[10:],
    ],
)
def test_epochs_of_a_damaged_file_come_from_the_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes | None]
) -> None:
    told(tmp_path)
    path, history = tmp_path / "metrics.jsonl", [{"loss": 2 / 3}, {"loss": 2 / 6}]
    content = damage(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    watch = MetricsWriter(tmp_path, "toy", epochs=2, steps=6, history=history)
    whole = [row for row in rows(tmp_path) if "steps" not in row and row["epoch"] > 0]
    assert whole == [{"run": "toy", "epoch": n, **row} for n, row in enumerate(history, 1)]
    watch.write({"epoch": 3, "loss": 0.1})
    assert [event.step for event in board(tmp_path).Scalars("epoch/loss")] == [1, 2, 3]
    assert ("is damaged" in caplog.text) == (content is None or b"\xff" not in content)


def test_without_a_checkpoint_it_begins_anew(tmp_path: Path) -> None:
    told(tmp_path)
    watch = MetricsWriter(tmp_path, "toy", epochs=0, steps=0)
    assert watch.empty and rows(tmp_path) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # SummaryWriter's thread
@pytest.mark.parametrize("which", ["metrics.jsonl", "events"])
def test_a_full_disk_names_folder_and_bytes_and_keeps_what_is_there(tmp_path: Path, which: str) -> None:
    """The device that is always full stands for one of the files."""
    told(tmp_path)
    watch, before = MetricsWriter(tmp_path, "toy", epochs=2, steps=6), rows(tmp_path)
    path = watch.path if which == "metrics.jsonl" else next(tmp_path.glob("events.out.tfevents.*"))
    aside = path.rename(tmp_path / "aside")
    path.symlink_to("/dev/full")
    with pytest.raises(
        UserError, match=rf"no space left in {tmp_path}: \d+ bytes are needed and [\d,]+ are free"
    ):
        watch.write({"epoch": 3, "loss": 0.5})
    path.unlink()
    aside.rename(path)
    watch = MetricsWriter(tmp_path, "toy", epochs=2, steps=6)
    assert rows(tmp_path) == before
    watch.write({"epoch": 3, "loss": 0.5})
    assert [event.step for event in board(tmp_path).Scalars("epoch/loss")] == [1, 2, 3]


def test_a_full_disk_at_the_beginning_keeps_the_rows(tmp_path: Path) -> None:
    told(tmp_path)
    before = rows(tmp_path)
    (tmp_path / ".metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match=rf"no space left in {tmp_path}: "):
        MetricsWriter(tmp_path, "toy", epochs=2, steps=6)
    assert rows(tmp_path) == before


def test_memory_is_that_of_this_process() -> None:
    import torch

    before = module.memory(torch.device("cpu"))["memory_gb"]
    kept = torch.ones(200_000_000, dtype=torch.uint8)
    after = module.memory(torch.device("cpu"))["memory_gb"]
    assert 0.02 < before <= after and after > len(kept) / 1e9
