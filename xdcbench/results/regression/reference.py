"""What the numbers of a suite were, and how far those of unchanged code may lie from them."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev

from pydantic import Field

from xdcbench.config.base import Config
from xdcbench.config.keys import NOT_SCIENCE
from xdcbench.config.suite import Suite
from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.regression.values import SCALES, compared, item_of, values_of
from xdcbench.utils.documents import read_as, write_json
from xdcbench.utils.io import writing

FALSE_ALARMS = 0.05
"""Chance that a check of unchanged code sees any of its trained numbers move."""

ROUNDING = 1e-4
"""Of numbers that nothing trained lies behind, relative to the larger of 1 and the number."""


STEPS = {"steps/start/": 1e-3, "steps/later/": 0.05}
"""Of losses, NMI and scores before the first step and after some, by how names begin; relative as `ROUNDING`."""


class Spread(Config):
    """Where a trained number lies: mean and standard deviation over seeds and numbers of threads.

    ``item`` is what one test item more or less moves of a share of test items; 0 of what is none.
    """

    mean: float
    deviation: float = Field(0.0, ge=0)
    item: float = Field(0.0, ge=0)


class Reference(Config):
    """A reference file: hash of the suite's settings (``plan``), and what its numbers were.

    ``reason`` says why it was last written, ``versions`` with what libraries and which commit. ``fixed`` holds what
    needs no spread: digests, to be equal, and numbers, to agree within `ROUNDING` or `STEPS`.
    ``values`` are trained numbers over ``seeds``, each with every number of ``threads``; ``wrong`` are the test items
    that the suite's own seeds got wrong.
    """

    suite: str
    plan: str
    reason: str = ""
    versions: dict[str, str] = Field({}, description="of libraries, and the commit")
    seeds: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    values: dict[str, Spread] = Field({}, description="by name of number")
    wrong: dict[str, tuple[str, ...]] = Field({}, description="ids of test items, by name of number")
    fixed: dict[str, float | str] = Field({}, description="by tier and name")

    def tolerance(self, name: str, *, seeds: int = 1) -> float:
        """What a number of a check of unchanged code may lie from the mean; 0 for one that was not there.

        A prediction bound for the mean of ``seeds`` further seeds, of all numbers together (Bonferroni): Student's t
        with as many degrees of freedom as seeds less one, since runs of one seed are not independent. Of a share of
        few test items, at least `share_bound`: seeds that all gave 8 of 8 do not show that a next one does.
        """
        spread = self.values.get(name)
        if spread is None or len(self.seeds) < 2:
            return 0.0
        from scipy.stats import t  # takes longer to import than the rest of a check that trains nothing

        error = FALSE_ALARMS / (2 * len(self.values))
        spreads = math.sqrt(1 / seeds + 1 / len(self.seeds)) * spread.deviation
        bounds = [float(t.isf(error, len(self.seeds) - 1)) * spreads, ROUNDING * max(1.0, abs(spread.mean))]
        scale = SCALES.get(name.rpartition("/")[2], 0.0)
        if spread.item and scale:
            items = round(scale / spread.item)
            known = (items * len(self.seeds), items * seeds)
            bounds.append(scale * share_bound(spread.mean / scale, *known, error=error))
        return max(bounds)


def share_bound(share: float, known: int, items: int, *, error: float) -> float:
    """How far the share right of ``items`` further trials may lie from ``share``, that of ``known`` ones.

    A prediction bound of binomial trials whose chance has Jeffreys' prior (beta-binomial), with probability ``error``
    on each side; shares from 0 to 1.
    """
    from scipy.stats import betabinom  # as above

    expected = betabinom(items, share * known + 0.5, (1 - share) * known + 0.5)
    low, high = expected.ppf(error) / items, expected.isf(error) / items
    return float(max(share - low, high - share))


def fixed_tolerance(name: str, value: float | str | None) -> float:
    """What another processor or number of threads may move of a number of a tier."""
    share = next((share for start, share in STEPS.items() if name.startswith(start)), ROUNDING)
    return share * max(1.0, abs(value)) if isinstance(value, float | int) else 0.0


def spreads_of(runs: Sequence[Sequence[Record]]) -> dict[str, Spread]:
    """Mean and deviation of each number over runs, each of one seed and number of threads.

    Raises:
        UserError: the runs do not have the same numbers.
    """
    values = [values_of(records) for records in runs]
    if any(of.keys() != values[0].keys() for of in values):
        raise UserError(
            "the runs of a calibration have different numbers; see the log for stages that failed"
        )
    items = {name: item_of(of) for name, of in compared(runs[0]).items()}
    spreads = {}
    for name in values[0]:
        several = [of[name] for of in values]
        spreads[name] = Spread(mean=fmean(several), deviation=stdev(several), item=items.get(name, 0.0))
    return spreads


def visible_shifts(reference: Reference) -> str:
    """The smallest shifts that a check against a reference sees, by metric: least, median and largest."""
    tolerances: dict[str, list[float]] = {}
    for name in reference.values:
        tolerances.setdefault(name.rpartition("/")[2], []).append(reference.tolerance(name))
    words = (
        f"{metric} {min(of):.3g} to {max(of):.3g}, median {median(of):.3g}"
        for metric, of in sorted(tolerances.items())
    )
    return "; ".join(words)


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
    """The reference of a suite that has none."""
    return Reference(suite=suite, plan="")


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference file; a UserError if it cannot be written."""
    with writing(f"the reference {path}", "give another with --baseline"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, reference.model_dump(mode="json"))
