"""Licenses of the weights behind a number, as far as records, encoders and their settings state them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.run_facts import RunFacts, flat, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.predictions import run_folder
from xdcbench.utils.documents import RUN_AGAIN, read_json

NOT_STATED = "not stated"
OWN = "own"
"""License of encoders that were trained, or drawn, in the results folder: whoever made them decides."""

KEY = "license"
"""Key of a license in a record's hyperparameters or outcomes, in ``encoders.json`` and in a stage's settings."""

MADE_HERE = ("init", "round")
"""Kinds of stage whose encoders are made here."""


def licenses_of(record: Record, stores: Sequence[RunStore]) -> set[str]:
    """Licenses of the weights behind a record, in words; `OWN` for encoders made in ``stores``, else `NOT_STATED`."""
    found, kinds = {*_stated(record.hyperparameters), *_stated(record.outcomes)}, set()
    for folder, facts in _encoder_runs(record, stores):
        kinds.add(facts["kind"])
        path = folder / "encoders.json"
        metadata = read_json(path, fix=RUN_AGAIN) if path.is_file() else {}
        found |= {*_stated(metadata), *_stated(facts["config"])}
    return found or {OWN if kinds and kinds <= set(MADE_HERE) else NOT_STATED}


def _encoder_runs(record: Record, stores: Sequence[RunStore]) -> Iterator[tuple[Path, RunFacts]]:
    """The runs that made the encoders behind a record, as far as they are in the results folders."""
    inputs = read_facts(run_folder(stores, record.run))["inputs"]
    for name in ("encoders", "features", "gallery", "other"):
        found = _run(inputs.get(name, ""), stores)
        if found and found[1]["kind"] == "features":
            found = _run(found[1]["inputs"].get("encoders", ""), stores)
        if found:
            yield found


def _run(key: str, stores: Sequence[RunStore]) -> tuple[Path, RunFacts] | None:
    if not key:
        return None
    try:
        folder = run_folder(stores, key)
    except UserError:
        return None  # not here, or damaged: it states nothing
    return folder, read_facts(folder)


def _stated(tree: object) -> Iterator[str]:
    """Texts at or below `KEY` anywhere in a tree of settings."""
    for name, value in flat(tree).items() if isinstance(tree, dict) else ():
        if KEY in name.split(".") and isinstance(value, str) and value:
            yield value
