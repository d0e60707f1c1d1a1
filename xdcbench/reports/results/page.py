"""The report: one page over results folders, a pure function of what lies in them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xdcbench.reports.clusters.report_link import open_report_links, report_of
from xdcbench.reports.gather import Results, Run, gather
from xdcbench.reports.html import relative_link, render
from xdcbench.reports.leaderboard.board import make_board
from xdcbench.reports.leaderboard.page import board_data
from xdcbench.reports.results.changes import Comparison, ResultChange, result_changes
from xdcbench.reports.results.costs import environments, stages
from xdcbench.reports.results.integrity import datasets, short_runs
from xdcbench.reports.results.learning import overlays
from xdcbench.reports.results.listing import DETAILED, listing
from xdcbench.reports.results.pretrainings import chains_of, pretrainings
from xdcbench.reports.results.tables import tables
from xdcbench.results.statistics.significance import p_text
from xdcbench.results.tables.present import method_titles
from xdcbench.results.tables.titles import dataset_titles
from xdcbench.utils.format import change, counted, duration, number
from xdcbench.utils.io import atomic_write, writing

NAMED = 12
"""Numbers that one folder lacks of which the names are given."""


def write_report(folders: Sequence[Path], beside: Path | None, out: Path) -> Iterator[str]:
    """Write the report of results ``folders``, read as one, and compared with the folder ``beside``.

    ``out`` is the file, or the folder in which it is to be ``index.html``; made where it is not there. In its usual
    place, it is linked from the folder's pages of clusters.

    Raises:
        UserError: a folder is not a results folder or cannot be read, or the page cannot be written.
    """
    path = out if out.suffix in (".html", ".htm") else out / "index.html"
    here = gather(folders)
    data = page_data(here, gather([beside]) if beside else None, page=path)
    with writing(path, "give another with --output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(render("report", data, parts=("board",)), encoding="utf-8")
        for store in here.stores:
            if path.resolve() == report_of(store.root).resolve():
                open_report_links(store.root)
    left = f"; {len(here.damaged)} damaged and left out" if here.damaged else ""
    yield f"report  {path} ({counted(len(here.runs), 'run')}, {counted(len(here.records), 'number')}{left})"


def page_data(here: Results, there: Results | None = None, *, page: Path | None = None) -> dict[str, Any]:
    """What the template shows; text is raw, the template escapes it. Links to pages of clusters are from ``page``."""
    records = here.records
    made, lacking = tables(here)
    board = make_board(records, here.statistics({}))
    chains, pages = list(chains_of(here)), clusters_pages(here, page) if page else {}
    comparison = None if there is None else result_changes(here, there)
    titles = dataset_titles([*here.stated_titles, *(there.stated_titles if there else ())])
    others = {key for move in comparison.moved for key in move.runs[1]} if comparison else set()
    runs = listing(here, here.runs, anchor="run")
    return {
        "name": here.name,
        "worlds": sorted({record.world for record in records}),
        "facts": {
            "Runs": f"{len(here.runs):,}",
            "Numbers": f"{len(records):,}",
            "Suites": ", ".join(sorted({record.suite for record in records})) or "none",
            "Methods": f"{len({record.method for record in records}):,}",
            "Datasets": f"{len({record.dataset for record in records}):,}",
            "Time spent": duration(sum(run.seconds for run in here.runs.values())),
        },
        "board": board_data(here, board, []) if board.rows else None,
        "tables": made,
        "lacking": lacking,
        "overlays": overlays(here, chains),
        "pretrainings": pretrainings(here, chains, pages, charts=len(here.runs) <= DETAILED),
        "galleries": [{"title": _page_title(here, keys), "link": link} for keys, link in pages.items()],
        "detailed": len(here.runs) <= DETAILED,
        "datasets": datasets(here),
        "short_runs": short_runs(here),
        "evaluated": sum(bool(run.records) for run in here.runs.values()),
        "stages": stages(here),
        "environments": environments(here),
        "runs": runs,
        "kinds": sorted({run["kind"] for run in runs}),
        "attempts": here.attempts,
        "damaged": [{"key": key, "said": here.placeless(said)} for key, said in sorted(here.damaged.items())],
        "beside": there.name if there else "",
        "moved": _moved(comparison, titles) if comparison else None,
        "other_runs": listing(there, others, anchor="beside") if there else [],
    }


def clusters_pages(results: Results, page: Path) -> dict[str, str]:
    """Links from ``page`` to the pages of clusters in the results folders, by the keys of their rounds."""
    found = (path for store in results.stores for path in sorted(store.root.glob("clusters/*/index.html")))
    return {path.parent.name: relative_link(path, page) for path in found}


def _page_title(results: Results, keys: str) -> str:
    """What a page of clusters shows: ``XDC, round 2 (xdc/kinetics400/seed0)``, of several rounds each."""
    runs = [results.runs.get(key) for key in keys.split("--")]
    if not all(run and run.kind == "round" for run in runs):
        return keys
    return ", beside ".join(_round_title(run) for run in runs if run)


def _round_title(run: Run) -> str:
    method, name = run.facts["config"]["method"], run.name.rpartition("/")[0]
    title = f"{method_titles().get(method, method)}, round {run.facts['config']['round']}"
    return f"{title} ({name})" if name else title


def _moved(comparison: Comparison, titles: Mapping[str, str]) -> dict[str, Any]:
    common = (
        set.intersection(*(set(move.settings) for move in comparison.moved)) if comparison.moved else set()
    )
    return {
        "rows": [_row(move, common, titles) for move in comparison.moved],
        "common": sorted(common),
        "significant": sum(bool(move.significant) for move in comparison.moved),
        "tested": sum(move.significant is not None for move in comparison.moved),
        "same": comparison.same,
        "unlike": [{"name": name.said(titles), "why": why} for name, why in comparison.unlike],
        "only": [
            {"where": where, "count": len(names), "names": [name.said(titles) for name in names[:NAMED]]}
            for where, names in (("here", comparison.only_here), ("there", comparison.only_there))
        ],
    }


def _row(move: ResultChange, common: set[str], titles: Mapping[str, str]) -> dict[str, Any]:
    """One change; settings that differ in all of them are said once, elsewhere. ``titles`` are those of datasets."""
    ends = move.interval
    better = (move.difference > 0) == move.higher_is_better
    verdict = {True: "better" if better else "worse", False: "not significant", None: ""}[move.significant]
    method, data, evaluation, dataset, metric, told = move.name
    return {
        "training": evaluation == "round",
        "method": method_titles().get(method, method),
        "data": titles.get(data, data),
        "what": f"{evaluation} on {titles.get(dataset, dataset)}",
        "metric": f"{metric}, {told}" if told else metric,
        "here": number(move.here, move.unit),
        "there": number(move.there, move.unit),
        "difference": change(move.difference, move.unit),
        "interval": f"[{', '.join(change(end, move.unit) for end in (ends.low, ends.high))}]" if ends else "",
        "p": "" if move.p is None else p_text(move.p),
        "verdict": verdict,
        "items": " / ".join(f"{count:,}" for count in dict.fromkeys(move.items)),
        "runs": move.runs,
        "settings": [name for name in move.settings if name not in common],
        "why": move.why,
    }
