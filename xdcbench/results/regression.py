"""The regression check: records of a run against reference values, within kept tolerances."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from xdcbench.config.base import Config
from xdcbench.config.keys import NOT_SCIENCE
from xdcbench.config.suite import Suite
from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.utils.documents import read_as, write_json
from xdcbench.utils.io import writing

TOLERANCES = {
    "top1": 40.0,
    "cluster_accuracy": 40.0,
    "nmi_class": 0.2,
    "purity": 0.3,
    "within_cluster_variance": 0.15,
    "accuracy": 0.2,
}
"""What a change of processor or library version may move, per metric; a metric without one is not kept.

Purity moves by whole clusters: of smoke's four classes, two that share a cluster cost 0.25. A new reference
starts from these; its file may then be edited, and ``--update`` keeps what it says.
"""


ROUNDING = 1e-4
"""Of numbers that nothing trained lies behind, relative to the larger of 1 and the number."""


class Reference(Config):
    """A reference file: hash of the suite's settings (``plan``), tolerances, and values by name of number.

    ``reason`` says why it was last written, ``versions`` with what libraries and which commit. ``untrained`` holds what
    is compared before anything is trained: digests, to be equal, and numbers, to agree within `ROUNDING`.
    """

    suite: str
    plan: str
    reason: str = ""
    versions: dict[str, str] = Field({}, description="of libraries, and the commit")
    tolerances: dict[str, float]
    values: dict[str, float]
    untrained: dict[str, float | str] = Field({}, description="by tier and name")


@dataclass(frozen=True)
class RegressionChange:
    """A number or digest where it was and is now; ``expected`` or ``found`` is None where it is missing."""

    name: str
    expected: float | str | None
    found: float | str | None
    tolerance: float

    @property
    def moved(self) -> bool:
        """Whether it is missing, new, or beyond its tolerance."""
        if isinstance(self.expected, float | int) and isinstance(self.found, float | int):
            return not abs(self.found - self.expected) <= self.tolerance
        return self.expected is None or self.expected != self.found

    def __str__(self) -> str:
        within = "" if isinstance(self.expected, str) else f" ± {self.tolerance:g}"
        return f"{self.name}: expected {shown(self.expected)}{within}, found {shown(self.found)}"


def shown(value: float | str | None) -> str:
    """A value of a check in words."""
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else f"{value:.4g}"


def name_of(record: Record, metric: str) -> str:
    """What a value is called: method, data, seed and what was measured."""
    encoders = f"{record.method}/{record.pretrain_data}/seed{record.pretrain_seed}"
    return f"{encoders}/{record.evaluation}/{record.dataset}/{metric}"


def values_of(records: Iterable[Record], tolerances: Mapping[str, float]) -> dict[str, float]:
    """Means by name over splits, rounds, clusterings and heads, of the metrics that have a tolerance.

    Training magnifies the rounding of another processor or number of threads: one fold or clustering of a
    small suite may land elsewhere while their mean stays. Items held out for validation are too few.
    """
    values: dict[str, list[float]] = {}
    for record in records:
        metric = metric_of(record.metric, tolerances)
        if metric is not None and not record.metric.startswith("val_"):
            values.setdefault(name_of(record, metric), []).append(record.value)
    return {name: sum(several) / len(several) for name, several in sorted(values.items())}


def metric_of(metric: str, tolerances: Mapping[str, float]) -> str | None:
    """The metric with a tolerance that ``metric`` is, or ends in: ``video_a_accuracy`` is an accuracy."""
    suffixes = [name for name in tolerances if metric == name or metric.endswith(f"_{name}")]
    return max(suffixes, key=len, default=None)


def regression_changes(records: Sequence[Record], reference: Reference) -> list[RegressionChange]:
    """Every number of a run or a reference, by name."""
    found, expected = values_of(records, reference.tolerances), reference.values
    return [
        RegressionChange(
            name,
            expected.get(name),
            found.get(name),
            reference.tolerances.get(name.rsplit("/", 1)[-1], 0.0),
        )
        for name in sorted(found.keys() | expected.keys())
    ]


def untrained_changes(
    found: Mapping[str, float | str], reference: Reference, tiers: Sequence[str]
) -> list[RegressionChange]:
    """Every value of some tiers, of this run or the reference, by name; nothing of a tier that it lacks."""
    known = {name: value for name, value in reference.untrained.items() if name.split("/")[0] in tiers}
    held = {name.split("/")[0] for name in known}
    names = sorted(known.keys() | {name for name in found if name.split("/")[0] in held})
    return [RegressionChange(n, known.get(n), found.get(n), rounding(known.get(n))) for n in names]


def rounding(value: float | str | None) -> float:
    """What another processor or number of threads may move of a number."""
    return ROUNDING * max(1.0, abs(value)) if isinstance(value, float | int) else 0.0


def load_reference(path: Path) -> Reference:
    """Read a reference file; a UserError where there is none, or it is not one."""
    if not path.exists():
        raise UserError(
            f"no reference {path}; make one with `xdcbench check --update` from results that you trust"
        )
    reference: Reference = read_as(Reference, path, fix="make it again with --update")
    return reference


def settings_digest(suite: Suite) -> str:
    """Hash of what a suite measures: settings off their default, without descriptions, tables and places."""
    settings = suite.model_dump(mode="json", exclude={"name", "description", "tables"}, exclude_defaults=True)
    for dataset in settings["datasets"].values():
        for name in NOT_SCIENCE & dataset.keys():
            del dataset[name]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def empty_reference(suite: str) -> Reference:
    """The reference of a suite that has none, with the tolerances that it starts from."""
    return Reference(suite=suite, plan="", tolerances=TOLERANCES, values={})


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference file; a UserError if it cannot be written."""
    with writing(f"the reference {path}", "give another with --baseline"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, reference.model_dump(mode="json"))
