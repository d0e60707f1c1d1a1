"""A number that a table lacks because this machine lacks the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xdcbench.config.table import Column


@dataclass(frozen=True)
class UnavailableResult:
    """A number that cannot be measured here, named as its record would name it, and why."""

    method: str
    pretrain_data: str
    evaluation: str
    dataset: str
    split: str
    reason: str
    world: str = "real"
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    def under(self, column: Column) -> bool:
        """Whether its number would stand there."""
        return (
            column.evaluation == self.evaluation
            and column.dataset in ("", self.dataset)
            and column.split in ("", "mean", self.split)
            and all(
                self.hyperparameters.get(name, want) == want for name, want in column.hyperparameters.items()
            )
        )
