import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.data.validation.looks import look
from xdcbench.data import survey as survey_module
from xdcbench.data.scanning.items import MISSING
from xdcbench.data.survey import Question, survey, survey_part
from xdcbench.errors import UserError
from xdcbench.utils.locks import lock
from xdcbench.utils.parts import Part
from xdcbench.utils.process_pool import answers

TYPES = {"letters": "Int64"}
ROOT = Path(__file__).parents[3]


def items(root: Path, *names: str) -> pd.DataFrame:
    sizes = [(root / name).stat().st_size if (root / name).exists() else MISSING for name in names]
    return pd.DataFrame({"id": names, "path": names, "bytes": sizes}).astype({"path": "str", "id": "str"})


def run(
    root: Path,
    *names: str,
    state: str = "0" * 12,
    limit: float = 30,
    look: Any = look,
    version: int = 1,
) -> pd.DataFrame:
    folder = root / "out" / f"set-{state}"
    folder.mkdir(parents=True, exist_ok=True)
    return survey(
        items(root, *names),
        root,
        Question(look, TYPES, "looking", version),
        folder / "items.parquet",
        workers=2,
        limit=limit,
    )


def seen(root: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_size for path in root.glob("*.seen")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {"a": "one", "b": "three", "c": "bad"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_items_come_back_in_their_order_with_what_was_seen(root: Path) -> None:
    found = run(root, "b", "absent", "c", "a")
    assert list(found["id"]) == ["b", "absent", "c", "a"]
    assert found["letters"].tolist() == [5, pd.NA, pd.NA, 3]
    assert found["error"].tolist() == ["", "", "bad", ""]
    kept = pd.read_parquet(root / "out" / f"set-{'0' * 12}" / "items.parquet")
    pd.testing.assert_frame_equal(kept, found)


def test_files_are_looked_at_some_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "CHUNK", 2)
    at_once: list[int] = []

    def counted(function: Any, paths: Any, **how: Any) -> Any:
        at_once.append(len(paths))
        return answers(function, paths, **how)

    monkeypatch.setattr(survey_module, "answers", counted)
    found = run(root, "b", "absent", "c", "a")
    assert at_once == [2, 1]
    assert found["letters"].tolist() == [5, pd.NA, pd.NA, 3]


def test_only_what_changed_is_looked_at_again(root: Path) -> None:
    run(root, "a", "b", "c")
    (root / "b").write_text("other")  # as long as before, but later
    os.utime(root / "b", ns=(1, 1))
    (root / "c").write_text("good")
    found = run(root, "a", "b", "c")
    assert seen(root) == {"a": 1, "b": 2, "c": 2}
    assert found["letters"].tolist() == [3, 5, 4]


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: bytes(len(data)), lambda data: data[: len(data) // 2]]
)
def test_a_damaged_file_of_answers_is_made_again(
    root: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    first = run(root, "a", "b", "c")
    kept = root / "out" / f"set-{'0' * 12}" / "items.parquet"
    kept.write_bytes(damage(kept.read_bytes()))
    (kept.parent / "items.jsonl").write_bytes(b'3\n{"path": "a"}\n\xff\0\n')
    pd.testing.assert_frame_equal(run(root, "a", "b", "c"), first)
    assert f"{kept} is damaged; its files are looked at again" in caplog.text
    pd.testing.assert_frame_equal(pd.read_parquet(kept), first)


def test_other_states_of_the_dataset_are_used(root: Path) -> None:
    run(root, "a", "b")
    found = run(root, "a", "b", "c", state="f" * 12)
    assert seen(root) == {"a": 1, "b": 1, "c": 1}
    assert found["letters"].tolist() == [3, 5, pd.NA]


def test_answers_of_another_version_are_not_used(root: Path) -> None:
    run(root, "a", "b")
    (root / "out" / f"set-{'0' * 12}" / "items.jsonl").write_text('{"path": "c", "bytes": 3, "mtime": 1}\n')
    run(root, "a", "b", version=2)
    found = run(root, "a", "b", state="f" * 12, version=2)
    assert seen(root) == {"a": 2, "b": 2}
    assert found["letters"].tolist() == [3, 5]


def test_death_is_tried_again_and_delay_with_more_time(root: Path) -> None:
    (root / "a").write_text("die")
    (root / "b").write_text("hang")
    found = run(root, "a", "b", "c", limit=1)
    assert found["error"].tolist() == [
        "the process that read it died (exit code 1)",
        "not read within 1 s",
        "bad",
    ]
    run(root, "a", "b", "c", limit=1)
    assert seen(root) == {"a": 4, "b": 1, "c": 1}
    run(root, "a", "b", "c", limit=1.5)
    assert seen(root) == {"a": 6, "b": 2, "c": 1}


def test_a_process_that_dies_once_costs_no_answer(root: Path) -> None:
    (root / "a").write_text("die once")
    assert run(root, "a", "b")["error"].tolist() == ["", ""]
    assert seen(root) == {"a": 2, "b": 1}


def test_survey_resumes_after_kill_9(root: Path) -> None:
    names = [f"f{i:02d}" for i in range(40)]
    for name in names:
        (root / name).write_text(name)
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.unit.data.validation.looks import slow\n"
        "from tests.unit.data.test_survey import run\n"
        "root = Path(sys.argv[1]); run(root, *sorted(p.name for p in root.glob('f??')), look=slow)"
    )
    journal = root / "out" / f"set-{'0' * 12}" / "items.jsonl"
    with subprocess.Popen([sys.executable, "-c", code, root], cwd=ROOT) as process:
        while not journal.exists() or journal.read_text().count("\n") < 10:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    with journal.open("a") as file:
        file.write('{"path": "f3')  # as if killed while writing
    done = {row["path"] for line in journal.read_text().splitlines()[:-1] if (row := json.loads(line))}
    time.sleep(0.3)  # its workers end once their pipe is closed
    before = seen(root)
    found = run(root, *names)
    assert found["letters"].tolist() == [3] * 40
    assert 10 <= len(done) < 40
    assert all(seen(root)[name] == before[name] for name in done)
    assert not journal.exists()


def test_two_surveys_of_one_set_do_not_mix(root: Path) -> None:
    folder = root / "out" / f"set-{'0' * 12}"
    folder.mkdir(parents=True)
    with lock(folder / ".lock"), pytest.raises(UserError, match="another process"):
        run(root, "a")


# --------------------------------------------------------------------------------------------- parts


def run_part(root: Path, number: int, count: int, *names: str, look: Any = look) -> int:
    folder = root / "out" / f"set-{'0' * 12}"
    folder.mkdir(parents=True, exist_ok=True)
    question = Question(look, TYPES, "looking", 1)
    return survey_part(
        items(root, *names),
        root,
        question,
        folder / "items.parquet",
        Part(number, count),
        workers=1,
        limit=30,
    )


def test_parts_end_with_the_bytes_of_one_survey(root: Path) -> None:
    names = ("b", "absent", "c", "a")
    table = root / "out" / f"set-{'0' * 12}" / "items.parquet"
    run(root, *names)
    whole = table.read_bytes()
    shutil.rmtree(root / "out")
    for path in root.glob("*.seen"):
        path.unlink()
    assert [run_part(root, number, 2, *names) for number in (2, 1)] == [2, 0]
    assert not table.exists()
    run(root, *names)
    assert table.read_bytes() == whole
    assert seen(root) == {"a": 1, "b": 1, "c": 1}, "each file is looked at once"
    assert [path.name for path in table.parent.iterdir() if path.name != ".lock"] == ["items.parquet"]


def test_a_part_resumes_and_is_held_by_one_process(root: Path) -> None:
    journal = root / "out" / f"set-{'0' * 12}" / "items.1-2.jsonl"
    assert run_part(root, 1, 2, "a", "b", "c") == 1
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + lines[1][:5])  # as after a kill
    assert run_part(root, 1, 2, "a", "b", "c") == 1
    assert sorted(seen(root).values()) == [1, 2]
    with (
        lock(journal.with_suffix(".lock")),
        pytest.raises(UserError, match="another process surveys"),
    ):
        run_part(root, 1, 2, "a", "b", "c")
    with lock(journal.parent / ".lock", shared=True):
        assert run_part(root, 2, 2, "a", "b", "c") == 0
