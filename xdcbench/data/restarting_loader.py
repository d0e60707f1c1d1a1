"""A DataLoader that replaces a dead worker once, and names the item that kills or stalls workers."""

import atexit
import gc
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from multiprocessing import RawArray
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torch.utils.data._utils import signal_handling

from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.data.shared_batches import Note, Reading, SharedBatch
from xdcbench.errors import UserError
from xdcbench.utils.progress import log
from xdcbench.utils.signals import ASKED, block_signals, die_with_parent, ending

PREFETCH = 3
"""Batches that each worker reads before they are asked for."""

CHECK = 0.2
"""Seconds after which a process that waits for a batch looks after the workers."""

GRACE = 10.0
"""Seconds that a killed worker may take to go; one that waits for a dead disk may not go at all."""

MEND = "replace the file, or take it out of the dataset"

Draws = Sequence[tuple[int, ClipSpec]]
"""Draws of one batch, each with its position in the list that was asked for."""

# DataLoader's handler of SIGCHLD raises the death of a worker wherever the main process is, for example inside a
# training step. Workers are watched while a batch is waited for, so torch is told that the handler is in place.
signal_handling._SIGCHLD_handler_set = True


class BatchDataset(Dataset[list[Note] | Exception]):
    """Reads whole batches into shared memory. It returns what fails, since DataLoader would raise another type."""

    def __init__(self, clips: ClipDataset, size: int, workers: int) -> None:
        self.clips = clips
        # One more than are read ahead: a worker may begin the next batch while this one is copied.
        self.slots = [SharedBatch(clips, size) for _ in range(PREFETCH * workers + 1)]
        self.reading = RawArray(Reading, max(1, workers))

    def __getitem__(self, numbered: tuple[int, Draws]) -> list[Note] | Exception:
        """Read the draws of a numbered batch."""
        number, draws = numbered
        info = get_worker_info()
        reading = self.reading[info.id if info else 0]
        reading.batch = number
        try:
            return self.slot(number).fill(draws, reading)
        except UserError as error:  # shards that are out of reach
            return error
        except Exception:
            return RuntimeError(f"{self.item(reading)}:\n{traceback.format_exc()}")

    def slot(self, number: int) -> SharedBatch:
        """Where a batch is put."""
        return self.slots[number % len(self.slots)]

    def item(self, reading: Reading) -> str:
        """What a worker reads, in words."""
        return str(self.clips.path(ClipSpec(reading.row))) if reading.row >= 0 else "between two files"


class Death(NamedTuple):
    """What a worker read when it died, and how it died."""

    batch: int
    item: str
    cause: str


class RestartingLoader:
    """Reads batches ahead, in order; without workers, each when it is asked for.

    A worker may be killed for the memory that others use, so that its item is innocent. Only after the second death
    over a batch is the item to blame. The draws say what is read, so a new worker reads the same.

    Args:
        batches: the draws of batch after batch, the same at every call.
        size: clips per batch at most.
        patience: seconds that a worker may take to read one item.
    """

    def __init__(
        self,
        clips: ClipDataset,
        batches: Callable[[], Iterator[Draws]],
        *,
        size: int,
        workers: int,
        patience: float,
    ) -> None:
        self.batches, self.workers, self.patience = batches, workers, patience
        self.dataset = BatchDataset(clips, size, workers)
        self.number = 0  # of the next batch
        self.death: Death | None = None
        self.iterator: Any = None  # of a DataLoader
        self.processes: list[BaseProcess] = []
        self._start(workers, PREFETCH)

    def next(self) -> Batch:
        """The next batch.

        Raises:
            UserError: two workers died over one batch, or one read an item for too long; shards are damaged.
            MediaUnreachableError: a file or its shard cannot be read.
            MediaChangedError: a file is not the one that was indexed.
        """
        notes = self._received()
        while notes is None:
            self._replace()
            notes = self._received()
        if isinstance(notes, Exception):
            raise notes
        batch = self.dataset.slot(self.number).copy(notes)
        self.number += 1
        if self.death and self.death.batch < self.number:
            self.death = None
            self._start(self.workers, PREFETCH)
        return batch

    def close(self) -> None:
        """Leave no process behind, whatever it is doing."""
        for process, reading in zip(self.processes, self.dataset.reading, strict=False):
            if reading.row >= 0:
                process.kill()
        self.iterator = None  # DataLoader ends those that wait for work
        for process in self.processes:
            process.kill()
            process.join(GRACE)
            atexit.unregister(process.kill)
        self.processes = []

    def _start(self, workers: int, prefetch: int) -> None:
        """Read on from the next batch, with new workers."""
        self.close()
        for reading in self.dataset.reading:
            reading.row = -1
        # A forked worker starts in 30 ms; a new process would first import torch, which takes seconds.
        ahead: dict[str, Any] = {
            "prefetch_factor": prefetch,
            "timeout": CHECK,
            "multiprocessing_context": "fork",
        }
        with warnings.catch_warnings(), block_signals():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than processors
            loader = DataLoader(
                self.dataset,
                batch_size=None,  # the dataset reads whole batches
                sampler=islice(enumerate(self.batches()), self.number, None),
                num_workers=workers,
                collate_fn=lambda notes: notes,
                worker_init_fn=_init_worker,
                generator=torch.Generator(),  # the global one stays as it is
                **(ahead if workers else {}),
            )
            self.iterator = iter(loader)
        self.first, self.processes = self.number, list(self.iterator._workers) if workers else []
        for process in self.processes:
            # At its end Python asks what is left over with SIGTERM, which workers do not hear, and waits.
            atexit.register(process.kill)

    def _received(self) -> list[Note] | Exception | None:
        """What became of the next batch; None if a worker has died."""
        reading = self.dataset.reading[(self.number - self.first) % max(1, len(self.processes))]
        items, since = reading.items, time.monotonic()
        while True:
            try:
                notes: list[Note] | Exception = next(self.iterator)
                return notes
            except RuntimeError as error:  # nothing came within CHECK seconds, or a worker has died
                if not str(error).startswith("DataLoader "):
                    raise
            if not all(process.is_alive() for process in self.processes):
                return None
            if reading.items != items:
                items, since = reading.items, time.monotonic()
            elif time.monotonic() - since > self.patience:
                raise UserError(f"{self.dataset.item(reading)}: not read within {self.patience:g} s; {MEND}")

    def _replace(self) -> None:
        """Start a new worker after a death, unless it was the second over one batch.

        Until that batch is handed over, it is alone and reads one batch at a time, so that what comes before a
        deadly item arrives.
        """
        worker = next(number for number, process in enumerate(self.processes) if not process.is_alive())
        reading = self.dataset.reading[worker]
        death = Death(
            batch=reading.batch if reading.row >= 0 else self.number,
            item=self.dataset.item(reading),
            cause=ending(self.processes[worker].exitcode),
        )
        if self.death and self.death.batch == death.batch:
            raise UserError(_blame(self.death, death))
        log.warning("%s: the reading process died (%s); another one takes its place", death.item, death.cause)
        self.death = death
        self._start(workers=1, prefetch=1)


def _blame(first: Death, second: Death) -> str:
    mend = "use fewer --num-workers if memory ran out" if first.cause == second.cause == "SIGKILL" else MEND
    if first.item == second.item:
        return f"{second.item}: two reading processes died ({first.cause}, {second.cause}); {mend}"
    return f"two reading processes died, at {first.item} ({first.cause}) and at {second.item} ({second.cause}); {mend}"


def _init_worker(worker: int) -> None:
    for number in (signal.SIGINT, *ASKED):
        signal.signal(number, signal.SIG_IGN)  # sent to all at once; the parent saves, and ends this process
    die_with_parent()
    gc.freeze()  # what was imported is there to stay, and need not be looked through again and again
