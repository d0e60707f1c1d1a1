"""Means over the clips of an epoch, summed where the values are, so that a step need not wait for a GPU."""

from collections.abc import Mapping

import torch
from torch import Tensor

from xdcbench.utils.distributed import all_gather_object, all_reduce


class AverageMeter:
    """Sums of named values, each a mean over some clips, weighted by the number of clips.

    Attributes:
        names: of the values, in the order of ``sums``.
        sums: float64 (names,), of this process, on the device of the values.
        seen: clips, of this process.
    """

    def __init__(self, sums: Mapping[str, float] | None = None, seen: float = 0.0) -> None:
        self.names = tuple(sums or ())
        self.sums = torch.tensor(list((sums or {}).values()), dtype=torch.float64)
        self.seen, self.agreed = seen, False

    def add(self, values: Mapping[str, Tensor], clips: int) -> None:
        """Add the means, each (), over ``clips`` clips; every call has the same names."""
        new = torch.stack([value.detach().double() for value in values.values()]) * clips
        self.sums = self.sums.to(new.device) + new if self.names else new
        self.names = self.names or tuple(values)
        self.seen += clips

    def totals(self) -> tuple[dict[str, float], float]:
        """Sums by name and clips, over all processes; all call it together, those without a clip, too."""
        if not self.agreed:
            names = next((part for part in all_gather_object(self.names) if part), ())
            if not self.names:
                self.names, self.sums = names, torch.zeros(len(names), dtype=torch.float64)
            self.agreed = bool(names)
        both = torch.cat([self.sums.cpu(), torch.tensor([self.seen], dtype=torch.float64)])
        *sums, seen = all_reduce(both).tolist()
        return dict(zip(self.names, sums, strict=True)), seen

    def means(self) -> dict[str, float]:
        """Means by name over the clips of all processes, called as ``totals``; empty without a clip."""
        sums, seen = self.totals()
        return {name: value / seen for name, value in sums.items()} if seen else {}
