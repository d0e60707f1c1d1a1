"""Opening every file of a dataset: lengths of tracks, and attempts that end early."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tests.unit.data.media.referee import H264, ffmpeg
from xdcbench.data import probing
from xdcbench.data.index import FACTS
from xdcbench.data.media import probe
from xdcbench.data.probing import probe_all

MADE: dict[str, tuple[tuple[float, float], tuple[str, ...]]] = {
    "audio_longer.mkv": ((1.2, 3.0), (*H264, "-c:a", "aac")),
    "audio_longer.flv": ((1.2, 3.0), (*H264, "-c:a", "aac")),
    "live.webm": ((3.0, 3.0), ("-c:v", "libvpx", "-c:a", "libvorbis", "-live", "1")),
    "piped.wav": ((0.0, 3.0), ("-f", "wav", "-c:a", "pcm_s16le")),
    "guessed.aac": ((0.0, 3.0), ("-c:a", "aac")),
    "guessed.mp3": ((0.0, 3.0), ("-c:a", "libmp3lame", "-q:a", "5", "-write_xing", "0")),
}


@pytest.fixture(scope="module")
def guessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files without the length of their tracks, quiet at first, so that a guess from the bit rate is far off."""
    root = tmp_path_factory.mktemp("guessed")
    for name, ((seen, heard), options) in MADE.items():
        video = ("-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={seen}") if seen else ()
        audio = f"aevalsrc='(gt(t,0.5)*0.9+0.0001)*(2*random(0)-1)':s=44100:d={heard}"
        made, _ = ffmpeg(
            *video, "-f", "lavfi", "-i", audio, *options, "-" if name == "piped.wav" else root / name
        )
        if made:
            (root / name).write_bytes(made)
    return root


def files_of(root: Path) -> pd.DataFrame:
    return pd.DataFrame({"path": list(MADE), "bytes": [(root / name).stat().st_size for name in MADE]})


def test_each_track_has_the_length_of_its_media(guessed: Path, tmp_path: Path) -> None:
    found = probe_all(files_of(guessed), guessed, tmp_path)
    assert list(found) == ["mtime", *FACTS]
    assert found["ok"].all()
    for row, ((seen, heard), _) in zip(found.to_dict("records"), MADE.values(), strict=True):
        assert row["video_seconds"] == pytest.approx(seen, abs=0.05)
        assert row["audio_seconds"] == pytest.approx(heard, abs=0.06)
        assert row["audio_start"] == pytest.approx(0, abs=0.05)
        assert row["duration"] == (row["video_seconds"] if seen else row["audio_seconds"])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened, in parts of two."""
    names: list[str] = []

    def counted(file: probing.Indexed) -> object:
        names.append(file.path.name)
        return probe(file)

    monkeypatch.setattr(probing, "probe", counted)
    monkeypatch.setattr(probing, "PART", 2)
    return names


def killed_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the next part after ``count`` of them ends the process."""
    write = probing.atomic_write
    left = iter(range(count))

    def limited(path: Path) -> object:
        if next(left, None) is None:
            raise SystemExit(75)
        return write(path)

    monkeypatch.setattr(probing, "atomic_write", limited)


def test_the_next_attempt_opens_the_files_of_the_parts_that_are_missing(
    guessed: Path, tmp_path: Path, opened: list[str]
) -> None:
    whole = probe_all(files_of(guessed), guessed, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        killed_after(2, patch)
        with pytest.raises(SystemExit):
            probe_all(files_of(guessed), guessed, tmp_path / "kept")
    opened.clear()
    assert_frame_equal(probe_all(files_of(guessed), guessed, tmp_path / "kept"), whole)
    assert sorted(opened) == sorted(list(MADE)[4:])


def cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-5])


def zero(part: Path) -> None:
    part.write_bytes(bytes(part.stat().st_size))


def flip(part: Path) -> None:
    """One bit of the first page."""
    data = bytearray(part.read_bytes())
    data[60] ^= 1
    part.write_bytes(data)


def of_other_files(part: Path) -> None:
    found = pd.read_parquet(part)
    found.assign(path=found["path"] + "x").to_parquet(part)


def grown(part: Path) -> None:
    found = pd.read_parquet(part)
    found.assign(bytes=found["bytes"] - 1).to_parquet(part)


@pytest.mark.parametrize("spoil", [cut, zero, flip, of_other_files, grown])
def test_a_part_that_is_damaged_or_of_other_files_is_made_again(
    guessed: Path, tmp_path: Path, opened: list[str], spoil: Callable[[Path], None]
) -> None:
    items = files_of(guessed)
    whole = probe_all(items, guessed, tmp_path)
    spoil(tmp_path / "2.parquet")
    opened.clear()
    assert_frame_equal(probe_all(items, guessed, tmp_path), whole)
    assert sorted(opened) == sorted(list(MADE)[2:4])


def test_no_files_are_no_rows(tmp_path: Path) -> None:
    nothing = pd.DataFrame({"path": pd.Series([], dtype="str"), "bytes": pd.Series([], dtype="int64")})
    assert list(probe_all(nothing, tmp_path, tmp_path)) == ["mtime", *FACTS]
