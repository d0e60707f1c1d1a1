"""Numbers of a run beside those of a reference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from xdcbench.results.records import Record
from xdcbench.results.regression.reference import Reference, fixed_tolerance
from xdcbench.results.regression.values import values_of

NAMED = 5
"""Items that a line names."""


@dataclass(frozen=True)
class RegressionChange:
    """A number or digest where it was and is now; ``expected`` or ``found`` is None where it is missing.

    ``again`` is what a number that moved is with another seed, and ``items`` are test items that were right and are
    wrong now.
    """

    name: str
    expected: float | str | None
    found: float | str | None
    tolerance: float
    again: float | None = None
    items: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether it is missing, new, or beyond its tolerance."""
        if _is_number(self.expected) and _is_number(self.found):
            return not abs(self.found - self.expected) <= self.tolerance
        return self.expected is None or self.expected != self.found

    @property
    def excess(self) -> float:
        """How many times its tolerance a number has moved; infinite for a digest, and for what is missing or new."""
        if _is_number(self.expected) and _is_number(self.found) and self.tolerance:
            times = abs(self.found - self.expected) / self.tolerance
            return math.inf if math.isnan(times) else times
        return math.inf

    def __str__(self) -> str:
        within = "" if isinstance(self.expected, str) else f" ± {self.tolerance:.3g}"
        said = f"{self.name}: expected {shown(self.expected)}{within}, found {shown(self.found)}"
        if self.again is not None:
            stays = abs(self.again - self.expected) > self.tolerance if _is_number(self.expected) else True
            said += f"; with another seed {shown(self.again)}, {'moved too' if stays else 'as expected'}"
        if self.items:
            more = f" and {len(self.items) - NAMED} more" if len(self.items) > NAMED else ""
            said += f"; now wrong: {', '.join(self.items[:NAMED])}{more}"
        return said


def regression_changes(records: Sequence[Record], reference: Reference) -> list[RegressionChange]:
    """Every number of a run or a reference, by name."""
    found = values_of(records)
    seeds = len({record.seed for record in records}) or 1
    return [
        RegressionChange(
            name,
            reference.values[name].mean if name in reference.values else None,
            found.get(name),
            reference.tolerance(name, seeds=seeds),
        )
        for name in sorted(found.keys() | reference.values.keys())
    ]


def fixed_changes(
    found: Mapping[str, float | str], reference: Reference, tiers: Sequence[str]
) -> list[RegressionChange]:
    """Every value of some tiers, of this run or the reference, by name; nothing of a tier that it lacks."""
    known = {name: value for name, value in reference.fixed.items() if name.split("/")[0] in tiers}
    held = {name.split("/")[0] for name in known}
    names = sorted(known.keys() | {name for name in found if name.split("/")[0] in held})
    return [RegressionChange(n, known.get(n), found.get(n), fixed_tolerance(n, known.get(n))) for n in names]


def _is_number(value: float | str | None) -> TypeGuard[float]:
    return isinstance(value, float | int)


def shown(value: float | str | None) -> str:
    """A value of a check in words."""
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else f"{value:.4g}"
