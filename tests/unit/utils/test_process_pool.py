import os
import time
from pathlib import Path

from tests.unit.data.validation.looks import act
from xdcbench.utils.process_pool import WorkerFailure, answers


def test_every_path_has_its_answer() -> None:
    paths = [f"folder/f{i}" for i in range(50)]
    assert dict(answers(act, paths, workers=3, limit=30)) == {p: Path(p).name.upper() for p in paths}


def test_death_and_delay_are_told_of_the_file_that_caused_them() -> None:
    paths = ["a", "segfault", "b", "hang", "exit", "c", "raise", "d"]
    begun = time.monotonic()
    found = dict(answers(act, paths, workers=2, limit=1.5))
    assert time.monotonic() - begun < 30
    assert {p: a for p, a in found.items() if not isinstance(a, WorkerFailure)} == {
        p: p.upper() for p in "abcd"
    }
    assert found["segfault"] == WorkerFailure("the process that read it died (SIGSEGV)", timeout=False)
    assert found["exit"] == WorkerFailure("the process that read it died (exit code 3)", timeout=False)
    assert found["raise"] == WorkerFailure("the process that read it died (exit code 1)", timeout=False)
    assert found["hang"] == WorkerFailure("not read within 1.5 s", timeout=True)


def test_nothing_to_do_starts_nothing() -> None:
    assert list(answers(act, [], workers=2, limit=1)) == []


def test_processes_end_with_the_caller_that_stops_early() -> None:
    found = answers(os.path.basename, [str(i) for i in range(20)], workers=2, limit=30)
    next(found)
    busy = found.gi_frame.f_locals["busy"] + found.gi_frame.f_locals["idle"]  # type: ignore[attr-defined]
    found.close()  # type: ignore[attr-defined]
    assert busy
    assert not any(worker.process.is_alive() for worker in busy)
