"""The runs of a results folder as a list: what they are, of which kind and method, and when they were made."""

from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from xdcbench.errors import UserError
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.utils.format import duration

Order = Literal["time", "method", "kind"]


class ListedRun(NamedTuple):
    """A run, by what it is sorted by; ``made`` is when it was published, seconds since 1970."""

    key: str
    name: str
    kind: str
    method: str
    made: float
    seconds: float


def listed_runs(store: RunStore, pattern: str = "*", *, order: Order = "time") -> list[ListedRun]:
    """Complete runs whose key, name or suite matches a glob, the newest last, or by method or kind and then by name.

    Raises:
        UserError: none matches.
    """
    found = [
        _listed(facts, (store.path(key) / "run.json").stat().st_mtime)
        for key in store.keys()  # noqa: SIM118 - a store is no mapping
        if _matches(facts := read_facts(store.path(key)), pattern)
    ]
    if not found:
        if pattern == "*":
            raise UserError(f"{store.root} has no complete run. Try: `xdcbench run --results {store.root}`")
        raise UserError(
            f"{store.root} has no run that matches {pattern!r}. Try: '*', or a part with stars, '*xdc*'"
        )
    if order == "time":
        return sorted(found, key=lambda run: (run.made, run.key))
    return sorted(found, key=lambda run: (getattr(run, order), run.name, run.key))


def _matches(facts: RunFacts, pattern: str) -> bool:
    return any(fnmatchcase(text, pattern) for text in (facts["key"], facts["name"], facts["suite"]))


def _listed(facts: RunFacts, made: float) -> ListedRun:
    kind, name = facts["kind"], facts["name"]
    shared = kind in ("world", "index", "shards", "init")
    method = "" if shared else str(facts["config"].get("method") or name.split("/")[0])
    return ListedRun(facts["key"], name, kind, method, made, facts["seconds"])


def run_rows(runs: list[ListedRun]) -> Iterator[str]:
    """One line for each run: when it was made, its key, how long it took, its name."""
    width = max(len(run.key) for run in runs)
    for run in runs:
        made = datetime.fromtimestamp(run.made).astimezone()
        yield f"{made:%Y-%m-%d %H:%M}  {run.key:<{width}}  {duration(run.seconds):>11}  {run.name}"
