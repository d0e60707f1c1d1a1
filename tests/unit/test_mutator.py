"""The mutator: equal for equal seeds, ten kinds, each of which changes the file."""

import pytest

from tests.mutator import KINDS, Mutant, mutants

SOURCES = {
    "a.mp4": b"\0\0\0\x20ftypisom" + bytes(range(256)) * 8 + b"\0\0\4\0moov" + b"payload" * 99,
    "b.wav": b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0" + bytes(range(1, 255)) * 9,
    "c.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"pixels" * 77,
}


def made(count: int, seed: int = 0) -> list[Mutant]:
    return list(mutants(SOURCES, count, seed=seed))


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    assert made(90) == made(90)
    assert made(30) == made(90)[:30], "the first are the same for any number"
    other = [b.data for a, b in zip(made(90), made(90, seed=1), strict=True) if a.kind == b.kind == "flipped"]
    assert len(other) == 9 and not {m.data for m in made(90)} & set(other)


def test_kinds_and_sources_take_turns() -> None:
    found = made(100 * len(SOURCES))
    assert len(KINDS) == 10
    assert {(m.kind, m.source) for m in found} == {(kind, name) for kind in KINDS for name in SOURCES}
    assert len({m.name for m in found}) == len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_the_file(kind: str) -> None:
    for mutant in (m for m in made(300) if m.kind == kind):
        suffix, before = mutant.source[-4:], SOURCES[mutant.source]
        if kind == "renamed":
            assert mutant.data == before and not mutant.name.endswith(suffix)
            continue
        assert mutant.data != before and mutant.name.endswith(suffix)
        change = len(mutant.data) - len(before)
        if kind in ("flipped", "zeroed", "headed", "resized"):
            assert change == 0
        if kind in ("followed", "joined"):
            assert change > 0 and mutant.data.startswith(before)
        if kind == "inserted":
            assert 1 <= change <= 64
        if kind == "cut":
            assert change < 0
        if kind == "flipped":
            bits = sum((a ^ b).bit_count() for a, b in zip(mutant.data, before, strict=True))
            assert 1 <= bits <= 32
        if kind == "headed":
            assert mutant.data[264:] == before[264:]


def test_sizes_are_those_next_to_names() -> None:
    """Of one box, nothing but its size or the four bytes after its name is overwritten."""
    source = {"a.mp4": b"\0" * 40 + b"\0\0\0\x30moov" + b"\0" * 40, "b.wav": b"unused"}
    places = {
        place
        for mutant in mutants(source, 200, seed=3)
        if (mutant.kind, mutant.source) == ("resized", "a.mp4")
        for place, (a, b) in enumerate(zip(mutant.data, source["a.mp4"], strict=True))
        if a != b
    }
    assert places == {*range(40, 44), *range(48, 52)}
