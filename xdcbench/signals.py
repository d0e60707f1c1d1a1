"""Being asked to end: SIGTERM and SIGUSR2, which schedulers send before they take a machine away."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REQUEUE = 75
"""Exit code of a run that was asked to end and goes on when started again (EX_TEMPFAIL of sysexits.h)."""

ASKED = (signal.SIGTERM, signal.SIGUSR2)


def leave_when_asked() -> None:
    """From now on end with ``REQUEUE`` at once when asked to; what is complete or checkpointed is kept."""
    for number in ASKED:
        signal.signal(number, _leave)


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Do not end when asked to, but tell, and end afterwards: gives a function that says whether it was.

    Outside the main thread, which alone gets signals, nobody is ever asked.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in ASKED}
    for number in ASKED:
        signal.signal(number, lambda number, frame: asked.append(number))
    try:
        yield lambda: bool(asked)
        if asked:
            raise SystemExit(REQUEUE)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def unheard() -> Iterator[None]:
    """Within, a process is born deaf to requests to end, until it says what to do with them; this one hears them later.

    Between its birth and its first line it would answer as this one does.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *ASKED))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(REQUEUE)
