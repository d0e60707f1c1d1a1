"""Several processes under torchrun: which is this, what is its share, what do all of them have.

Without torchrun there is one process, every function here is the identity, and torch is not needed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from xdcbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

K = TypeVar("K")
T = TypeVar("T")

TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun says to each of its processes."""

_AS: ContextVar[tuple[int, int] | None] = ContextVar("as", default=None)


def check_environment() -> None:
    """See that the environment is torchrun's or that of a single process.

    Raises:
        UserError: it names one of several processes without all that these need to find each other.
    """
    given = {name: value for name in TORCHRUN if (value := os.environ.get(name, ""))}
    numbers = {name: given[name] for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK") if name in given}
    said = " ".join(f"{name}={value}" for name, value in numbers.items())
    fix = f"Try: unset {' '.join(numbers)}, or start the command with torchrun"
    for name, value in numbers.items():
        if not value.isdecimal():
            raise UserError(f"{name}={value!r} in the environment is no whole number. {fix}")
    world, number = int(numbers.get("WORLD_SIZE", 1)), int(numbers.get("RANK", 0))
    if world == 1 and number == 0:
        return
    if lacking := [name for name in TORCHRUN if name not in given]:
        raise UserError(
            f"the environment has {said}, as of one of several processes, and no {', '.join(lacking)}. {fix}"
        )
    if number >= world:
        raise UserError(f"the environment has {said}: there is no such process. {fix}")


@contextmanager
def as_process(number: int, count: int) -> Iterator[None]:
    """Within, this process counts as that of a number, from 0, of so many; nothing may be exchanged between them."""
    token = _AS.set((number, count))
    try:
        yield
    finally:
        _AS.reset(token)


def single_process() -> AbstractContextManager[None]:
    """Within, this process counts as the only one: for what one of several does while the others wait for it."""
    return as_process(0, 1)


def rank() -> int:
    """Number of this process, from 0."""
    counts_as = _AS.get()
    return counts_as[0] if counts_as else int(os.environ.get("RANK") or 0)


def world_size() -> int:
    """Number of processes."""
    counts_as = _AS.get()
    return counts_as[1] if counts_as else int(os.environ.get("WORLD_SIZE") or 1)


def local_world_size() -> int:
    """Number of processes of this run on this machine."""
    stated = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(stated)) if stated.isdecimal() and world_size() > 1 else 1


def is_main_process() -> bool:
    """Whether this is the one process that writes files."""
    return rank() == 0


def shard(items: Sequence[T], *, least: int = 1) -> Sequence[T]:
    """This process's part of ``items``.

    The parts differ in length by one at most, but that where there are not ``least`` for every process, fewer
    processes share them, and the others have none.
    """
    sharing = max(1, min(world_size(), len(items) // least))
    return items[rank() :: sharing] if rank() < sharing else items[:0]


def all_gather_object(value: T) -> list[T]:
    """The value of every process, in the order of their numbers."""
    if world_size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def on_main_process(make: Callable[[], T]) -> T:
    """What ``make`` returns in the main process, which alone calls it."""
    if world_size() == 1:
        return make()
    from torch import distributed

    box: list[Any] = [make() if is_main_process() else None]
    distributed.broadcast_object_list(box, src=0)
    value: T = box[0]
    return value


def all_gather_dict(parts: dict[K, T]) -> dict[K, T]:
    """One mapping of what every process has."""
    return {key: value for part in all_gather_object(parts) for key, value in part.items()}


def all_reduce_scalar(value: float) -> float:
    """Sum over all processes, in float64."""
    if world_size() == 1:
        return value
    import torch

    return float(all_reduce(torch.tensor(value, dtype=torch.float64)))


def barrier() -> None:
    """Wait until every process is here."""
    all_reduce_scalar(0.0)


def all_reduce_gradients(parameters: Iterable["nn.Parameter"]) -> None:
    """Replace each gradient by its sum over all processes; a missing one counts as zero."""
    if world_size() == 1:
        return
    import torch

    kinds: dict[object, list[nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            kinds.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    for kept in kinds.values():
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in kept]
        flat = all_reduce(torch.cat([g.reshape(-1) for g in gradients]))
        for parameter, summed in zip(kept, flat.split([p.numel() for p in kept]), strict=True):
            parameter.grad = summed.view_as(parameter)


def broadcast_buffers(module: "nn.Module") -> None:
    """Give every process the leading one's buffers, such as the running statistics of BatchNorm."""
    for buffer in module.buffers():
        broadcast(buffer)


def contiguous_shard(n: int, block: int) -> range:
    """This process's contiguous share of n rows, in whole blocks of ``block`` rows; it may be empty.

    The shares of all processes follow each other and make up 0..n; only the end of the last that is not
    empty need not be a multiple of ``block``. They differ by one block at most.
    """
    blocks = -(-n // block)
    first, end = (blocks * r // world_size() for r in (rank(), rank() + 1))
    return range(min(first * block, n), min(end * block, n))


def all_reduce(x: "Tensor") -> "Tensor":
    """Replace ``x``, of one shape and dtype in every process, by its sum over all of them; return it."""
    if world_size() > 1:
        from torch import distributed

        distributed.all_reduce(x)
    return x


def broadcast(x: "Tensor") -> "Tensor":
    """Replace ``x``, of one shape and dtype in every process, by the leading one's; return it."""
    if world_size() > 1:
        from torch import distributed

        distributed.broadcast(x, src=0)
    return x


def all_gather_rows(x: "Tensor") -> "Tensor":
    """Rows, (n, ...), of all processes in the order of their numbers; n may differ, and be 0, and nothing else may."""
    if world_size() == 1:
        return x
    import torch
    from torch import distributed

    counts = torch.zeros(world_size(), dtype=torch.int64, device=x.device)
    counts[rank()] = len(x)
    rows = x.new_empty(int(all_reduce(counts).sum()), *x.shape[1:])
    parts = rows.split(counts.tolist())
    parts[rank()].copy_(x)
    for source, part in enumerate(parts):
        if len(part):
            distributed.broadcast(part, src=source)
    return rows
