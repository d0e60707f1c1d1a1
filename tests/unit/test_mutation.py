"""Which mutants are drawn."""

from tests.mutation import sample, shapes

SOURCE = """
def f(x):
    if x {sign} 0:
        raise ValueError({text})
    return x
"""


def shape(sign: str = "<", text: str = "f'{x} is below 0'") -> str:
    return shapes(SOURCE.replace("{sign}", sign).replace("{text}", text))["f"]


def test_only_what_an_exception_says_may_differ() -> None:
    assert shape() == shape(text="None") == shape(text="'XX below 0XX'")
    assert shape() != shape(sign="<=")


def test_a_sample_has_so_many_of_each_module_and_begins_alike() -> None:
    of = {"a.py": [f"a{i}" for i in range(20)], "b.py": ["b0", "b1"]}
    drawn = sample(of, 5, seed=0)
    assert len(drawn) == len(set(drawn)) == 7 and {"b0", "b1"} <= set(drawn)
    assert sample(of, 3, seed=0)[:3] == drawn[:3]
    assert sample(of, 5, seed=1)[:5] != drawn[:5]
