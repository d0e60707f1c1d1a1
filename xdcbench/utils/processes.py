"""The life of several processes under torchrun: joining, leaving, and saying why one of them died.

Without torchrun there is one process, and every function here does nothing.
"""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING

from xdcbench.errors import UserError
from xdcbench.utils.distributed import rank, world_size
from xdcbench.utils.signals import REQUEUE, defer_signals

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

log = logging.getLogger("xdcbench")

PATIENCE = timedelta(hours=24)
"""How long a process waits for one that works; one that dies is noticed by its heart."""

BEAT = 2.0
"""Seconds between two beats that each process leaves in the common store."""

SILENCE = 40.0
"""Seconds without a beat after which a process counts as dead."""

FAREWELL = 30.0
"""Seconds that a process has to save, once the one that started it is gone."""

WELL = "asked to end"
"""What a process says that ends for no failure of its own."""


@contextmanager
def process_group() -> Iterator[None]:
    """Within, the processes are joined.

    Raises:
        UserError: another process failed or died, which ended an exchange with it, or made torchrun end this one.
    """
    start()
    try:
        yield
    except (Exception, SystemExit) as error:
        asked = isinstance(error, SystemExit) and error.code == REQUEUE
        if asked or isinstance(error, Exception):
            announce(WELL if asked else str(error))
        if asked or isinstance(error, RuntimeError):
            with defer_signals():  # torchrun asks the others to end as soon as one is gone
                if reason := cause():
                    raise UserError(reason) from error
        raise
    finally:
        stop()


def start() -> None:
    """Join the other processes."""
    if world_size() > 1:
        import torch
        from torch import distributed

        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
        distributed.init_process_group(backend, timeout=PATIENCE)
        Thread(target=_beat, args=(_store(),), daemon=True).start()


def stop() -> None:
    """Leave the other processes."""
    if world_size() > 1:
        from torch import distributed

        distributed.destroy_process_group()


def announce(reason: str) -> None:
    """Tell the others why this process ends, so that they can say so, too."""
    if world_size() > 1:
        with suppress(RuntimeError):  # the process that holds the store has gone first
            _store().set(f"ended/{rank()}", reason)


def cause() -> str:
    """Why an exchange with the others failed: what the process that ended first said, or that it went silent.

    Empty where all others are well, or were asked to end. It takes a few beats to tell.
    """
    if world_size() == 1:
        return ""
    try:
        waited_for = {other: _said(f"beat/{other}") for other in range(world_size()) if other != rank()}
        for _ in range(3):
            for other, beat in list(waited_for.items()):
                reason = _said(f"ended/{other}")
                if reason and reason != WELL:
                    return f"process {other} of {world_size()} failed: {reason}"
                if reason or _said(f"beat/{other}") != beat:
                    del waited_for[other]
            if not waited_for:
                return ""
            time.sleep(BEAT)
    except RuntimeError:
        return "the process that holds the store of torchrun is gone"
    silent = ", ".join(map(str, waited_for))
    return f"process {silent} of {world_size()} is gone; was it killed, or out of memory?"


def _store() -> "Store":
    from torch.distributed import distributed_c10d

    return distributed_c10d._get_default_store()


def _said(key: str) -> str:
    return str(_store().get(key), "utf-8") if _store().check([key]) else ""


def _follow(parent: int) -> None:
    """End this process when its parent, torchrun, is gone: nobody else would, or would wait for it.

    All processes are asked to end, so that they save together. One that waits in an exchange for a process that
    has left already does not hear it, and is ended.
    """
    while os.getppid() == parent:
        time.sleep(BEAT)
    log.error("torchrun is gone: process %d of %d ends", rank(), world_size())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(FAREWELL)
    os._exit(REQUEUE)


def _beat(store: "Store") -> None:
    """Leave a beat every now and then, and end this process when another has gone silent."""
    from torch import distributed

    heard = {other: ("", time.monotonic()) for other in range(world_size()) if other != rank()}
    for number in count():
        try:
            store.set(f"beat/{rank()}", str(number))
            for other, (beat, when) in heard.items():
                now = _said(f"beat/{other}")
                if now != beat:
                    heard[other] = now, time.monotonic()
                elif time.monotonic() - when > SILENCE:
                    log.error(
                        "process %d of %d is gone: no sign of life for %g s", other, world_size(), SILENCE
                    )
                    os._exit(1)  # the main thread may wait in an exchange that never ends
        except (RuntimeError, ValueError):
            return  # the exchange is being left, or its store is gone, which the next exchange will say
        time.sleep(BEAT)
        if not distributed.is_initialized():
            return
