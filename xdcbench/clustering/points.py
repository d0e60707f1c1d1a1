"""Rows that several processes hold together, one contiguous share each, none of them ever copied whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xdcbench.utils.distributed import all_gather_rows, all_reduce, rank, world_size

ROOM = 0.5
"""Share of a device's free memory that points may fill; of more, chunks are moved at each pass."""


@dataclass(frozen=True)
class ShardedPoints:
    """The rows of all processes, in the order of their numbers.

    Attributes:
        x: float32 (n, d), this process's share; n may be 0, and may exceed memory where x is a mapped file.
        device: that is computed on.
        unit: whether rows are scaled to unit length as they are read.
        first: number of rows before this process's.
        count: rows of all processes.
    """

    x: Tensor
    device: torch.device
    unit: bool
    first: int
    count: int

    @classmethod
    def of(cls, x: Tensor, *, device: torch.device | None = None, unit: bool = False) -> "ShardedPoints":
        """Points of which ``x`` is this process's share; all processes call this together."""
        device = x.device if device is None else device
        lengths = torch.zeros(world_size(), dtype=torch.int64)
        lengths[rank()] = len(x)
        before = all_reduce(lengths)[: rank()].sum()
        if device.type == "cuda" and x.nbytes < ROOM * torch.cuda.mem_get_info(device)[0]:
            x = x.to(device)
        return cls(x, device, unit, int(before), int(lengths.sum()))

    def rows(self, where: slice | Tensor) -> Tensor:
        """Rows of this process, float32, on ``device``."""
        # What is held on a CPU takes no index that lies on a GPU.
        where = where.to(self.x.device) if isinstance(where, Tensor) else where
        part = self.x[where].to(self.device)
        return normalize(part, dim=1) if self.unit else part

    def chunks(self, length: int) -> Iterator[slice]:
        """This process's rows in slices of at most ``length``."""
        n = len(self.x)
        return (slice(begin, min(begin + length, n)) for begin in range(0, n, length))

    def take(self, numbers: Tensor) -> Tensor:
        """Rows by their numbers, int64 (m,) on the CPU, among those of all processes; the same in each process."""
        mine = ((numbers >= self.first) & (numbers < self.first + len(self.x))).nonzero()[:, 0]
        found = all_gather_rows(self.rows((numbers[mine] - self.first).to(self.x.device)))
        return torch.empty_like(found).index_copy_(0, all_gather_rows(mine).to(self.device), found)
