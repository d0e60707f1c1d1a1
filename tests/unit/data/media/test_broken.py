"""Damaged files of every kind beside ffmpeg's verdict; tests/nightly/test_broken.py reads a thousand."""

from pathlib import Path

import pytest

from tests.broken import Look, Verdict, difference, known, look, referee, write_broken
from xdcbench.utils.process_pool import answers


def test_sixty_damaged_files_have_the_verdicts_of_ffmpeg(tmp_path: Path) -> None:
    paths = write_broken(tmp_path / "broken", count=60, seed=0)
    for path, seen in answers(look, map(str, paths), workers=1, limit=60):
        assert isinstance(seen, Look), f"{path}: {seen}"
        theirs = referee(Path(path))
        found = difference(seen.verdict, theirs)
        assert not found or known(seen.verdict, theirs), (
            f"{path}: {found}\n{seen.verdict.said}\n{theirs.said}"
        )
        assert seen.memory < 500, path


WHOLE = Verdict(9, 12_000, False, "")


@pytest.mark.parametrize(
    ("own", "differs"),
    [
        (WHOLE, False),
        (Verdict(9, 12_288, False, ""), False),
        (Verdict(8, 12_000, False, ""), True),
        (Verdict(9, 9_000, False, ""), True),
        (Verdict(9, 0, False, ""), True),
        (Verdict(9, 12_000, True, ""), True),
    ],
)
def test_verdicts_differ_in_tracks_lengths_and_damage(own: Verdict, differs: bool) -> None:
    assert bool(difference(own, WHOLE)) == differs


def test_differences_are_known_by_their_reason_alone() -> None:
    partly = Verdict(9, 12_000, True, "[dec:flac] Decoding error: Invalid data found")
    assert known(WHOLE, partly)
    assert not known(WHOLE, Verdict(9, 12_000, True, partly.said + "\ncorrupt decoded frame"))
    assert not known(partly, WHOLE)
    assert not known(Verdict(9, 0, False, ""), partly)
    cut = Verdict(0, 9_000, True, "[in#0/wav @ 0x1] corrupt input packet in stream 0")
    assert known(Verdict(0, 9_000, False, ""), cut)
    assert not known(Verdict(0, 9_000, False, ""), Verdict(0, 9_000, True, cut.said.replace("wav", "avi")))
    refused = Verdict(0, 0, False, "states 2147483647 Hz; the limits are 1000 and 768000 Hz")
    assert known(refused, WHOLE)
    assert not known(Verdict(0, 0, False, "nothing of it decodes"), WHOLE)
