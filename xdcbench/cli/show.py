"""What ``show`` prints of a run."""

import json
from collections.abc import Iterator
from pathlib import Path

from xdcbench.results.find_run import find_runs
from xdcbench.results.records import read_records
from xdcbench.results.run_facts import flat, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.utils.manifest import make_again


def run_lines(name: str, out: Path) -> Iterator[str]:
    """The runs that a name stands for (`find_runs`), one after the other.

    Raises:
        UserError: no run matches, or the beginning of a key fits several.
    """
    store = RunStore.existing(out)
    for number, key in enumerate(find_runs(name, store)):
        yield from ([""] if number else [])
        yield from _run_lines(key, store)


def _run_lines(key: str, store: RunStore) -> Iterator[str]:
    """A complete run with its numbers, what is wrong with a damaged one, or the attempts of one that failed."""
    run = store.path(key)
    if not run.is_dir():
        for attempt in sorted((store.runs / ".failed" / key).iterdir()):
            yield f"failed attempt {attempt}"
            for path in sorted(attempt.iterdir()):
                yield from path.read_text(encoding="utf-8", errors="replace").split("\n")
        return
    if said := store.damage(run.name, thorough=True):
        yield f"{'damaged':<10} {said}. {make_again(run.name)}"
    else:
        yield from _facts(run, store)
    yield from (f"file       {path}" for path in sorted(run.iterdir()))


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _facts(run: Path, store: RunStore) -> Iterator[str]:
    facts = read_facts(run)
    for name in ("name", "key", "kind", "version", "suite", "seconds", "device", "commit"):
        yield f"{name:<10} {facts[name]}"
    yield f"{'inputs':<10} {', '.join(facts['inputs'].values()) or 'none'}"
    settings = (f"{name}={_said(value)}" for name, value in flat(facts["science"]).items())
    yield f"{'settings':<10} {', '.join(settings)}"
    for record in read_records([store], [run.name]):
        inner = " ".join(f"{k}={v}" for k, v in record.hyperparameters.items())
        items = f"{record.items_used} used, {record.items_failed} failed of {record.items_expected}"
        where = f"{record.dataset}/{record.split}"
        yield f"{record.metric:<26} {record.value:8.3f}{record.unit}  {where}  {items}  {inner}"
