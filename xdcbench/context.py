"""What a stage may know of the machine and the moment that it runs in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Context:
    """What a stage may know beyond its configuration and inputs; none of it changes a result.

    Attributes:
        suite: name for records.
        device: as torch names it.
        workers: processes that read media; 0 reads in the training process.
        roots: folder of each data set.
        cache: folder of what planning remembers of them.
        checkpoint_seconds: least time between two checkpoints.
        begun: when the stage at hand began, on the monotonic clock.
    """

    suite: str
    device: str = "cpu"
    workers: int = 0
    roots: Mapping[str, Path] = field(default_factory=dict)
    cache: Path = Path("cache")
    checkpoint_seconds: float = 60.0
    begun: float = 0.0


def elapsed(context: Context) -> float:
    """Seconds since the stage at hand began, in this process."""
    return round(time.monotonic() - context.begun, 3)
