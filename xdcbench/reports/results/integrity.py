"""Whether the data was all there: what the lists name, what was found and decoded, what failed and why."""

from typing import Any

from xdcbench.data.index import Index
from xdcbench.data.scanning.items import MISSING
from xdcbench.reports.gather import Results, Run
from xdcbench.results.records import Record


def datasets(results: Results) -> list[dict[str, Any]]:
    """Counts of each dataset that was indexed, by name.

    ``expected`` are the items that the official lists name (after the subset), ``found`` those whose file is
    there, ``failed`` those of them that some stage could not read, ``decoded`` the rest.
    """
    indices = [run for run in results.runs.values() if run.kind == "index"]
    return sorted((_dataset(results, run) for run in indices), key=lambda one: (one["name"], one["key"]))


def _dataset(results: Results, run: Run) -> dict[str, Any]:
    index = Index.load(run.folder)
    items = index.items[["id", "reason"]]
    there = index.items["bytes"] != MISSING
    unread = items[there & ~index.items["ok"]]
    failed = {
        str(name): (str(reason), run.key) for name, reason in zip(unread["id"], unread["reason"], strict=True)
    }
    users = [other for other in results.runs.values() if other.facts["inputs"].get("data") == run.key]
    for user in users:
        for name, reason in (user.failed or {}).items():
            failed.setdefault(name, (str(reason), user.key))
    records = {(r.evaluation, r.split): r for user in users for r in user.records}
    verified = next((r.verified for r in records.values() if r.verified is not None), None)
    return {
        "name": results.title(index.name),
        "key": run.key,
        "fingerprint": index.fingerprint[:8],
        "world": index.world,
        "subset": index.subset,
        "shards": index.shards is not None,
        "expected": len(items),
        "found": int(there.sum()),
        "decoded": int(there.sum()) - len(failed),
        "failed": [{"id": name, "reason": why, "key": key} for name, (why, key) in sorted(failed.items())],
        "missing": [str(name) for name in items.loc[~there, "id"]],
        "verified": verified,
    }


def short_runs(results: Results) -> list[tuple[Run, Record]]:
    """Evaluations that went without some of the test items that they should have had, each with a record."""
    first = ((run, run.records[0]) for run in results.runs.values() if run.records)
    return [(run, record) for run, record in first if record.items_used < record.items_expected]
