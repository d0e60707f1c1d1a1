"""Settings of Slurm jobs: what each kind of stage asks of a node, and what the nodes are."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator

from xdcbench.config.base import Config
from xdcbench.config.compose import merge, read
from xdcbench.config.keys import VERSIONS
from xdcbench.config.load import validate
from xdcbench.config.paths import find, folder
from xdcbench.utils.messages import unknown_name
from xdcbench.utils.precision import Precision

LOCAL = "local"
"""The executor that needs no file: stages run in the command itself."""

DeviceClass = Literal["cpu", "cpu_bf16", "volta", "turing", "ampere", "ada", "hopper", "blackwell"]

RESOLVED: Mapping[DeviceClass, Precision] = {
    "cpu": "fp32",
    "cpu_bf16": "bf16",
    "volta": "fp16",
    "turing": "fp16",
    "ampere": "bf16",
    "ada": "bf16",
    "hopper": "bf16",
    "blackwell": "bf16",
}
"""What ``auto`` precision means on each class of device, as `resolve_precision` finds it there."""

OWN = {
    *(
        "--job-name",
        "--array",
        "--output",
        "--error",
        "--dependency",
        "--chdir",
        "--signal",
        "--open-mode",
        "--wait",
    ),
    *("-J", "-a", "-o", "-e", "-d", "-D", "-W"),
}
"""Options of sbatch by which jobs are known again, wait for each other and are warned."""


class Resources(Config):
    """What a stage asks of Slurm; what is None is taken from ``default``, then from the cost model."""

    partition: str | None = Field(None, description="none: the cluster's default")
    account: str | None = Field(None, description="none: the user's default")
    qos: str | None = Field(None, description="quality of service; none: the user's default")
    nodes: int | None = Field(None, ge=1, description="more than one only for stages that processes share")
    gpus: int | None = Field(None, ge=0, description="per node")
    processes: int | None = Field(None, ge=1, description="per node; none: one per GPU, or one")
    cores: int | None = Field(None, ge=1, description="per node")
    memory: float | None = Field(None, gt=0, description="GiB per node")
    hours: float | None = Field(
        None,
        ge=0.1,
        description="time limit; a job that reaches it is queued again if it has saved anything new",
    )
    sbatch: tuple[str, ...] = Field((), description="further options, e.g. `--constraint=a100`")

    @field_validator("sbatch")
    @classmethod
    def _are_options(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            if not line.startswith("-") or "\n" in line:
                raise ValueError(f"{line!r} is no option of sbatch; write for example --constraint=a100")
            if not OWN.isdisjoint((re.split(r"[=\s]", line)[0], line[:2])):
                raise ValueError(f"{line!r} would change what each job's script states itself; leave it out")
        return lines

    def over(self, below: Self) -> Self:
        """These resources, with what they leave open from ``below``."""
        stated = {name: value for name, value in self if value not in (None, ())}
        return below.model_copy(update=stated)


class Slurm(Config):
    """How stages are submitted to Slurm, and what the nodes are.

    Attributes:
        device_class: of the nodes' devices; decides what ``auto`` precision means, and whether GPUs are asked for.
        python: interpreter on the nodes; none: the one that submits.
        set_up: shell lines of each job before anything runs.
        clips_per_second: clips on which one device trains both encoders, for time limits; none: ``max_hours``.
        max_hours: longest time limit that the cost model sets.
        default: for all stages.
        stages: by kind, over ``default``.
    """

    device_class: DeviceClass
    python: str | None = None
    set_up: tuple[str, ...] = ()
    clips_per_second: float | None = Field(None, gt=0)
    max_hours: float = Field(24.0, ge=0.1)
    default: Resources = Resources()
    stages: dict[str, Resources] = Field({})

    @field_validator("stages")
    @classmethod
    def _are_kinds(cls, stages: dict[str, Resources]) -> dict[str, Resources]:
        for kind in stages.keys() - VERSIONS.keys():
            raise ValueError(unknown_name("kind of stage", kind, VERSIONS))
        return stages

    @property
    def has_gpus(self) -> bool:
        """Whether the nodes' devices are GPUs."""
        return not self.device_class.startswith("cpu")

    @property
    def precision(self) -> Precision:
        """What ``auto`` precision means on the nodes."""
        return RESOLVED[self.device_class]


def load_executor(name: str) -> tuple[Slurm, Path]:
    """A shipped executor by name, or a YAML file by path, laid over the shipped one; and its file.

    Raises:
        UserError: there is none, or a key or value of it is unknown.
    """
    shipped = folder("configs") / "executors"
    path = find(shipped, name, what="executor")
    tree = read(path)
    if path.parent != shipped:
        tree = merge(read(shipped / "slurm.yaml"), tree)
    return validate(Slurm, tree, where=str(path)), path
