"""The regression check: what a suite reads, computes and measures, compared with a reference in tiers."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from xdcbench.cli.options import words
from xdcbench.cli.output import run_plan
from xdcbench.cli.trained import calibrate, trained_changes
from xdcbench.config.paths import folder
from xdcbench.errors import UserError
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.pipeline.tiers.values import Values
from xdcbench.results.regression.changes import RegressionChange, fixed_changes, shown
from xdcbench.results.regression.reference import (
    Reference,
    empty_reference,
    load_reference,
    settings_digest,
    visible_shifts,
    write_reference,
)
from xdcbench.results.regression.report import told
from xdcbench.utils.format import duration
from xdcbench.utils.hardware import processor_class
from xdcbench.utils.messages import unknown_name
from xdcbench.utils.provenance import commit, versions

PASSED, MOVED, CANNOT_TELL = 0, 1, 2
"""Exit codes."""

TRAINED = "trained"
TIERS = ("inputs", "features", "algorithms", "steps", TRAINED)
"""What is compared, in the order of the seconds that it takes."""


class CheckResult(NamedTuple):
    """What a check tells: lines, exit code, every number of run and reference, versions ``then`` and ``now``."""

    lines: list[str]
    code: int
    values: list[RegressionChange]
    versions: dict[str, dict[str, str]]


def reference_path(request: Request, given: Path | None) -> Path:
    """The reference file of a suite, in a synthetic world one of its own."""
    world = [Path(request.synthetic).stem] if request.synthetic else []
    stem = "-".join([Path(request.suite).stem, *world])
    return given or folder("baselines") / "regression" / f"{stem}.json"


def check_against(request: Request, reference: Path | None, *, tiers: Sequence[str] = TIERS) -> CheckResult:
    """Compute the values of some tiers of a suite and compare them with a reference.

    Raises:
        UserError: there is no reference, or it is of other settings.
    """
    path = reference_path(request, reference)
    launch = plan_launch(request)
    known = load_reference(path)
    if known.plan != _settings(launch):
        raise UserError(
            f"{path} was taken from other settings of {known.suite!r}; give another with --baseline, "
            f"or write a new one with --update"
        )
    name, summary, values = launch.plan.suite.name, list[str](), list[RegressionChange]()
    now = _circumstances()
    for tier in (tier for tier in TIERS if tier in tiers):
        begun = time.monotonic()
        if tier == TRAINED:
            found, measured = trained_changes(request, launch, known)
            if measured.failed:
                moved = [value for value in values if value.moved]
                return CheckResult([*told(moved, summary), *measured.failed], CANNOT_TELL, values, {})
        else:
            found = fixed_changes(_fixed(request, launch, tier), known, [tier])
        took = duration(time.monotonic() - begun)
        summary.append(f"{name}: {tier}: {len(found)} values, {sum(v.moved for v in found)} moved ({took})")
        if not found:
            summary.append(f"{name}: {tier}: not in {path}. Try: write it with --update")
        elif tier == TRAINED:
            summary.append(f"{name}: {tier}: sees shifts of {visible_shifts(known)}")
        values += found
    moved = [value for value in values if value.moved]
    origins = {"then": known.versions, "now": now}
    said = f"{name}: {len(values)} reference values, {len(moved)} moved beyond tolerance"
    lines = [*told(moved, summary), *(_other_versions(origins) if moved else ()), said]
    return CheckResult(lines, MOVED if moved else PASSED, values, origins)


def update_reference(
    request: Request, reference: Path | None, *, reason: str, tiers: Sequence[str] = TIERS, seeds: int = 0
) -> CheckResult:
    """Write the values of some tiers of a suite into the reference, which keeps the others; say what that changes.

    Trained numbers are calibrated over so many ``seeds``.

    Raises:
        UserError: no reason is given, this is CI, where nobody looks, or what is kept is of other settings.
    """
    if not reason.strip():
        raise UserError("--update writes what every later check goes by. Try: say why, with --reason TEXT")
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        raise UserError(
            "--update is refused in CI (the environment variable CI is set). Try: run it by hand, look at what it "
            "changes, and commit the file"
        )
    path = reference_path(request, reference)
    launch = plan_launch(request)
    settings = _settings(launch)
    before = load_reference(path) if path.exists() else None
    kept = set(TIERS) - set(tiers)
    if kept and before and before.plan != settings:
        raise UserError(f"{path} was taken from other settings of {before.suite!r}. Try: update all tiers")
    new = before or empty_reference(launch.plan.suite.name)
    if TRAINED in tiers:
        new, failed = calibrate(request, new, seeds)
        if failed:
            return CheckResult(list(failed), CANNOT_TELL, [], {})
    found = {
        k: v
        for tier in TIERS
        if tier in tiers and tier != TRAINED
        for k, v in _fixed(request, launch, tier).items()
    }
    stay = {name: value for name, value in new.fixed.items() if name.split("/")[0] in kept}
    about = {"plan": settings, "reason": reason, "versions": _circumstances()}
    new = new.model_copy(update={"fixed": stay | found, **about})
    write_reference(path, new)
    lines = [
        *_difference(before, new),
        f"wrote {len(new.values) + len(new.fixed)} reference values to {path}",
    ]
    if TRAINED in tiers:
        runs = f"{len(new.seeds)} seeds with {' and '.join(map(str, new.threads))} threads"
        lines.append(f"{new.suite}: trained: over {runs}; a check sees shifts of {visible_shifts(new)}")
    return CheckResult(lines, PASSED, [], {})


def tiers_of(text: str) -> tuple[str, ...]:
    """The tiers of ``--tiers``; all where none is named.

    Raises:
        UserError: there is no such tier.
    """
    chosen = words(text)
    for name in chosen:
        if name not in TIERS:
            raise UserError("--tiers: " + unknown_name("tier", name, TIERS))
    return chosen or TIERS


def _fixed(request: Request, launch: Launch, tier: str) -> Values:
    """Values of a tier that need no spread; those of inputs and features of each dataset that is here.

    Raises:
        UserError: a stage fails.
    """
    if tier == "steps":
        from xdcbench.pipeline.tiers.steps import plan_steps, step_values

        small = plan_steps(request, launch.plan.suite)
        return step_values(small, _done(small))
    if tier == "algorithms":
        from xdcbench.pipeline.tiers.algorithms import algorithm_values, load_stored

        return algorithm_values(load_stored(folder("baselines") / "regression" / "features.npz"))
    from xdcbench.data.index import Index, media_of
    from xdcbench.pipeline.tiers.features import feature_values
    from xdcbench.pipeline.tiers.inputs import input_values

    found: dict[str, float | str] = {}
    for stage in _done(replace(launch, plan=launch.whole.only("index/*"), jobs=1)):
        if stage.kind != "index":
            continue
        index = Index.load(launch.store.path(stage.key))
        source = media_of(index, launch.context)
        if tier == "inputs":
            found |= input_values(index, source, launch.plan.suite.models)
        elif not found:
            found |= feature_values(index, source)
    return found


def _done(launch: Launch) -> list[Stage]:
    """The stages of a plan, run; without those whose data is not here.

    Raises:
        UserError: one failed.
    """
    outcomes = run_plan(launch, policy="missing")
    for outcome in outcomes:
        if outcome.has_failed:
            raise UserError(f"{outcome.stage.name} failed: {outcome.detail}")
    return [outcome.stage for outcome in outcomes if outcome.is_there]


def _circumstances() -> dict[str, str]:
    """Versions of libraries, the commit, and the class of processor."""
    return versions() | {"commit": commit(), "processor": processor_class()}


def _settings(launch: Launch) -> str:
    return "-".join(settings_digest(part) for part in launch.plan.suite.leaves)


def _difference(before: Reference | None, new: Reference) -> Iterator[str]:
    """What a new reference changes of an earlier one, one line for each number."""
    if before is None:
        return
    then, now = (
        {**of.fixed, **{name: spread.mean for name, spread in of.values.items()}} for of in (before, new)
    )
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            yield f"{name}: {shown(then.get(name))} -> {shown(now.get(name))}"


def _other_versions(origins: dict[str, dict[str, str]]) -> Iterator[str]:
    """A line of libraries, commit and processor in which the run differs from the reference."""
    then, now = origins["then"], origins["now"]
    other = [f"{k} {then[k]} -> {now[k]}" for k in sorted(then.keys() & now.keys()) if then[k] != now[k]]
    if other:
        yield "Other than in the reference: " + ", ".join(other)


def tell(result: CheckResult, suite: str, *, junit: Path | None, json: Path | None) -> Sequence[str]:
    """Write what machines read of a check; the lines for a terminal, with annotations under GitHub Actions.

    Raises:
        UserError: a file cannot be written.
    """
    from xdcbench.results.regression.report import annotations, append_summary, write_check, write_junit

    if junit:
        write_junit(junit, suite, result.values, error=result.lines[-1] if result.code == CANNOT_TELL else "")
    if json:
        write_check(json, suite, result.values, result.versions)
    append_summary(suite, result.values)
    return [*annotations(suite, result.values), *result.lines]
