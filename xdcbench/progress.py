"""Progress of long work: a bar with rate and remaining time on a terminal, log lines without one."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xdcbench.distributed import size

log = logging.getLogger("xdcbench")

LINE_EVERY = 10.0
"""Seconds between two progress lines when there is no terminal."""


class Track:
    """Progress of one piece of work; call it with the number of items done since the last call."""

    def __init__(self, label: str, total: int, bar: Progress | None) -> None:
        self.label, self.total, self.done = label, total, 0
        self.begun = self.spoken = time.monotonic()
        self.bar = bar
        self.task = bar.add_task(label, total=total, rate="") if bar else None

    def __call__(self, n: int = 1) -> None:
        """Note that ``n`` more items are done."""
        self.done += n
        now = time.monotonic()
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, advance=n, rate=f"{self.rate(now):.1f}/s")
        elif now - self.spoken >= LINE_EVERY:
            self.spoken = now
            left = (self.total - self.done) / max(self.rate(now), 1e-9)
            log.info(
                "%s: %d/%d, %.1f/s, %.0f s left", self.label, self.done, self.total, self.rate(now), left
            )

    def rate(self, now: float) -> float:
        """Items per second since the beginning."""
        return self.done / max(now - self.begun, 1e-9)


@contextmanager
def track(label: str, total: int) -> Iterator[Track]:
    """Show progress over ``total`` items."""
    if not sys.stderr.isatty() or size() > 1:
        yield Track(label, total, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Track(label, total, bar)
