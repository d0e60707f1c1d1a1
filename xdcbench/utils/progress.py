"""Progress of long work: a bar with rate and remaining time on a terminal, log lines without one."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xdcbench.utils.distributed import world_size
from xdcbench.utils.format import duration, short
from xdcbench.utils.shown import printable

log = logging.getLogger("xdcbench")

LINE_EVERY = 10.0
"""Seconds between two progress lines when there is no terminal."""

_PLAIN = ContextVar("plain", default=False)


class Track:
    """Progress of one piece of work; call it with the number of items done since the last call.

    ``note`` is said beside it; ``skipped`` items were done before and count in no rate.
    """

    def __init__(self, label: str, total: int, bar: Progress | None, *, skipped: int = 0) -> None:
        self.label, self.total, self.done, self.skipped = label, total, skipped, skipped
        self.begun = self.spoken = time.monotonic()
        self.bar, self.note = bar, ""
        self.task = (
            bar.add_task(escape(printable(label)), total=total, completed=skipped, rate="", note="")
            if bar
            else None
        )

    def __call__(self, n: int = 1) -> None:
        """Note that ``n`` more items are done."""
        self.done += n
        now = time.monotonic()
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, advance=n, rate=f"{short(self.rate(now))}/s", note=self.note)
        elif now - self.spoken >= LINE_EVERY:
            self.spoken = now
            left = (self.total - self.done) / max(self.rate(now), 1e-9)
            line = f"{self.label}: {self.done}/{self.total}, {short(self.rate(now))}/s, {duration(left)} left"
            log.info("%s; %s" if self.note else "%s", *filter(None, (line, self.note)))

    def rate(self, now: float) -> float:
        """Items per second since the beginning."""
        return (self.done - self.skipped) / max(now - self.begun, 1e-9)


@contextmanager
def plain_progress() -> Iterator[None]:
    """Within, progress is told in lines, also on a terminal, which others write to as well."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


@contextmanager
def track(label: str, total: int, *, done: int = 0) -> Iterator[Track]:
    """Show progress over ``total`` items, of which ``done`` were done before."""
    if _PLAIN.get() or not sys.stderr.isatty() or world_size() > 1:
        yield Track(label, total, None, skipped=done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Track(label, total, bar, skipped=done)
