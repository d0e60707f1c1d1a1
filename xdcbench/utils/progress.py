"""Progress of long work: shown on a terminal, told in log lines elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Literal

from xdcbench.utils.distributed import world_size
from xdcbench.utils.format import duration, short
from xdcbench.utils.progress_state import Progress
from xdcbench.utils.terminal import takes_escapes

log = logging.getLogger("xdcbench")

LINE_EVERY = 30.0
"""Seconds between two progress lines when there is no terminal."""

SHOW_EVERY = 0.1
"""Seconds between two changes of a bar."""


Show = Callable[[Progress], None]

_SHOW: ContextVar[Show | Literal["terminal"] | None] = ContextVar("show", default="terminal")


class Track:
    """Progress of one piece of work; call it with the number of items done since the last call.

    ``note`` is said beside it; ``skipped`` items were done before and count in no rate. Without ``show`` it is told
    in lines.
    """

    def __init__(self, label: str, total: int, show: Show | None, *, skipped: int = 0) -> None:
        self.label, self.total, self.done, self.skipped = label, total, skipped, skipped
        self.begun = self.spoken = time.monotonic()
        self.show, self.note = show, ""
        if show:
            show(self.progress(self.begun))

    def __call__(self, n: int = 1) -> None:
        """Note that ``n`` more items are done."""
        self.done += n
        now = time.monotonic()
        if self.show:
            if now - self.spoken >= SHOW_EVERY or self.done >= self.total:
                self.spoken = now
                self.show(self.progress(now))
        elif now - self.spoken >= LINE_EVERY:
            self.spoken = now
            left = (self.total - self.done) / max(self.rate(now), 1e-9)
            line = f"{self.label}: {self.done}/{self.total}, {short(self.rate(now))}/s, {duration(left)} left"
            log.info("%s; %s" if self.note else "%s", *filter(None, (line, self.note)))

    def rate(self, now: float) -> float:
        """Items per second since the beginning."""
        return (self.done - self.skipped) / max(now - self.begun, 1e-9)

    def progress(self, now: float) -> Progress:
        """How far it is now."""
        return Progress(self.label, self.done, self.total, self.rate(now), self.note)


def on_terminal() -> bool:
    """Whether standard error is a terminal of this process alone that takes orders, so that bars can be drawn."""
    return takes_escapes(sys.stderr) and world_size() == 1


@contextmanager
def shown_by(show: Show | None) -> Iterator[None]:
    """Within, progress goes to ``show``; None: it is told in lines, also on a terminal."""
    token = _SHOW.set(show)
    try:
        yield
    finally:
        _SHOW.reset(token)


@contextmanager
def track(label: str, total: int, *, done: int = 0) -> Iterator[Track]:
    """Show progress over ``total`` items, of which ``done`` were done before."""
    show = _SHOW.get()
    if show == "terminal" and not on_terminal():
        show = None
    if show != "terminal":
        yield Track(label, total, show, skipped=done)
        return
    from xdcbench.utils.bars import Bars

    with Bars() as bars:
        yield Track(label, total, partial(bars.show, bars.add(label)), skipped=done)
