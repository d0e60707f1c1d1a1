import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.config.keys import key_of
from xdcbench.errors import UserError
from xdcbench.results.run_store import SCHEMA_VERSION, RunStore
from xdcbench.utils import manifest
from xdcbench.utils.documents import read_json, write_json
from xdcbench.utils.io import part_of
from xdcbench.utils.locks import LockedError
from xdcbench.utils.manifest import MANIFEST

KEY = "round-0123456789ab"
CONTENTS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=5)


def complete(store: RunStore, key: str = KEY, text: str = "done") -> Path:
    """Build and publish a run."""
    with store.building(key) as work:
        (work / "result.txt").write_text(text)
        store.publish(key, work)
    return store.path(key)


# ------------------------------------------------------------------------------------------- keys


@given(content=CONTENTS)
def test_key_does_not_depend_on_order(content: dict[str, object]) -> None:
    assert key_of("round", content) == key_of("round", dict(reversed(content.items())))


@given(one=CONTENTS, other=CONTENTS)
def test_keys_are_equal_only_where_contents_are(one: dict[str, object], other: dict[str, object]) -> None:
    assert (key_of("round", one) == key_of("round", other)) == (one == other)


def test_key_is_a_name_for_a_folder() -> None:
    key = key_of("linear_probe", {"a": "/../"})
    kind, _, digits = key.partition("-")
    assert kind == "linear_probe"
    assert len(digits) == 12
    assert int(digits, 16) >= 0


def test_key_refuses_what_has_no_equal() -> None:
    with pytest.raises(ValueError, match="JSON"):
        key_of("round", {"lr": float("nan")})


# ------------------------------------------------------------------------------------ run folders


def test_run_appears_whole_when_published(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with store.building(KEY) as work:
        (work / "result.txt").write_text("half")
        assert not store.complete(KEY)
        assert store.keys() == []
        store.publish(KEY, work)
    assert store.complete(KEY)
    assert store.keys() == [KEY]
    assert {path.name for path in store.path(KEY).iterdir()} == {"result.txt", MANIFEST}
    assert [path.name for path in (tmp_path / "runs" / ".building").iterdir()] == [f"{KEY}.lock"]


def test_publishing_is_one_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, moved = RunStore(tmp_path), []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, to: (moved.append((self, to)), rename(self, to))[1])
    run = complete(store)
    assert moved == [(tmp_path / "runs" / ".building" / KEY, run)]


def test_checkpoints_go_when_the_run_is_there_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path)
    files = {"checkpoint-000000009-0a1b2c3d.pt", ".checkpoint", "video.safetensors"}

    def killed(self: Path, to: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.building(KEY) as work:
        for name in files:
            (work / name).write_text("epoch 3")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", killed)
            store.publish(KEY, work)
    assert {path.name for path in store.work(KEY).iterdir()} == files | {MANIFEST}
    with store.building(KEY) as work:
        store.publish(KEY, work)
    assert {path.name for path in store.path(KEY).iterdir()} == {"video.safetensors", MANIFEST}


def test_publishing_again_replaces_the_run(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    complete(store, text="first")
    assert (complete(store, text="second") / "result.txt").read_text() == "second"


def test_interrupted_build_is_found_again_and_never_listed(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.building(KEY) as work:
        (work / "checkpoint").write_text("epoch 3")
        raise KeyboardInterrupt
    assert store.keys() == []
    with pytest.raises(UserError, match="matches no run"):
        store.resolve(KEY)
    with store.building(KEY) as work:
        assert (work / "checkpoint").read_text() == "epoch 3"


def test_keys_are_sorted_and_without_hidden_folders_or_files(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for key in ("b-2", "a-1"):
        complete(store, key)
    (store.runs / ".trash").mkdir()
    (store.runs / "note.txt").write_text("")
    assert store.keys() == ["a-1", "b-2"]


# ------------------------------------------------------------------------------------------ damage


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def folder(path: Path) -> None:
    """Something else in the place of a file."""
    path.unlink()
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "damage", [Path.unlink, zero, folder, link_to_itself, lambda path: os.truncate(path, 2)]
)
@pytest.mark.parametrize("name", ["result.txt", MANIFEST])
def test_a_damaged_run_is_not_there_and_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], name: str
) -> None:
    complete(RunStore(tmp_path))
    run = complete(RunStore(tmp_path), "round-ffffffffffff")
    damage(run / name)
    store = RunStore(tmp_path)
    for _ in range(2):
        assert not store.complete(run.name) and not store.whole(run.name)
        assert store.keys() == [KEY] and list(store.damaged()) == [run.name]
    assert len(caplog.messages) == 1 and f"{run} is damaged: {name} " in caplog.text
    with pytest.raises(UserError, match=f"{run} is damaged: {name}.* --stage round-ffffffffffff"):
        store.require(run.name)
    complete(store, run.name, text="again")
    assert store.complete(run.name, thorough=True) and (run / "result.txt").read_text() == "again"


def test_a_file_that_rots_is_found_when_it_is_to_be_read(tmp_path: Path) -> None:
    run = complete(RunStore(tmp_path))
    before = (run / "result.txt").stat()
    zero(run / "result.txt")
    os.utime(run / "result.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    store = RunStore(tmp_path)
    assert store.complete(KEY), "its size and time are those that were written"
    assert not store.whole(KEY, thorough=True)
    assert "result.txt is not what was written" in store.damage(KEY, thorough=True)


def test_what_is_pruned_while_it_is_looked_at_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = complete(RunStore(tmp_path))
    read, looks = manifest.read_manifest, []

    def pruned_meanwhile(of: Path) -> object:
        files = read(of)
        looks.append(of)
        if len(looks) == 1:
            manifest.forget(run, [run / "result.txt"])
            (run / "result.txt").unlink()
        return files

    monkeypatch.setattr(manifest, "read_manifest", pruned_meanwhile)
    assert not RunStore(tmp_path).damage(KEY, thorough=True) and len(looks) > 2


def test_files_are_hashed_once_by_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(RunStore(tmp_path))
    store, hashed, digest = RunStore(tmp_path), [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda f, name: (hashed.append(f.name), digest(f, name))[1])
    assert store.complete(KEY) and not hashed, "sizes and times alone"
    for _ in range(2):
        assert store.whole(KEY, thorough=True)
    assert [Path(name).name for name in hashed] == ["result.txt"]


def test_a_file_that_cannot_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is away for a moment has nothing made again, and does not stop what reads other runs."""
    run = complete(RunStore(tmp_path))
    complete(RunStore(tmp_path), "a-1")
    stat = os.stat

    def failing(path: Any, **options: Any) -> os.stat_result:
        if str(path) == str(run / "result.txt"):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(UserError, match=r"cannot read .*result.txt: Input/output error"):
        RunStore(tmp_path).complete(KEY)
    assert RunStore(tmp_path).keys() == ["a-1"]


def test_a_run_is_on_the_disk_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, then the manifest, then the folder are synced, then it is renamed, then both parents are."""
    told: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(handle: int) -> None:
        told.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", lambda self, to: (told.append("rename"), rename(self, to))[1])
    complete(RunStore(tmp_path))
    told = [name for name in told if not name.endswith(".lock")]
    assert told == ["result.txt", part_of(Path(MANIFEST)).name, KEY, "rename", "runs", ".building"]


# ------------------------------------------------------------------------------------------ locks


HOLD = (
    "import sys\nfrom pathlib import Path\nfrom xdcbench.results.run_store import RunStore\n"
    "with RunStore(Path({root!r})).building({key!r}) as work:\n"
    "    (work / 'checkpoint').write_text('epoch 3')\n"
    "    print('locked', flush=True)\n    sys.stdin.read()\n"
)


def holder(root: Path) -> subprocess.Popen[str]:
    """A process that builds ``KEY`` until it reads a line."""
    code = HOLD.format(root=str(root), key=KEY)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    return process


def test_a_run_is_built_by_one_at_a_time_and_the_other_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="xdcbench")
    with holder(tmp_path) as process:
        with RunStore(tmp_path).building("round-ffffffffffff") as other:
            assert other.is_dir()
        assert caplog.messages == []
        assert process.stdin is not None
        threading.Timer(0.5, process.stdin.close).start()
        with RunStore(tmp_path).building(KEY) as work:
            assert (work / "checkpoint").read_text() == "epoch 3"
        process.wait()
    assert caplog.messages == [f"waiting for {KEY}, which another command is making in {tmp_path}"]


def test_a_killed_process_leaves_its_work_and_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with RunStore(tmp_path).building(KEY) as work:
            assert (work / "checkpoint").read_text() == "epoch 3"


def test_parts_of_files_that_a_killed_process_left_go(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with store.building(KEY) as work:
        (work / "deep").mkdir()
        for part in (work / ".records.json.4711", work / "deep" / ".a.wav.4711"):
            part.write_text("half")
        (work / "deep" / "a.wav").write_text("whole")
    with store.building(KEY) as work:
        assert sorted(path.name for path in work.rglob("*") if path.is_file()) == ["a.wav"]


# --------------------------------------------------------------------------------------- failures


def test_failed_attempts_are_numbered_and_keep_log_and_error(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    without = store.fail(KEY, "no log")
    with store.building(KEY) as work:
        (work / "log.txt").write_text("epoch 1")
        second = store.fail(KEY, "no more memory")
        (work / "log.txt").write_text("epoch 1, epoch 2")
        third = store.fail(KEY, "no disk")
    assert [path.name for path in (without, second, third)] == ["001", "002", "003"]
    assert [path.name for path in without.iterdir()] == ["error.txt"]
    assert (second / "error.txt").read_text() == "no more memory"
    assert (second / "log.txt").read_text() == "epoch 1"
    assert (third / "log.txt").read_text() == "epoch 1, epoch 2"
    assert store.keys() == []


# ----------------------------------------------------------------------------------------- lookup


def test_resolve_by_key_by_its_beginning_and_by_the_hash_alone(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = complete(store)
    complete(store, "round-0199999999aa")
    complete(store, "linear_probe-aaaaaaaaaaaa")
    failed = store.fail("finetune-bbbbbbbbbbbb", "broken").parent
    assert store.resolve(KEY) == store.resolve("0123") == store.resolve("round-012") == run
    assert store.resolve("linear").name == "linear_probe-aaaaaaaaaaaa"
    assert store.resolve("bbb") == failed


def test_resolve_prefers_the_run_to_its_failed_attempts(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.fail(KEY, "at first")
    assert store.resolve(KEY) == tmp_path / "runs" / ".failed" / KEY
    assert store.resolve(KEY) != complete(store) == store.resolve(KEY)


def test_resolve_tells_none_and_many(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(UserError, match=f"'01' matches no run in {tmp_path}"):
        store.resolve("01")
    complete(store)
    complete(store, "round-0199999999aa")
    with pytest.raises(UserError, match=f"'01' matches 2 runs: {KEY}, round-0199999999aa"):
        store.resolve("01")


# --------------------------------------------------------------------------------- results folder


def test_folder_is_marked_with_its_schema(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "results"
    RunStore(root)
    assert read_json(root / "results.json") == {"schema_version": SCHEMA_VERSION}
    assert RunStore(root).keys() == []


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "results", write=False)
    assert store.keys() == []
    assert not store.complete(KEY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [True, False])
def test_newer_schema_is_refused(tmp_path: Path, write: bool) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(UserError, match=f"newer xdcbench .*schema {SCHEMA_VERSION + 1}.*; upgrade"):
        RunStore(tmp_path, write=write)


@pytest.mark.parametrize("write", [True, False])
def test_older_schema_is_refused(tmp_path: Path, write: bool) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION - 1}))
    with pytest.raises(UserError, match=f"an older xdcbench .*schema {SCHEMA_VERSION - 1}.*; give another"):
        RunStore(tmp_path, write=write)


LOST = ["[]", "{", '{"schema_version": "1"}', "null", "", "\0" * 40, '{"schema_ver']


@pytest.mark.parametrize("content", LOST)
def test_marker_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match=r"results\.json states no version .* --results"):
        RunStore(tmp_path)
    assert (tmp_path / "results.json").read_text() == content


@pytest.mark.parametrize("content", [None, *LOST])
def test_a_lost_marker_is_made_again_from_what_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    complete(RunStore(tmp_path))
    marker = tmp_path / "results.json"
    marker.unlink()
    if content is not None:
        marker.write_text(content)
    assert RunStore.existing(tmp_path).keys() == [KEY], "reading needs no marker"
    assert caplog.messages == [
        f"{marker} is damaged or missing; it is made again, and the runs next to it stay"
    ]
    assert RunStore(tmp_path).keys() == [KEY]
    assert read_json(marker) == {"schema_version": SCHEMA_VERSION}
    assert "remove" not in caplog.text


def test_what_is_no_results_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path} is not a results folder\. Try: .*another folder"):
        RunStore.existing(tmp_path)


@pytest.mark.parametrize("root", ["file", "file/results"])
def test_folder_that_cannot_be_written_is_named(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=f"cannot write results to {tmp_path / root}: .*; give another with --results"
    ):
        RunStore(tmp_path / root)


# ------------------------------------------------------------------------------------------- JSON


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, None, "ä"]})
    assert read_json(path) == {"b": [1, 2.5, None, "ä"]}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_json_is_whole_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def interrupted(self: Path, text: str, **_: str) -> None:
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"], "no part of it stays"


def test_json_is_in_place_by_a_rename_within_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[Path] = []
    replace = os.replace

    def spy(source: Path, target: Path) -> None:
        moved.append(Path(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    write_json(tmp_path / "a.json", {})
    assert [path.parent for path in moved] == [tmp_path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_holds_no_number_that_json_has_not(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"value": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_unreadable_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path} is not readable JSON"):
        read_json(path)


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json is not readable JSON"):
        read_json(tmp_path / "a.json")


def test_runs_use_a_folder_together_and_pruning_is_alone(tmp_path: Path) -> None:
    one, other = RunStore(tmp_path), RunStore(tmp_path)
    busy = pytest.raises(UserError, match=f"a run is at work in {tmp_path}; wait")
    with one.in_use(), other.in_use(), busy, other.in_use(alone=True):
        pass
    with one.in_use(alone=True):
        for alone in (False, True):
            with pytest.raises(UserError, match=f"in {tmp_path}; wait"), other.in_use(alone=alone):
                pass
    with other.in_use(alone=True):
        assert other.keys() == []


def test_a_folder_is_free_when_its_user_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, time; from pathlib import Path; from xdcbench.results.run_store import RunStore\n"
        f"with RunStore(Path({str(tmp_path)!r})).in_use():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with RunStore(tmp_path).in_use(alone=True):
        assert RunStore(tmp_path).keys() == []


@pytest.mark.parametrize("name", ["", "log.txt", "deep/features.npy"])
def test_nothing_is_written_through_a_link_in_a_building_folder(name: str, tmp_path: Path) -> None:
    store, elsewhere = RunStore(tmp_path / "results"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = store.work(KEY) / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere if not name else elsewhere / "mine", target_is_directory=not name)
    with store.building(KEY) as work:
        (work / "deep").mkdir(exist_ok=True)
        (work / (name or "log.txt")).write_text("ours")
        store.publish(KEY, work)
    assert not any(elsewhere.iterdir())
    assert store.complete(KEY)


@pytest.mark.parametrize("name", [MANIFEST, "result.txt"])
def test_a_pipe_in_a_run_is_damage_and_not_waited_for(name: str, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = complete(store, text="")
    (run / name).unlink()
    os.mkfifo(run / name)
    assert not store.complete(KEY)


class CachedNames:
    """Names below a folder as an NFS client knows them: one that was missing stays so until the folder is opened."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.missing = folder, set[str]()
        self.stat, self.open = os.stat, os.open
        monkeypatch.setattr(os, "stat", self.looked_up)
        monkeypatch.setattr(os, "open", self.opened)

    def looked_up(self, path: Any, *args: Any, **options: Any) -> os.stat_result:
        name = os.fspath(path) if not isinstance(path, int) else ""
        try:
            if any(name == gone or name.startswith(f"{gone}/") for gone in self.missing):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
            return self.stat(path, *args, **options)
        except FileNotFoundError:
            if Path(name).parent == self.folder:
                self.missing.add(name)
            raise

    def opened(self, path: Any, *args: Any, **options: Any) -> int:
        if not isinstance(path, int) and Path(os.fspath(path)) == self.folder:
            self.missing.clear()
        return self.open(path, *args, **options)


def test_a_run_that_another_node_publishes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = RunStore(tmp_path)
    names = CachedNames(here.runs, monkeypatch)
    assert not here.complete(KEY) and not here.path(KEY).exists()
    kept = set(names.missing)
    complete(RunStore(tmp_path))
    names.missing = kept  # what the other node did is unknown here
    assert not here.path(KEY).is_dir(), "without asking the server"
    names.missing = set(kept)
    assert here.complete(KEY) and here.whole(KEY) and here.require(KEY) == here.path(KEY)


def test_who_makes_a_run_is_told_to_one_that_does_not_wait(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with (
        store.held(KEY),
        pytest.raises(LockedError, match=rf"^process {os.getpid()} on \S+$"),
        RunStore(tmp_path).held(KEY, wait=False),
    ):
        pytest.fail("two hold it")
