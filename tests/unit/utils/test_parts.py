"""Parts of a list: they make up the whole, and what names none is one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.utils.parts import Part


@given(st.integers(0, 50), st.integers(1, 9))
def test_parts_make_up_the_whole(length: int, count: int) -> None:
    parts = [range(length)[Part(number, count).slice] for number in range(1, count + 1)]
    assert sorted(i for part in parts for i in part) == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_text_names_a_part() -> None:
    assert Part.parse("2/4") == Part(2, 4)
    assert Part.parse("007/12") == Part(7, 12)
    assert str(Part(2, 4)) == "2/4"


@pytest.mark.parametrize(
    "text", ["3/2", "0/4", "4/0", "-1/4", "1", "", "1/4/4", " 1/4", "a/b", "1.0/4", "１/4"]
)
def test_what_names_no_part_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is no part. Try: I/N with I from 1 to N, e.g. 1/4 to 4/4$"):
        Part.parse(text)
