"""Batches of clips: of one list of clips, or of section after section, read ahead across their borders."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from functools import lru_cache
from itertools import pairwise

from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.data.restarting_loader import Draws, RestartingLoader
from xdcbench.utils.distributed import shard

PATIENCE = 300.0
"""Seconds that a worker may take to read one item."""


def batches(
    clips: ClipDataset,
    specs: Sequence[ClipSpec],
    *,
    size: int,
    workers: int,
    patience: float = PATIENCE,
    groups: Sequence[Sequence[int]] | None = None,
) -> Iterator[Batch]:
    """Read ``specs`` in order, ``size`` at a time, the last batch whatever is left.

    Of several processes, each reads its share of every batch, which may be nothing (``shares``).

    Args:
        size: clips per batch, over all processes; at most, where there are ``groups``.
        workers: processes that read; with 0 this one does, and nothing watches it.
        patience: seconds that a worker may take to read one item.
        groups: positions of the specs of each of this process's batches, in place of its share.

    Raises:
        UserError: a worker died, or held one item for longer; shards are out of reach or damaged.
    """
    parts = shares(len(specs), size) if groups is None else groups
    loader = RestartingLoader(
        clips,
        lambda: ([(position, specs[position]) for position in part] for part in parts),
        size=max(map(len, parts), default=0) if groups is None else size,
        workers=min(workers, len(parts)),
        patience=patience,
    )
    with closing(loader):
        for _ in parts:
            yield loader.next()


class Reader(AbstractContextManager["Reader"]):
    """Sections of specs, such as epochs, each in batches as ``batches`` reads them.

    Workers are forked once and read on into the next section while the one before is still being used, so that
    none of them begins with a wait.

    ``specs_of`` gives the specs of the section of a number, from 0, the same at every call; the rest is as of
    ``batches``. ``next`` is the section after the one that was last read to its end.
    """

    def __init__(
        self,
        clips: ClipDataset,
        specs_of: Callable[[int], Sequence[ClipSpec]],
        *,
        sections: int,
        size: int,
        workers: int,
    ) -> None:
        self.clips, self.sections = clips, sections
        self.specs_of = lru_cache(maxsize=1)(specs_of)
        self.size, self.workers = size, workers
        self.loader: RestartingLoader | None = None
        self.next = 0

    def section(self, number: int, done: int = 0) -> tuple[int, Iterator[Batch]]:
        """Number of specs of a section, and batches of all but the first ``done``, which raise as ``batches``.

        Reading begins at once, that of the first section as the context is entered. Each follows the one before,
        which is read to its end. Any other order is allowed, and begins anew.
        """
        specs = len(self.specs_of(number))
        loader = self.loader
        if loader is None or done or number != self.next:
            loader = self._begin(number, done)
        return specs, self._batches(loader, number, len(shares(specs, self.size, done)))

    def close(self) -> None:
        """End the workers."""
        if self.loader:
            self.loader.close()
        self.loader = None

    def __enter__(self) -> "Reader":
        """Begin to read while what uses it is made ready."""
        self._begin(0, 0)
        return self

    def __exit__(self, *exception: object) -> None:
        """End the workers."""
        self.close()

    def _begin(self, number: int, done: int) -> RestartingLoader:
        self.close()
        self.loader = RestartingLoader(
            self.clips,
            lambda: self._parts(number, done),
            size=max(len(shard(range(clips), least=2)) for clips in range(self.size + 2)),
            workers=self.workers,
            patience=PATIENCE,
        )
        return self.loader

    def _batches(self, loader: RestartingLoader, number: int, count: int) -> Iterator[Batch]:
        self.next = -1  # what is left half read is dropped
        for _ in range(count):
            yield loader.next()
        self.next = number + 1

    def _parts(self, number: int, done: int) -> Iterator[Draws]:
        for section in range(number, self.sections):
            specs = self.specs_of(section)
            for part in shares(len(specs), self.size, done if section == number else 0):
                yield [(position, specs[position]) for position in part]


def shares(count: int, size: int, done: int = 0) -> list[Sequence[int]]:
    """Positions of this process's share of each batch of ``size`` that follows the first ``done`` of ``count``.

    BatchNorm needs two clips. So a single clip that is left over joins the batch before it, and a batch too small
    for two clips each is shared by fewer processes. Batches are the same for every number of processes.
    """
    ends = [*range(done + size, count - 1, size), count] if done < count else []
    return [shard(range(begin, end), least=2) for begin, end in pairwise([done, *ends])]
