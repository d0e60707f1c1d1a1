"""Several processes under torchrun: which is this, what is its share, what do all of them have.

Without torchrun there is one process, every function here is the identity, and torch is not needed.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import nn

K = TypeVar("K")
T = TypeVar("T")

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others; torchrun ends all at once when one dies."""


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """Number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


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


def stop() -> None:
    """Leave the other processes."""
    if size() > 1:
        from torch import distributed

        distributed.destroy_process_group()


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
    """Sum over all processes."""
    return sum(gathered(value))


def barrier() -> None:
    """Wait until every process is here."""
    gathered(None)


def sum_gradients(parameters: Iterable["nn.Parameter"]) -> None:
    """Replace each gradient by its sum over all processes; a missing one counts as zero."""
    if size() == 1:
        return
    import torch
    from torch import distributed

    kept = [p for p in parameters if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in kept]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    distributed.all_reduce(flat)
    for parameter, summed in zip(kept, flat.split([p.numel() for p in kept]), strict=True):
        parameter.grad = summed.view_as(parameter)


def same_buffers(module: "nn.Module") -> None:
    """Give every process the leading one's buffers, such as the running statistics of BatchNorm."""
    if size() == 1:
        return
    from torch import distributed

    for buffer in module.buffers():
        distributed.broadcast(buffer, src=0)
