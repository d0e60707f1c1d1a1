"""Every JSON file of a results folder, damaged in every way: each command works, or names the file in one line."""

import copy
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.reports.results.made_results import write
from xdcbench.cli.output import TableRequest, table_lines
from xdcbench.cli.show import run_lines
from xdcbench.errors import UserError
from xdcbench.export.export import find_runs
from xdcbench.pipeline.prune import prune_lines
from xdcbench.reports.clusters.origin import find_round
from xdcbench.reports.results.page import write_report
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.compare import compare
from xdcbench.utils.manifest import write_manifest

CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"key": "a',
    "zeroed": bytes(64),
    "nested": b"[" * 50_000,
    "digits": b'{"seconds": ' + b"7" * 5000 + b"}",
    "nan": b'{"seconds": NaN}',
    "latin": b'{"name": "\xe9"}',
    "list": b"[]",
    "mapping": b"{}",
    "null": b"null",
    "number": b"3",
    "text": b'"x"',
}
OTHERS: tuple[Any, ...] = (None, -1, 10**200, 1e300, "x", "../../x", [], [[]], {}, {"a": []}, True)
"""What a value is replaced by."""

COMMANDS: dict[str, Callable[[Path], Any]] = {
    "report": lambda out: list(write_report([out], None, out.parent / "page")),
    "table": lambda out: list(table_lines(TableRequest(), [out])),
    "compare": lambda out: compare(["xdc", "sdc"], [out], metric="top1"),
    "prune": lambda out: list(prune_lines(out, dry_run=True, keep=[], older_than=0, encoders=True)),
    "export": lambda out: find_runs("xdc", RunStore(out, write=False)),
    "clusters": lambda out: find_round("xdc", None, out, data_root=None, shards=()),
    **{
        f"show {key}": lambda out, key=key: list(run_lines(key, out))
        for key in ("round-000000000001", "linear_probe-000000000000", "index-00000000000a")
    },
}


SLOW = ("report", "table", "compare")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "results", right={"xdc": (150,), "sdc": (90,)})


def tried(out: Path, path: Path, names: Iterable[str] = COMMANDS) -> list[str]:
    """Messages of the commands that refuse; any other exception is a fault."""
    said = []
    for name in names:
        try:
            COMMANDS[name](out)
        except UserError as error:
            assert "\n" not in str(error), name
            said.append(str(error))
    return said


FILES = [
    "results.json",
    *(
        f"runs/{run}/{name}"
        for run in ("round-000000000001", "linear_probe-000000000000")
        for name in ("run.json", "records.json", "failed.json")
    ),
    "runs/round-000000000001/metrics.jsonl",
    "runs/index-00000000000a/run.json",
    "runs/index-00000000000a/index.json",
    "runs/init-000000000000/run.json",
]


@pytest.mark.parametrize("name", FILES)
def test_damaged_content_is_one_line(out: Path, name: str) -> None:
    path = out / name
    whole = path.read_bytes()
    try:
        for what, content in CONTENTS.items():
            overwrite(path, content)
            said = tried(out, path, COMMANDS if what in ("cut", "nan") else COMMANDS.keys() - SLOW)
            if what == "cut" and name != "results.json":  # which is made again
                assert any(str(path) in text for text in said)
    finally:
        overwrite(path, whole)
    assert not any(str(path) in text for text in tried(out, path)), "whole again"


def weight(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Files of many values take minutes; those of the index are left."""
    return (
        (pytest.mark.slow,) if name.endswith(("/run.json", "/records.json")) and "index" not in name else ()
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=weight(name)) for name in FILES if name.endswith(".json")]
)
def test_values_of_other_types_are_one_line(out: Path, name: str) -> None:
    path = out / name
    whole = path.read_bytes()
    tree = json.loads(whole)
    slow = itertools.cycle(SLOW)
    try:
        for number, place in enumerate(places(tree)):
            for value in OTHERS[number % 3 :: 3]:
                overwrite(path, json.dumps(put(tree, place, value)).encode())
                tried(out, path, COMMANDS.keys() - SLOW)
            if number % 4 == 0:
                tried(out, path, {next(slow)})
    finally:
        overwrite(path, whole)


def overwrite(path: Path, content: bytes) -> None:
    """Write other content as if the run had been made with it: its manifest fits."""
    path.write_bytes(content)
    if path.name != "results.json":
        write_manifest(path.parent)


def places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a tree are; of a list the first."""
    inner = (
        list(tree.items())
        if isinstance(tree, dict)
        else list(enumerate(tree))[:1]
        if isinstance(tree, list)
        else []
    )
    for key, value in inner:
        yield (*above, key)
        yield from places(value, (*above, key))


def put(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of a tree with another value at a place."""
    tree = copy.deepcopy(tree)
    at = tree
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return tree
