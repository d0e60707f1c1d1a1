"""Several processes under torchrun: which is this, what is its share, what do all of them have.

Without torchrun there is one process, every function here is the identity, and torch is not needed.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch._C._distributed_c10d import Store

log = logging.getLogger("xdcbench")

K = TypeVar("K")
T = TypeVar("T")

PATIENCE = timedelta(hours=24)
"""How long a process waits for one that works; one that dies is noticed by its heart."""

BEAT = 2.0
"""Seconds between two beats that each process leaves in the common store."""

SILENCE = 40.0
"""Seconds without a beat after which a process counts as dead."""


_ALONE = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process counts as the only one: for what one of several does while the others wait for it."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def rank() -> int:
    """Number of this process, from 0."""
    return 0 if _ALONE.get() else int(os.environ.get("RANK", "0"))


def size() -> int:
    """Number of processes."""
    return 1 if _ALONE.get() else int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this is the one process that writes files."""
    return rank() == 0


def start() -> None:
    """Join the other processes."""
    if size() > 1:
        import torch
        from torch import distributed

        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
        Thread(target=_beat, args=(_store(),), daemon=True).start()


def stop() -> None:
    """Leave the other processes."""
    if size() > 1:
        from torch import distributed

        distributed.destroy_process_group()


def announce(reason: str) -> None:
    """Tell the others why this process ends, so that they can say so, too."""
    if size() > 1:
        with suppress(RuntimeError):  # the process that holds the store has gone first
            _store().set(f"ended/{rank()}", reason)


def cause() -> str:
    """Why an exchange with the others failed: what the process that ended first said, or that it went silent.

    Empty where all others are well. It takes a few beats to tell.
    """
    if size() == 1:
        return ""
    others = [other for other in range(size()) if other != rank()]
    try:
        before = {other: _said(f"beat/{other}") for other in others}
        for _ in range(3):
            for other in others:
                if reason := _said(f"ended/{other}"):
                    return f"process {other} of {size()} failed: {reason}"
            time.sleep(BEAT)
        silent = [str(other) for other in others if _said(f"beat/{other}") == before[other]]
    except RuntimeError:
        return "the process that holds the store of torchrun is gone"
    return (
        f"process {', '.join(silent)} of {size()} is gone; was it killed, or out of memory?" if silent else ""
    )


def _store() -> "Store":
    from torch.distributed import distributed_c10d

    return distributed_c10d._get_default_store()


def _said(key: str) -> str:
    return str(_store().get(key), "utf-8") if _store().check([key]) else ""


def _beat(store: "Store") -> None:
    """Leave a beat every now and then, and end this process when another has gone silent."""
    from torch import distributed

    heard = {other: ("", time.monotonic()) for other in range(size()) if other != rank()}
    for number in count():
        try:
            store.set(f"beat/{rank()}", str(number))
            for other, (beat, when) in heard.items():
                now = _said(f"beat/{other}")
                if now != beat:
                    heard[other] = now, time.monotonic()
                elif time.monotonic() - when > SILENCE:
                    log.error("process %d of %d is gone: no sign of life for %g s", other, size(), SILENCE)
                    os._exit(1)  # the main thread may wait in an exchange that never ends
        except (RuntimeError, ValueError):
            return  # the exchange is being left, or its store is gone, which the next exchange will say
        time.sleep(BEAT)
        if not distributed.is_initialized():
            return


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's part of ``items``; the parts differ in length by one at most."""
    return items[rank() :: size()]


def gathered(value: T) -> list[T]:
    """The value of every process, in the order of their numbers."""
    if size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * size()
    distributed.all_gather_object(values, value)
    return values


def from_leader(make: Callable[[], T]) -> T:
    """What ``make`` returns in the leading process, which alone calls it."""
    if size() == 1:
        return make()
    from torch import distributed

    box: list[Any] = [make() if leads() else None]
    distributed.broadcast_object_list(box, src=0)
    value: T = box[0]
    return value


def united(parts: dict[K, T]) -> dict[K, T]:
    """One mapping of what every process has."""
    return {key: value for part in gathered(parts) for key, value in part.items()}


def total(value: float) -> float:
    """Sum over all processes, in float64."""
    if size() == 1:
        return value
    import torch

    return float(reduced(torch.tensor(value, dtype=torch.float64)))


def barrier() -> None:
    """Wait until every process is here."""
    total(0.0)


def sum_gradients(parameters: Iterable["nn.Parameter"]) -> None:
    """Replace each gradient by its sum over all processes; a missing one counts as zero."""
    if size() == 1:
        return
    import torch

    kinds: dict[object, list[nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            kinds.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    for kept in kinds.values():
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in kept]
        flat = reduced(torch.cat([g.reshape(-1) for g in gradients]))
        for parameter, summed in zip(kept, flat.split([p.numel() for p in kept]), strict=True):
            parameter.grad = summed.view_as(parameter)


def same_buffers(module: "nn.Module") -> None:
    """Give every process the leading one's buffers, such as the running statistics of BatchNorm."""
    if size() == 1:
        return
    from torch import distributed

    for buffer in module.buffers():
        distributed.broadcast(buffer, src=0)


def span(n: int, block: int) -> range:
    """This process's contiguous share of n rows, in whole blocks of ``block`` rows; it may be empty.

    The shares of all processes follow each other and make up 0..n; only the end of the last that is not
    empty need not be a multiple of ``block``. They differ by one block at most.
    """
    blocks = -(-n // block)
    first, end = (blocks * r // size() for r in (rank(), rank() + 1))
    return range(min(first * block, n), min(end * block, n))


def reduced(x: "Tensor") -> "Tensor":
    """Replace ``x``, of one shape and dtype in every process, by its sum over all of them; return it."""
    if size() > 1:
        from torch import distributed

        distributed.all_reduce(x)
    return x


def led(x: "Tensor") -> "Tensor":
    """Replace ``x``, of one shape and dtype in every process, by the leading one's; return it."""
    if size() > 1:
        from torch import distributed

        distributed.broadcast(x, src=0)
    return x


def joined(x: "Tensor") -> "Tensor":
    """Rows of all processes in the order of their numbers.

    Args:
        x: (n, ...), of one dtype and device type; n may differ between processes and be 0, the rest not.
    """
    if size() == 1:
        return x
    import torch
    from torch import distributed

    counts = torch.zeros(size(), dtype=torch.int64, device=x.device)
    counts[rank()] = len(x)
    rows = x.new_empty(int(reduced(counts).sum()), *x.shape[1:])
    parts = rows.split(counts.tolist())
    parts[rank()].copy_(x)
    for source, part in enumerate(parts):
        if len(part):
            distributed.broadcast(part, src=source)
    return rows
