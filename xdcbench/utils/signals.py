"""How processes end: asked to by SIGTERM or SIGUSR2 of a scheduler or SIGHUP of a lost terminal, or with a parent."""

import ctypes
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REQUEUE = 75
"""Exit code of a run that was asked to end and resumes when started again (EX_TEMPFAIL of sysexits.h)."""

ASKED = (signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def die_with_parent() -> None:
    """From now on this process is killed when the one that forked it ends, however that ends; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def ending(exitcode: int | None) -> str:
    """How a process ended, in words: the signal's name, or its exit code."""
    code = exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def exit_on_signal() -> None:
    """From now on end with ``REQUEUE`` at once when asked to; what is complete or checkpointed is kept.

    A signal that was ignored as this process began stays so, as ``nohup`` wants it of SIGHUP.
    """
    for number in _heard():
        signal.signal(number, _leave)


@contextmanager
def defer_signals() -> Iterator[Callable[[], bool]]:
    """Do not end when asked to, but tell, and end afterwards: gives a function that says whether it was.

    Outside the main thread, which alone gets signals, nobody is ever asked.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _heard()}
    for number in before:
        signal.signal(number, lambda number, frame: asked.append(number))
    try:
        yield lambda: bool(asked)
        if asked:
            raise SystemExit(REQUEUE)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def block_signals() -> Iterator[None]:
    """Within, a process is born deaf to requests to end, until it says what to do with them; this one hears them later.

    Between its birth and its first line it would answer as this one does.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *ASKED))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def signals_later() -> Iterator[None]:
    """Within, Ctrl-C and requests to end wait; at the end of the block each is answered as before it.

    Unlike a blocked signal, none reaches this process through another of its threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_heard())}
    for number in before:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        for one in came:
            signal.raise_signal(one)


def _heard() -> list[signal.Signals]:
    """The signals of ``ASKED`` that are not ignored."""
    return [number for number in ASKED if signal.getsignal(number) is not signal.SIG_IGN]


def _leave(number: int, frame: object) -> None:
    raise SystemExit(REQUEUE)
