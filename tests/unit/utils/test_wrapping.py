"""Lines break between words, never within a key, and fit by the columns that Unicode gives their letters."""

import unicodedata

import pytest

from xdcbench.utils.wrapping import wrapped

RUN = "2026-11-27 06:52  linear_probe-cdbde81f9aa2        2.6 s  scratch/seed0/linear_probe/my_clips/main"
NAMES = "مرمز/seed0/features/audio/剪辑动作  剪辑动作 of 自监督聚类 and 梅尔频率倒谱系数编码器 with 400 items"


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


@pytest.mark.parametrize("line", [RUN, NAMES, f"    {NAMES}"])
@pytest.mark.parametrize("width", [30, 40, 80])
def test_every_line_fits_and_no_word_is_lost(line: str, width: int) -> None:
    lines = wrapped(line, width)
    assert max(map(columns, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(line.split())
    assert len(lines) > 1 and all(after.startswith("  ") for after in lines[1:])


def test_a_key_stays_whole_and_a_path_breaks_behind_a_slash() -> None:
    assert wrapped(RUN, 40) == [
        "2026-11-27 06:52",
        "  linear_probe-cdbde81f9aa2        2.6 s",
        "  scratch/seed0/linear_probe/my_clips/",
        "  main",
    ]


def test_what_fits_and_what_goes_to_a_file_stays() -> None:
    assert wrapped(RUN, 0) == wrapped(RUN, 200) == [RUN]
    assert wrapped("", 40) == [""]
