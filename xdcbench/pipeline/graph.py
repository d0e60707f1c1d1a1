"""The nodes of a plan."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xdcbench.config.base import Config
from xdcbench.config.keys import VERSIONS, key_of, science
from xdcbench.pipeline.registry import STAGES


@dataclass(frozen=True)
class Stage:
    """A node of the plan.

    ``name`` says in words what it is (``xdc/kinetics400/seed0/round2``) and is what ``--filter`` matches;
    ``key`` says exactly what it is, and is what results are kept under. ``unavailable`` holds the reason
    where this machine lacks the data.
    """

    kind: str
    name: str
    config: Config
    inputs: tuple[tuple[str, "Stage"], ...] = ()
    unavailable: str = ""

    @cached_property
    def key(self) -> str:
        """Hash of kind, version, science configuration and inputs' keys."""
        content: dict[str, Any] = {
            "kind": self.kind,
            "version": VERSIONS[self.kind],
            "config": science(self.config),
            "inputs": {name: stage.key for name, stage in self.inputs},
        }
        return key_of(self.kind, content)

    @property
    def reason(self) -> str:
        """Why this stage cannot run here: its own lack or that of what it hangs on; empty if it can."""
        return next((r for r in (self.unavailable, *(s.reason for _, s in self.inputs)) if r), "")

    @property
    def read(self) -> tuple["Stage", ...]:
        """Stages whose files this one reads: its inputs, and the world or the shards that a shared stage decodes."""
        sources = tuple(source for _, source in self.inputs)
        media = {of.key: of for source in sources if source.kind == "index" and (of := source.media)}
        return sources + (tuple(media.values()) if STAGES[self.kind].shared else ())

    @property
    def media(self) -> "Stage | None":
        """The shards, else the world, that hold the files of an index; None for those of the user."""
        inputs = dict(self.inputs)
        return inputs.get("shards") or inputs.get("world")
