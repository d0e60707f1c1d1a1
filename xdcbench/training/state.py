"""How far a training run is."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class State:
    """How far a training run is; with weights and optimiser, all that an interruption must not lose.

    Attributes:
        history: means of each whole epoch.
        failed: reason of each item that could not be read.
        best: weights of the best epoch, where one is chosen.
        step: batches done of the epoch at hand, those that could not be read included.
        steps: batches done in all.
        sums: of the epoch at hand, as ``Meter`` has them.
        seen: clips of the epoch at hand.
        start: values before the first step.
        seconds: of the epoch at hand.
        waited: seconds of them that went into waiting for data.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seen: float = 0.0
    start: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0
