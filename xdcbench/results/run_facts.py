"""What ``run.json`` says of a run, checked once where it is read."""

from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from xdcbench.utils.documents import RUN_AGAIN, check, read_as

Key = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""Key of a run, which is the name of its folder."""


class RunFacts(TypedDict):
    """What a run says of itself; ``config`` holds the settings of its stage, ``inputs`` keys of runs by role."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    key: Key
    kind: str
    version: Annotated[int, Field(ge=0, le=10**6)]
    name: str
    suite: str
    science: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, Key]
    seconds: Annotated[float, Field(ge=0, le=1e12)]
    device: str
    world_size: Annotated[int, Field(ge=1, le=10**6)]
    versions: dict[str, str]
    commit: str


class _Clustering(TypedDict):
    features: list[str]
    k: int


class _Round(TypedDict):
    method: str
    round: Annotated[int, Field(ge=1, le=10**6)]
    seed: int
    clusterings: dict[str, _Clustering]
    heads: NotRequired[dict[str, list[str]]]


class _RoundInputs(TypedDict):
    encoders: str
    data: str


class _Dataset(TypedDict):
    title: NotRequired[str]


class _Index(TypedDict):
    name: NotRequired[str]
    dataset: NotRequired[_Dataset]


class _Pretrained(TypedDict):
    encoders: dict[str, Any]


class _Evaluation(TypedDict):
    settings: NotRequired[dict[str, Any]]


_CONFIGS: dict[str, Any] = {"round": _Round, "index": _Index, "pretrained": _Pretrained}
"""What is read of the settings of each kind of stage; of all other kinds, `_Evaluation`."""


def read_facts(run: Path) -> RunFacts:
    """What the run directory ``run`` says of itself.

    A UserError where its ``run.json`` is missing, damaged, or a value is of another type.
    """
    path = run / "run.json"
    facts: RunFacts = read_as(RunFacts, path, fix=RUN_AGAIN)
    check(_CONFIGS.get(facts["kind"], _Evaluation), facts["config"], f"{path}: config", fix=RUN_AGAIN)
    if facts["kind"] == "round":
        check(_RoundInputs, facts["inputs"], f"{path}: inputs", fix=RUN_AGAIN)
    return facts


def flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by dotted names, such as ``schedule.lr``."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= (
            flat(value, f"{above}{name}.") if isinstance(value, dict) and value else {above + name: value}
        )
    return found
