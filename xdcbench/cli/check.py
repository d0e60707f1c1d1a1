"""The regression check: a suite is run, and its numbers are compared with a reference."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from xdcbench.cli.output import report, run_plan
from xdcbench.config.paths import folder
from xdcbench.errors import UserError
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.results.records import Record, read_records
from xdcbench.results.regression import (
    Reference,
    RegressionChange,
    load_reference,
    origin_of,
    regression_changes,
    settings_digest,
    write_reference,
)

PASSED, MOVED, CANNOT_TELL = 0, 1, 2
"""Exit codes."""


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


def check_against(request: Request, reference: Path | None) -> CheckResult:
    """Run a suite and compare its numbers with a reference.

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
    records, lines = _measured(launch)
    if records is None:
        return CheckResult(lines, CANNOT_TELL, [], {})
    values = regression_changes(records, known)
    moved = [value for value in values if value.moved]
    name = launch.plan.suite.name
    said = f"{name}: {len(known.values)} reference values, {len(moved)} moved beyond tolerance"
    origins = {"then": known.versions, "now": origin_of(records)}
    lines = [*map(str, moved), *(_other_versions(origins) if moved else ()), said]
    return CheckResult(lines, MOVED if moved else PASSED, values, origins)


def update_reference(request: Request, reference: Path | None, *, reason: str) -> CheckResult:
    """Run a suite, write its numbers as the reference, and say what that changes.

    Raises:
        UserError: no reason is given, or this is CI, where nobody looks.
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
    before = load_reference(path) if path.exists() else None
    records, lines = _measured(launch)
    if records is None:
        return CheckResult(lines, CANNOT_TELL, [], {})
    settings = _settings(launch)
    new = write_reference(path, launch.plan.suite.name, settings, records, reason=reason)
    lines = [*_difference(before, new), f"wrote {len(new.values)} reference values to {path}"]
    return CheckResult(lines, PASSED, [], {})


def _settings(launch: Launch) -> str:
    return "-".join(settings_digest(part) for part in launch.plan.suite.leaves)


def _measured(launch: Launch) -> tuple[list[Record] | None, list[str]]:
    """Records of all stages of a suite, or None and why there are none."""
    outcomes = run_plan(launch, policy="missing", require_all=True)
    lines, code = report(launch, outcomes)
    if code:
        failed = [line for line in lines if line.startswith("failed")]
        return None, [*failed, f"{launch.plan.suite.name}: cannot tell, since stages failed"]
    return read_records([launch.store], [outcome.stage.key for outcome in outcomes]), []


def _difference(before: Reference | None, new: Reference) -> Iterator[str]:
    """What a new reference changes of an earlier one, one line for each number."""
    if before is None:
        return
    for name in sorted(before.values.keys() | new.values.keys()):
        old, value = before.values.get(name), new.values.get(name)
        if old != value:
            then, now = ("nothing" if v is None else f"{v:.4g}" for v in (old, value))
            yield f"{name}: {then} -> {now}"


def _other_versions(origins: dict[str, dict[str, str]]) -> Iterator[str]:
    """Libraries and commit in which the run differs from the reference."""
    then, now = origins["then"], origins["now"]
    for name in sorted(then.keys() & now.keys()):
        if then[name] != now[name]:
            yield f"{name}: {then[name]} -> {now[name]}"


def tell(result: CheckResult, suite: str, *, junit: Path | None, json: Path | None) -> Sequence[str]:
    """Write what machines read of a check; the lines for a terminal, with annotations under GitHub Actions.

    Raises:
        UserError: a file cannot be written.
    """
    from xdcbench.results.check_report import annotations, append_summary, write_check, write_junit

    if junit:
        write_junit(junit, suite, result.values)
    if json:
        write_check(json, suite, result.values, result.versions)
    append_summary(suite, result.values)
    return [*result.lines, *annotations(suite, result.values)]
