import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.store import SCHEMA_VERSION, Store, key_of, read_json, write_json

KEY = "round-0123456789ab"
CONTENTS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=5)


def complete(store: Store, key: str = KEY, text: str = "done") -> Path:
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
    store = Store(tmp_path)
    with store.building(KEY) as work:
        (work / "result.txt").write_text("half")
        assert not store.complete(KEY)
        assert store.keys() == []
        store.publish(KEY, work)
    assert store.complete(KEY)
    assert store.keys() == [KEY]
    assert [path.name for path in store.path(KEY).iterdir()] == ["result.txt"]
    assert list((tmp_path / "runs" / ".building").iterdir()) == []


def test_publishing_is_one_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, moved = Store(tmp_path), []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, to: (moved.append((self, to)), rename(self, to))[1])
    run = complete(store)
    assert moved == [(tmp_path / "runs" / ".building" / KEY, run)]


def test_checkpoints_go_when_the_run_is_there_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    files = {"checkpoint-000000009-0a1b2c3d.pt", ".checkpoint", "video.safetensors"}

    def killed(self: Path, to: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.building(KEY) as work:
        for name in files:
            (work / name).write_text("epoch 3")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", killed)
            store.publish(KEY, work)
    assert {path.name for path in store.work(KEY).iterdir()} == files
    with store.building(KEY) as work:
        store.publish(KEY, work)
    assert [path.name for path in store.path(KEY).iterdir()] == ["video.safetensors"]


def test_publishing_again_replaces_the_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    complete(store, text="first")
    assert (complete(store, text="second") / "result.txt").read_text() == "second"


def test_interrupted_build_is_found_again_and_never_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.building(KEY) as work:
        (work / "checkpoint").write_text("epoch 3")
        raise KeyboardInterrupt
    assert store.keys() == []
    with pytest.raises(UserError, match="matches no run"):
        store.resolve(KEY)
    with store.building(KEY) as work:
        assert (work / "checkpoint").read_text() == "epoch 3"


def test_keys_are_sorted_and_without_hidden_folders_or_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in ("b-2", "a-1"):
        complete(store, key)
    (store.runs / ".trash").mkdir()
    (store.runs / "note.txt").write_text("")
    assert store.keys() == ["a-1", "b-2"]


# ------------------------------------------------------------------------------------------ locks


def test_a_run_is_built_by_one_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path).building(KEY):
        with (
            pytest.raises(UserError, match=f"another process is building {KEY} in"),
            Store(tmp_path).building(KEY),
        ):
            pytest.fail("two builds of one run")
        with Store(tmp_path).building("round-ffffffffffff") as other:
            assert other.is_dir()
    with Store(tmp_path).building(KEY) as work:
        assert work.is_dir()


def test_a_killed_process_leaves_its_work_and_no_lock(tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom xdcbench.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).building({KEY!r}) as work:\n"
        "    (work / 'checkpoint').write_text('epoch 3')\n"
        "    print('locked', flush=True)\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="another process"), Store(tmp_path).building(KEY):
            pytest.fail("two processes build one run")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Store(tmp_path).building(KEY) as work:
            assert (work / "checkpoint").read_text() == "epoch 3"


# --------------------------------------------------------------------------------------- failures


def test_failed_attempts_are_numbered_and_keep_log_and_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
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
    store = Store(tmp_path)
    run = complete(store)
    complete(store, "round-0199999999aa")
    complete(store, "linear_probe-aaaaaaaaaaaa")
    failed = store.fail("finetune-bbbbbbbbbbbb", "broken").parent
    assert store.resolve(KEY) == store.resolve("0123") == store.resolve("round-012") == run
    assert store.resolve("linear").name == "linear_probe-aaaaaaaaaaaa"
    assert store.resolve("bbb") == failed


def test_resolve_prefers_the_run_to_its_failed_attempts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.fail(KEY, "at first")
    assert store.resolve(KEY) == tmp_path / "runs" / ".failed" / KEY
    assert store.resolve(KEY) != complete(store) == store.resolve(KEY)


def test_resolve_tells_none_and_many(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(UserError, match=f"'01' matches no run in {tmp_path}"):
        store.resolve("01")
    complete(store)
    complete(store, "round-0199999999aa")
    with pytest.raises(UserError, match=f"'01' matches 2 runs: {KEY}, round-0199999999aa"):
        store.resolve("01")


# --------------------------------------------------------------------------------- results folder


def test_folder_is_marked_with_its_schema(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "results"
    Store(root)
    assert read_json(root / "results.json") == {"schema_version": SCHEMA_VERSION}
    assert Store(root).keys() == []


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", write=False)
    assert store.keys() == []
    assert not store.complete(KEY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [True, False])
def test_newer_schema_is_refused(tmp_path: Path, write: bool) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(UserError, match=f"newer xdcbench .*schema {SCHEMA_VERSION + 1}.*; upgrade"):
        Store(tmp_path, write=write)


def test_older_schema_is_read(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION - 1}))
    complete(Store(tmp_path))
    assert Store(tmp_path).keys() == [KEY]


@pytest.mark.parametrize("content", ["[]", "{", '{"schema_version": "1"}', "null"])
def test_marker_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match=r"results\.json"):
        Store(tmp_path)


@pytest.mark.parametrize("root", ["file", "file/results"])
def test_folder_that_cannot_be_written_is_named(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=f"cannot write results to {tmp_path / root}: .*; give another with --out"
    ):
        Store(tmp_path / root)


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
    one, other = Store(tmp_path), Store(tmp_path)
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
        "import os, signal, time; from pathlib import Path; from xdcbench.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).in_use():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with Store(tmp_path).in_use(alone=True):
        assert Store(tmp_path).keys() == []
