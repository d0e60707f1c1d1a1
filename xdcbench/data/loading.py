"""Batches of clips: of one list of draws, or of section after section, read ahead across their borders."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import pairwise

from xdcbench.data.clips import Batch, Clips, Draw
from xdcbench.data.workers import Crew
from xdcbench.distributed import share

PATIENCE = 300.0
"""Seconds that a worker may take to read one item."""


def batches(
    clips: Clips,
    draws: Sequence[Draw],
    *,
    size: int,
    workers: int,
    patience: float = PATIENCE,
    groups: Sequence[Sequence[int]] | None = None,
) -> Iterator[Batch]:
    """Read ``draws`` in order, ``size`` at a time, the last batch whatever is left.

    Of several processes, each reads its share of every batch, which may be nothing (``shares``).

    Args:
        clips: reads one draw.
        draws: what to read.
        size: clips per batch, over all processes.
        workers: processes that read; with 0 this one does, and nothing watches it.
        patience: seconds that a worker may take to read one item.
        groups: positions of the draws of each of this process's batches, ``size`` at most, in place of its share.

    Raises:
        UserError: a worker died, or held one item for longer; a store is out of reach or damaged.
    """
    parts = shares(len(draws), size) if groups is None else groups
    crew = Crew(
        clips,
        lambda: ((draws, group) for group in parts),
        room=max(map(len, parts), default=0),
        workers=min(workers, len(parts)),
        patience=patience,
    )
    try:
        for _ in parts:
            yield crew.batch()
    finally:
        crew.end()


class Reader(AbstractContextManager["Reader"]):
    """Sections of draws, such as epochs, each in batches as ``batches`` reads them.

    Workers are forked once and read on into the next section while the one before is still being used, so that
    none of them begins with a wait.

    Args:
        clips: reads one draw.
        draws_of: from the number of a section, from 0, to its draws, the same at every call.
        sections: number of them.
        size: clips per batch, over all processes.
        workers: processes that read; with 0 this one does, when it is asked to.
        patience: seconds that a worker may take to read one item.

    Attributes:
        next: the section after the one that was last read to its end.
    """

    def __init__(
        self,
        clips: Clips,
        draws_of: Callable[[int], Sequence[Draw]],
        *,
        sections: int,
        size: int,
        workers: int,
        patience: float = PATIENCE,
    ) -> None:
        self.clips, self.sections = clips, sections
        self.draws_of = lru_cache(maxsize=1)(draws_of)
        self.size, self.workers, self.patience = size, workers, patience
        self.crew: Crew | None = None
        self.next = 0

    def section(self, number: int, done: int = 0) -> tuple[int, Iterator[Batch]]:
        """Read a section; reading begins at once, that of the first one as the context is entered.

        Each follows the one before, which is read to its end. Any other order is allowed, and begins anew.

        Args:
            number: of the section.
            done: draws of it to leave out.

        Returns:
            Number of its draws, and batches of all but the first ``done``; they raise as ``batches``.
        """
        draws = len(self.draws_of(number))
        crew = self.crew
        if crew is None or done or number != self.next:
            crew = self._begin(number, done)
        return draws, self._batches(crew, number, len(shares(draws, self.size, done)))

    def close(self) -> None:
        """End the workers."""
        if self.crew:
            self.crew.end()
        self.crew = None

    def __enter__(self) -> "Reader":
        """Begin to read while what uses it is made ready."""
        self._begin(0, 0)
        return self

    def __exit__(self, *exception: object) -> None:
        """End the workers."""
        self.close()

    def _begin(self, number: int, done: int) -> Crew:
        self.close()
        self.crew = Crew(
            self.clips,
            lambda: self._jobs(number, done),
            room=max(len(share(range(clips), least=2)) for clips in range(self.size + 2)),
            workers=self.workers,
            patience=self.patience,
        )
        return self.crew

    def _batches(self, crew: Crew, number: int, count: int) -> Iterator[Batch]:
        self.next = -1  # what is left half read is not gone on with
        for _ in range(count):
            yield crew.batch()
        self.next = number + 1

    def _jobs(self, number: int, done: int) -> Iterator[tuple[Sequence[Draw], Sequence[int]]]:
        for section in range(number, self.sections):
            draws = self.draws_of(section)
            for group in shares(len(draws), self.size, done if section == number else 0):
                yield draws, group


def shares(count: int, size: int, done: int = 0) -> list[Sequence[int]]:
    """Positions of this process's share of each batch of ``size`` that follows the first ``done`` of ``count``.

    BatchNorm needs two clips. So a single clip that is left over joins the batch before it, and a batch too small
    for two clips each is shared by fewer processes. Batches are the same for every number of processes.
    """
    ends = [*range(done + size, count - 1, size), count] if done < count else []
    return [share(range(begin, end), least=2) for begin, end in pairwise([done, *ends])]
