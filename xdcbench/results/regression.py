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


class Reference(Config):
    """A reference file: hash of the suite's settings (``plan``), tolerances, and values by name of number.

    ``reason`` says why it was last written, ``versions`` with what libraries and which commit.
    """

    suite: str
    plan: str
    reason: str = ""
    versions: dict[str, str] = Field({}, description="of libraries, and the commit")
    tolerances: dict[str, float]
    values: dict[str, float]


@dataclass(frozen=True)
class RegressionChange:
    """A number where it was and is now; ``expected`` or ``found`` is None where it is missing."""

    name: str
    expected: float | None
    found: float | None
    tolerance: float

    @property
    def moved(self) -> bool:
        """Whether it is missing, new, or beyond its tolerance."""
        if self.expected is None or self.found is None:
            return True
        return not abs(self.found - self.expected) <= self.tolerance

    def __str__(self) -> str:
        expected, found = ("nothing" if v is None else f"{v:.4g}" for v in (self.expected, self.found))
        return f"{self.name}: expected {expected} ± {self.tolerance:g}, found {found}"


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


def load_reference(path: Path) -> Reference:
    """Read a reference file; a UserError where there is none, or it is not one."""
    if not path.exists():
        raise UserError(
            f"no reference {path}; make one with `xdcbench check --update` from results that you trust"
        )
    reference: Reference = read_as(Reference, path, fix="make it again with --update")
    return reference


def origin_of(records: Sequence[Record]) -> dict[str, str]:
    """Libraries and commit that numbers were measured with; several where they differ."""
    found: dict[str, set[str]] = {}
    for record in records:
        for name, version in {**record.versions, "commit": record.commit}.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def settings_digest(suite: Suite) -> str:
    """Hash of what a suite measures: settings off their default, without descriptions, tables and places."""
    settings = suite.model_dump(mode="json", exclude={"name", "description", "tables"}, exclude_defaults=True)
    for dataset in settings["datasets"].values():
        for name in NOT_SCIENCE & dataset.keys():
            del dataset[name]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def write_reference(
    path: Path, suite: str, plan: str, records: Sequence[Record], *, reason: str
) -> Reference:
    """Write a new reference from ``records``, keeping the tolerances of an earlier one; a UserError if it cannot."""
    tolerances = load_reference(path).tolerances if path.exists() else TOLERANCES
    reference = Reference(
        suite=suite,
        plan=plan,
        reason=reason,
        versions=origin_of(records),
        tolerances=tolerances,
        values=values_of(records, tolerances),
    )
    with writing(f"the reference {path}", "give another with --baseline"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, reference.model_dump(mode="json"))
    return reference
