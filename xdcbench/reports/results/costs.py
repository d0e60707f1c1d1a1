"""Where the time went, and on what it was spent."""

from collections import Counter, defaultdict
from statistics import median
from typing import Any

from xdcbench.reports.gather import Results, Run
from xdcbench.utils.format import duration


def stages(results: Results) -> list[dict[str, Any]]:
    """Time of each kind of stage, the most costly first; of shared work, the time of all processes."""
    by_kind: dict[str, list[Run]] = defaultdict(list)
    for run in results.runs.values():
        by_kind[run.kind].append(run)
    totals = {kind: sum(run.seconds for run in runs) for kind, runs in by_kind.items()}
    everything = sum(totals.values()) or 1.0
    return [
        {
            "kind": kind,
            "runs": len(by_kind[kind]),
            "total": duration(totals[kind]),
            "share": totals[kind] / everything,
            "median": duration(median(run.seconds for run in by_kind[kind])),
            "longest": duration(max(run.seconds for run in by_kind[kind])),
            "slowest": max(by_kind[kind], key=lambda run: run.seconds).key,
            "devices": ", ".join(sorted({device(run) for run in by_kind[kind]})),
        }
        for kind in sorted(totals, key=lambda kind: (-totals[kind], kind))
    ]


def device(run: Run) -> str:
    """What a run computed on: ``cpu``, ``2 x cuda``."""
    size = int(run.facts["world_size"])
    return f"{size} × {run.facts['device']}" if size > 1 else str(run.facts["device"])


def environments(results: Results) -> dict[str, Any]:
    """Commit, device and versions of each environment in which runs were made, the most used first.

    ``columns`` are numbers of runs; each of ``rows`` has a name, its value in each, and whether they differ.
    """
    used = Counter[tuple[tuple[str, str], ...]]()
    for run in results.runs.values():
        facts = {"commit": run.facts["commit"] or "not known", "device": run.facts["device"]}
        used[tuple((facts | run.facts["versions"]).items())] += 1
    ordered = sorted(used.items(), key=lambda entry: (-entry[1], entry[0]))
    names = list(dict.fromkeys(name for facts, _ in ordered for name, _ in facts))
    values = [dict(facts) for facts, _ in ordered]
    return {
        "columns": [count for _, count in ordered],
        "rows": [
            {
                "name": name,
                "values": [some.get(name, "—") for some in values],
                "differs": len({some.get(name) for some in values}) > 1,
            }
            for name in names
        ],
    }
