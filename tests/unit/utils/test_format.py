import pytest

from xdcbench.utils.format import change, counted, duration, natural, number, short


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0, "", "0"),
        (0.25, "", "0.25"),
        (1.2345, "", "1.23"),
        (999.6, "", "999.6"),
        (1024, "", "1024"),
        (9999, "", "9999"),
        (9999.9, "", "10 k"),
        (240_000, "", "240 k"),
        (999_999, "", "1 M"),
        (2.5e9, "", "2.5 G"),
        (-65e6, "", "-65 M"),
        (999, "B", "999 B"),
        (1300, "B", "1.3 kB"),
        (999_600, "B", "1 MB"),
        (3e15, "B", "3e+03 TB"),
    ],
)
def test_short_numbers(value: float, unit: str, words: str) -> None:
    assert short(value, unit) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "< 0.1 s"),
        (4.44, "4.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86_399, "1 d 00 h"),
        (273_600, "3 d 04 h"),
    ],
)
def test_durations_in_the_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_counts() -> None:
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_measured_values_and_their_changes() -> None:
    assert [number(-0.04, "%"), number(0.5), number(1234.5), number(1e6)] == [
        "0.0",
        "0.500",
        "1,234",
        "1,000,000",
    ]
    assert [change(-1.25, "%"), change(0.5, "")] == ["−1.2", "+0.500"]


def test_numbers_in_names_sort_by_their_size() -> None:
    assert sorted(["r@10", "r@5", "k=128", "k=64", "2", "10"], key=natural) == [
        "2",
        "10",
        "k=64",
        "k=128",
        "r@5",
        "r@10",
    ]
