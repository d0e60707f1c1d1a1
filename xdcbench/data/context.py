"""What a stage may know of the machine and the moment that it runs in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xdcbench.utils.code import NO_CODE, Consent

if TYPE_CHECKING:
    from xdcbench.data.decoded import DecodedItems
    from xdcbench.data.shards.reader import ShardReader

PREPARED = "prepared"
"""Folder of the shards in the run directory of a stage that prepares them."""

INDEX_ITEMS = "items.arrow"
"""File of the items in the run directory of an index stage."""


@dataclass(frozen=True)
class Context:
    """What a stage may know beyond its configuration and inputs; none of it changes a result.

    Attributes:
        device: as torch names it.
        num_workers: processes that read media; 0 reads in the training process.
        roots: folder of each dataset, or the shards of the user that it is read from.
        prepared: folder of the shards of each dataset that a stage of this plan prepares.
        scratch: folder of this node to which shards are copied before they are read; None reads them in place.
        cache: folder of what planning remembers of them.
        decoded: what this command keeps decoded of small datasets.
        fingerprint: what of files fingerprints cover, "size" or "content".
        checkpoint_seconds: least time between two checkpoints.
        keep_checkpoints: number of newest ones that are kept.
        micro_batch_size: clips per forward and backward pass at most; None: a process's whole share.
        compile: whether what is trained is compiled.
        took: mean seconds of the stages that this process has finished, by kind.
        ahead: number of stages of the plan that come after the one at hand, by kind.
        kind: of the stage at hand.
        consent: the code of others that the user lets run.
        accept_license: whether the user has accepted licenses that forbid commercial use.
        begun: when the stage at hand began, on the monotonic clock.
    """

    suite: str
    device: str = "cpu"
    num_workers: int = 0
    roots: Mapping[str, "Path | ShardReader"] = field(default_factory=dict)
    prepared: Mapping[str, Path] = field(default_factory=dict)
    scratch: str | None = None
    cache: Path = Path("cache")
    decoded: "DecodedItems | None" = None
    fingerprint: Literal["size", "content"] = "size"
    checkpoint_seconds: float = 60.0
    keep_checkpoints: int = 2
    micro_batch_size: int | None = None
    compile: bool = False
    took: Mapping[str, float] = field(default_factory=dict)
    ahead: Mapping[str, int] = field(default_factory=dict)
    kind: str = ""
    consent: Consent = NO_CODE
    accept_license: bool = False
    begun: float = 0.0

    def rest(self, seconds: float) -> float:
        """Seconds of the stages ahead, if one of this kind takes ``seconds``; kinds not seen yet take none."""
        known = {**self.took, self.kind: seconds}
        return sum(known.get(kind, 0.0) * count for kind, count in self.ahead.items())


def elapsed(context: Context) -> float:
    """Seconds since the stage at hand began, in this process."""
    return round(time.monotonic() - context.begun, 3)


@dataclass(frozen=True)
class Source:
    """Where a dataset's files are on this machine, or why they are not; marks as of `Fingerprints`.

    ``shards`` says that the marks are of the user's prepared shards.
    """

    fingerprint: str | None = None
    unavailable: str = ""
    lengths: str | None = None
    stamp: str = ""
    shards: bool = False
