"""Executing plans of toy stages, which note that they ran and do as their configuration says."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xdcbench.config.base import Config
from xdcbench.config.keys import VERSIONS
from xdcbench.config.load import load_suite
from xdcbench.data.context import Context
from xdcbench.errors import MediaError, UserError
from xdcbench.pipeline.building import run_stage
from xdcbench.pipeline.executor import StageResult, execute
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.needed import Policy, needed_keys
from xdcbench.pipeline.plan import Plan
from xdcbench.pipeline.prune import prune_lines
from xdcbench.pipeline.registry import STAGES, StageKind
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import read_json
from xdcbench.utils.manifest import read_manifest, write_manifest

ERRORS: dict[str, Callable[[], BaseException]] = {
    "user": lambda: UserError("labels.csv: no column `file`; add it"),
    "media": lambda: MediaError(Path("a.mp4"), "moov atom not found"),
    "bug": lambda: ZeroDivisionError("division\nby zero"),
    "kill": KeyboardInterrupt,
}


class Toy(Config):
    """What a toy stage writes, and how it fails until ``mended`` lies in its root."""

    word: str
    error: str = ""


def toy(config: Toy, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Append its word to the note of runs, and write it after those of its inputs."""
    root = context.roots["toy"]
    with (root / "ran.txt").open("a") as file:
        file.write(config.word)
    logging.getLogger("xdcbench").warning("working on %s", config.word)
    with (work / "checkpoint").open("a") as file:
        file.write(config.word)
    if config.error and not (root / "mended").exists():
        raise ERRORS[config.error]()
    read = "".join((run / "words.txt").read_text() for run in inputs.values())
    (work / "words.txt").write_text(read + config.word)


@pytest.fixture(autouse=True)
def toy_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSIONS, "toy", 3)
    monkeypatch.setitem(STAGES, "toy", StageKind(lambda: toy))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "results")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(suite="toys", roots={"toy": tmp_path})


@pytest.fixture
def ran(tmp_path: Path) -> Callable[[], str]:
    """Words of the stages that ran since the last call, in order."""

    def take() -> str:
        note = tmp_path / "ran.txt"
        words = note.read_text() if note.exists() else ""
        note.unlink(missing_ok=True)
        return words

    return take


def stage(word: str, *needs: Stage, error: str = "", unavailable: str = "") -> Stage:
    inputs = tuple((f"input{i}", needed) for i, needed in enumerate(needs))
    return Stage("toy", f"toy/{word}", Toy(word=word, error=error), inputs, unavailable=unavailable)


def plan(*members: Stage, targets: str = "") -> Plan:
    """A plan of ``members`` with the ``targets`` by word; without, all are."""
    wanted = {s.key for s in members if not targets or s.name.removeprefix("toy/") in targets}
    return Plan(load_suite("mini"), members, frozenset(wanted))


def statuses(outcomes: list[StageResult]) -> dict[str, str]:
    return {outcome.stage.name.removeprefix("toy/"): outcome.status for outcome in outcomes}


Ran = Callable[[], str]


# --------------------------------------------------------------------------------------- policies


def test_missing_runs_all_once_with_inputs_first(store: RunStore, context: Context, ran: Ran) -> None:
    a = stage("a")
    b = stage("b", a)
    c = stage("c", a, b)
    assert statuses(execute(plan(a, b, c), store, context)) == {"a": "done", "b": "done", "c": "done"}
    assert ran() == "abc"
    assert (store.path(c.key) / "words.txt").read_text() == "aabc"
    assert statuses(execute(plan(a, b, c), store, context)) == {"a": "kept", "b": "kept", "c": "kept"}
    assert ran() == ""


def test_missing_runs_only_what_is_missing(store: RunStore, context: Context, ran: Ran) -> None:
    a = stage("a")
    b, c = stage("b", a), stage("c", a)
    execute(plan(a, b), store, context)
    ran()
    assert statuses(execute(plan(a, b, c), store, context)) == {"a": "kept", "b": "kept", "c": "done"}
    assert ran() == "c"


def test_always_runs_all_again(store: RunStore, context: Context, ran: Ran) -> None:
    a = stage("a")
    b = stage("b", a)
    for _ in range(2):
        assert set(statuses(execute(plan(a, b), store, context, policy="always")).values()) == {"done"}
    assert ran() == "abab"


def test_never_runs_nothing(store: RunStore, context: Context, ran: Ran) -> None:
    a = stage("a")
    b = stage("b", a)
    execute(plan(a), store, context)
    ran()
    assert statuses(execute(plan(a, b), store, context, policy="never")) == {"a": "kept", "b": "missing"}
    assert ran() == ""


def test_pruned_inputs_of_a_complete_target_stay_pruned(store: RunStore, context: Context, ran: Ran) -> None:
    a = stage("a")
    b = stage("b", a)
    c = stage("c", b)
    whole = plan(a, b, c, targets="c")
    execute(whole, store, context)
    ran()
    for pruned in (a, b):
        shutil.rmtree(store.path(pruned.key))
    assert set(statuses(execute(whole, store, context)).values()) == {"kept"}
    assert ran() == ""
    assert not store.complete(a.key)


def test_pruned_inputs_are_made_for_a_target_that_needs_them(
    store: RunStore, context: Context, ran: Ran
) -> None:
    a = stage("a")
    b = stage("b", a)
    c, d = stage("c", b), stage("d", a)
    execute(plan(a, b, c, targets="c"), store, context)
    ran()
    for pruned in (a, b):
        shutil.rmtree(store.path(pruned.key))
    execute(plan(a, b, c, d, targets="cd"), store, context)
    assert ran() == "ad"


def test_needed_keys_of_each_policy(store: RunStore) -> None:
    a = stage("a")
    b = stage("b", a)
    whole = plan(a, b, targets="b")
    assert needed_keys(whole, store, "missing") == needed_keys(whole, store, "always") == {a.key, b.key}
    assert needed_keys(whole, store, "never") == set()
    store.path(b.key).mkdir()
    write_manifest(store.path(b.key))
    assert needed_keys(whole, store, "missing") == set()


# --------------------------------------------------------------------------------------- failures


def test_failure_blocks_what_hangs_on_it_and_nothing_else(
    store: RunStore, context: Context, ran: Ran
) -> None:
    a, bad = stage("a"), stage("b", error="bug")
    c, d = stage("c", bad), stage("d", a)
    e = stage("e", c)
    outcomes = execute(plan(a, bad, c, d, e), store, context)
    assert statuses(outcomes) == {"a": "done", "b": "failed", "c": "blocked", "d": "done", "e": "blocked"}
    assert ran() == "abd"
    assert store.keys() == sorted([a.key, d.key])
    assert {o.detail for o in outcomes if o.status == "blocked"} == {
        "needs toy/b, which is not there",
        "needs toy/c, which is not there",
    }


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("user", "labels.csv: no column `file`; add it"),
        ("media", "a.mp4: moov atom not found"),
        ("bug", "ZeroDivisionError: division"),
    ],
)
def test_failure_keeps_its_error_and_its_log(
    store: RunStore, context: Context, caplog: pytest.LogCaptureFixture, error: str, line: str
) -> None:
    bad = stage("b", error=error)
    (outcome,) = execute(plan(bad), store, context)
    attempt = store.runs / ".failed" / bad.key / "001"
    assert outcome.status == "failed"
    assert outcome.detail == f"{line} (log: {attempt})"
    text = (attempt / "error.txt").read_text()
    assert ("Traceback" in text) == (error == "bug")
    assert line.removeprefix("ZeroDivisionError: ") in text
    assert "working on b" in (attempt / "log.txt").read_text()
    assert f"toy/b failed: {line}" in caplog.messages
    assert not store.complete(bad.key)


def test_next_attempt_goes_on_where_the_failed_one_stopped(
    store: RunStore, context: Context, tmp_path: Path
) -> None:
    bad = stage("b", error="user")
    for _ in range(2):
        execute(plan(bad), store, context)
    assert [path.name for path in sorted((store.runs / ".failed" / bad.key).iterdir())] == ["001", "002"]
    (tmp_path / "mended").touch()
    assert statuses(execute(plan(bad), store, context)) == {"b": "done"}
    assert (store.path(bad.key) / "checkpoint").read_text() == "bbb"


def test_interrupted_stage_is_gone_on_with(store: RunStore, context: Context, tmp_path: Path) -> None:
    a = stage("a")
    b = stage("b", a, error="kill")
    with pytest.raises(KeyboardInterrupt):
        execute(plan(a, b), store, context)
    assert store.keys() == [a.key]
    assert not (store.runs / ".failed").exists()
    (tmp_path / "mended").touch()
    assert statuses(execute(plan(a, b), store, context)) == {"a": "kept", "b": "done"}
    assert (store.path(b.key) / "checkpoint").read_text() == "bb"


def test_rerun_that_fails_keeps_the_earlier_run(store: RunStore, context: Context, tmp_path: Path) -> None:
    bad = stage("b", error="user")
    c = stage("c", bad)
    (tmp_path / "mended").touch()
    execute(plan(bad, c), store, context)
    (tmp_path / "mended").unlink()
    assert statuses(execute(plan(bad, c), store, context, policy="always")) == {"b": "failed", "c": "blocked"}
    assert (store.path(bad.key) / "words.txt").read_text() == "b"


# -------------------------------------------------------------------------------- data not available


@pytest.mark.parametrize("policy", ["missing", "always", "never"])
def test_unavailable_is_no_failure(store: RunStore, context: Context, ran: Ran, policy: str) -> None:
    lacking = stage("a", unavailable="no folder")
    b, c = stage("b", lacking), stage("c")
    outcomes = execute(plan(lacking, b, c), store, context, policy=policy)  # type: ignore[arg-type]
    assert {o.stage.name: o.detail for o in outcomes if o.status == "unavailable"} == {
        "toy/a": "no folder",
        "toy/b": "no folder",
    }
    assert ran() == ("" if policy == "never" else "c")


# ------------------------------------------------------------------------------ what a run consists of


def test_run_holds_its_log_and_says_what_it_is(store: RunStore, context: Context) -> None:
    a = stage("a")
    b = stage("b", a)
    execute(plan(a, b), store, replace(context, device="cpu", num_workers=5))
    run = store.path(b.key)
    files = {"checkpoint", "words.txt", "log.txt", "run.json"}
    assert {path.name for path in run.iterdir()} == files | {"manifest.json"}
    assert read_manifest(run).keys() == files
    log = (run / "log.txt").read_text()
    assert "WARNING working on b" in log
    assert "working on a" not in log
    facts = read_json(run / "run.json")
    assert facts["key"] == b.key
    assert (facts["kind"], facts["version"], facts["name"]) == ("toy", 3, "toy/b")
    assert (facts["suite"], facts["device"]) == ("toys", "cpu")
    assert facts["science"] == {"word": "b"}
    assert facts["config"] == {"word": "b", "error": ""}
    assert facts["inputs"] == {"input0": a.key}
    assert 0 <= facts["seconds"] < 60
    assert {"xdcbench", "python", "torch", "av", "numpy", "scikit-learn"} <= facts["versions"].keys()
    assert facts["commit"] == "" or len(facts["commit"].rstrip("+")) == 12
    assert "workers" not in json.dumps(facts)


def test_log_of_one_stage_is_closed_before_the_next(store: RunStore, context: Context) -> None:
    before = list(logging.getLogger("xdcbench").handlers)
    execute(plan(stage("a"), stage("b", error="bug")), store, context)
    assert logging.getLogger("xdcbench").handlers == before


# ------------------------------------------------------------------------------------- pruned meanwhile


def test_a_folder_is_not_pruned_between_two_stages_of_a_run(
    store: RunStore, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key is locked when the second stage is about to begin."""
    said: list[str] = []

    def pruning(*args: Any, **options: Any) -> Any:
        with pytest.raises(UserError) as refused:
            list(prune_lines(store.root, dry_run=False, keep=(), older_than=0, encoders=True))
        said.append(str(refused.value))
        assert list(prune_lines(store.root, dry_run=True, keep=(), older_than=0, encoders=True))
        return run_stage(*args, **options)

    monkeypatch.setattr("xdcbench.pipeline.executor.run_stage", pruning)
    a = stage("a")
    assert statuses(execute(plan(a, stage("b", a)), store, context)) == {"a": "done", "b": "done"}
    assert said == [f"a run is at work in {store.root}; wait until it has ended"] * 2
    assert list(prune_lines(store.root, dry_run=False, keep=(), older_than=0, encoders=True))


def test_a_run_waits_for_no_folder_that_is_being_pruned(store: RunStore, context: Context) -> None:
    with store.in_use(alone=True), pytest.raises(UserError, match="`xdcbench prune` is at work in"):
        execute(plan(stage("a")), store, context)
    assert store.keys() == []


# ------------------------------------------------------------------------------------------- damage


def spoil(path: Path, *, silent: bool = False) -> None:
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    if silent:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["words.txt", "run.json", "manifest.json"])
@pytest.mark.parametrize("targets", ["abc", "c"])
def test_what_is_damaged_is_named_and_made_again(
    store: RunStore, context: Context, ran: Ran, caplog: pytest.LogCaptureFixture, name: str, targets: str
) -> None:
    a = stage("a")
    b = stage("b", a)
    whole = plan(a, b, stage("c", b), targets=targets)
    execute(whole, store, context)
    ran()
    spoil(store.path(b.key) / name)
    found = execute(whole, RunStore(store.root), context)
    assert statuses(found) == {"a": "kept", "b": "done", "c": "kept"} and ran() == "b"
    assert f"{store.path(b.key)} is damaged: {name} is not what was written" in caplog.text
    assert store.complete(b.key, thorough=True)
    assert (store.path(b.key) / "words.txt").read_text() == "ab"


def test_an_input_that_has_rotted_is_made_again_before_it_is_read(
    store: RunStore, context: Context, ran: Ran
) -> None:
    a = stage("a")
    b = stage("b", a)
    execute(plan(a, b), store, context)
    ran()
    spoil(store.path(a.key) / "words.txt", silent=True)
    c = stage("c", a)
    assert statuses(execute(plan(a, b, c), RunStore(store.root), context)) == {
        "a": "done",
        "b": "kept",
        "c": "done",
    }
    assert ran() == "ac" and (store.path(c.key) / "words.txt").read_text() == "ac"


def test_an_input_that_rots_after_planning_is_not_read(
    store: RunStore, context: Context, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = stage("a"), stage("b")
    c = stage("c", a, b)
    execute(plan(a), store, context)

    def rotting(stage: Stage, *args: Any, **options: Any) -> Any:
        done = run_stage(stage, *args, **options)
        spoil(store.path(a.key) / "words.txt")
        return done

    monkeypatch.setattr("xdcbench.pipeline.executor.run_stage", rotting)
    (outcome,) = [o for o in execute(plan(a, b, c), store, context) if o.status == "blocked"]
    assert outcome.detail == "needs toy/a, which is damaged (words.txt is not what was written)"
    monkeypatch.undo()
    monkeypatch.setitem(VERSIONS, "toy", 3)
    monkeypatch.setitem(STAGES, "toy", StageKind(lambda: toy))
    assert statuses(execute(plan(a, b, c), store, context)) == {"a": "done", "b": "kept", "c": "done"}


def test_damage_is_no_result_where_nothing_is_to_be_run(store: RunStore, context: Context, ran: Ran) -> None:
    a = stage("a")
    execute(plan(a), store, context)
    spoil(store.path(a.key) / "words.txt")
    assert statuses(execute(plan(a), RunStore(store.root), context, policy="never")) == {"a": "missing"}


# ------------------------------------------------------------------------------------ two commands


@pytest.mark.parametrize("policy", ["missing", "always"])
def test_a_command_that_was_overtaken_keeps_what_is_there(
    store: RunStore, context: Context, ran: Ran, monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    """When the first stage of one command is to begin, another makes all three."""
    a = stage("a")
    b = stage("b", a)
    c = stage("c", b)
    whole = plan(a, b, c)
    if policy == "always":
        execute(whole, store, context)
    ran()

    def overtaken(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        monkeypatch.setitem(VERSIONS, "toy", 3)
        monkeypatch.setitem(STAGES, "toy", StageKind(lambda: toy))
        assert set(statuses(execute(whole, RunStore(store.root), context, policy=policy)).values()) == {
            "done"
        }
        made.update({s.key: (store.path(s.key) / "manifest.json").stat() for s in (a, b, c)})
        return run_stage(*args, **options)

    made: dict[str, os.stat_result] = {}
    monkeypatch.setattr("xdcbench.pipeline.executor.run_stage", overtaken)
    assert set(statuses(execute(whole, store, context, policy=policy)).values()) == {"kept"}
    assert ran() == "abc", "once"
    assert made == {s.key: (store.path(s.key) / "manifest.json").stat() for s in (a, b, c)}


def test_commands_on_one_folder_share_what_they_make(store: RunStore, context: Context, ran: Ran) -> None:
    """Four at once: each stage is made once, and all end well."""
    a = stage("a")
    whole = plan(a, *(stage(word, a) for word in "bcdef"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: statuses(execute(whole, RunStore(store.root), context)), range(4)))
    assert sorted(ran()) == list("abcdef")
    assert {status for outcomes in found for status in outcomes.values()} <= {"done", "kept"}
    assert sum(status == "done" for outcomes in found for status in outcomes.values()) == 6


def test_a_finished_run_and_its_tables_load_no_heavy_library() -> None:
    code = (
        "import sys, xdcbench.pipeline.executor, xdcbench.pipeline.launch, xdcbench.cli.output;"
        "print([m for m in ('torch', 'pandas', 'numpy', 'scipy', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
