"""Files damaged in ten ways, the same for the same seed."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

HEADER = 256
"""Bytes at the beginning of a file that count as its header."""
EXTREMES = (
    bytes(8),
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\x80" + bytes(7),
    b"\xff\xff\xff\x7f" * 2,
    b"\1\0\0\0" * 2,
)
"""Zero, the largest and the smallest of either order of bytes, and one."""
MARKS = re.compile(
    rb"ftyp|moov|mvhd|trak|tkhd|mdia|mdhd|stbl|stsd|stts|ctts|stsc|stsz|stco|elst|moof|traf|trun|mdat"
    rb"|RIFF|LIST|hdrl|strl|strh|strf|movi|idx1|0[01]dc|0[01]wb|fmt |data|VP8 |IHDR|IDAT|OggS|fLaC|FLV|ID3|Xing"
    rb"|\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\xa3[\x80-\xff]"  # Matroska
    rb"|\x00\x00\x01[\xb0-\xef]|\xff[\xc0\xda\xe0-\xff]",  # MPEG, JPEG
    re.DOTALL,
)
"""Names and signs of atoms, chunks, pages and packets, next to which their sizes stand."""


def flipped(data: bytearray, rng: random.Random) -> bytes:
    """One to 32 bits turned over."""
    for _ in range(2 ** rng.randrange(6)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def zeroed(data: bytearray, rng: random.Random) -> bytes:
    """A run of bytes set to zero."""
    begin, end = _block(data, rng)
    data[begin:end] = bytes(end - begin)
    return bytes(data)


def cut(data: bytearray, rng: random.Random) -> bytes:
    """A part taken away at the start, in the middle or at the end."""
    begin, end = _block(data, rng)
    where = rng.randrange(3)
    del data[0 if where == 0 else begin : len(data) if where == 2 else end]
    return bytes(data)


def moved(data: bytearray, rng: random.Random) -> bytes:
    """A block written twice, or its halves swapped."""
    begin, end = _block(data, rng)
    if rng.random() < 0.5:
        return bytes(data[:end] + data[begin:])
    middle = (begin + end) // 2
    return bytes(data[:begin] + data[middle:end] + data[begin:middle] + data[end:])


def headed(data: bytearray, rng: random.Random) -> bytes:
    """One to four fields of the header overwritten with extremes."""
    for _ in range(rng.randint(1, 4)):
        _overwrite(
            data, rng.randrange(min(HEADER, len(data))), rng.choice(EXTREMES)[: rng.choice((1, 2, 4, 8))]
        )
    return bytes(data)


def inserted(data: bytearray, rng: random.Random) -> bytes:
    """One to 64 bytes put in."""
    at = rng.randrange(len(data))
    return bytes(data[:at] + rng.randbytes(2 ** rng.randrange(7)) + data[at:])


def resized(data: bytearray, rng: random.Random) -> bytes:
    """Four bytes before or after one to three names of atoms or chunks overwritten: their sizes."""
    marks = [mark.span() for mark in MARKS.finditer(data)]
    for begin, end in rng.choices(marks or [(0, 0)], k=rng.randint(1, 3)):
        at = end if begin < 4 or rng.random() < 0.5 else begin - 4
        _overwrite(
            data, at, rng.choice((rng.choice(EXTREMES)[:4], rng.randbytes(4), bytes(2) + rng.randbytes(2)))
        )
    return bytes(data)


def followed(data: bytearray, rng: random.Random) -> bytes:
    """Up to 4096 random bytes, or zeros, at the end."""
    count = rng.randint(1, 4096)
    return bytes(data) + (rng.randbytes(count) if rng.random() < 0.5 else bytes(count))


WITHIN: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    flipped,
    zeroed,
    cut,
    moved,
    headed,
    inserted,
    resized,
    followed,
)
"""Damage that needs one file alone."""
KINDS = (*(damage.__name__ for damage in WITHIN), "joined", "renamed")


@dataclass(frozen=True)
class Mutant:
    """A damaged file: its name, which says number, kind and source; what was done to which source; its bytes."""

    name: str
    kind: str
    source: str
    data: bytes


def mutants(sources: Mapping[str, bytes], count: int, *, seed: int) -> Iterator[Mutant]:
    """So many mutants, the kinds and then the sources in turn, none equal to its source in name and bytes.

    Args:
        sources: bytes by file name, of several suffixes.
        count: of mutants; the first are the same for any count.
        seed: of all that is random.
    """
    names = sorted(sources)
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        kind = KINDS[number % len(KINDS)]
        # The order of the sources is drawn anew each time all have had their turn, so that each meets all kinds.
        turn, place = divmod(number, len(names))
        source = random.Random(f"{seed}/turn/{turn}").sample(names, len(names))[place]
        path, other = PurePath(source), PurePath(rng.choice([name for name in names if name != source]))
        suffix, data = path.suffix, sources[source]
        if kind == "joined":
            data += sources[str(other)]
        elif kind == "renamed":
            suffix = rng.choice(sorted({PurePath(name).suffix for name in names} - {suffix}))
        else:
            damage = next(damage for damage in WITHIN if damage.__name__ == kind)
            while data == sources[source]:
                data = damage(bytearray(sources[source]), rng)
        yield Mutant(f"{number:04d}-{kind}-{source.replace('.', '-')}{suffix}", kind, source, data)


def _block(data: bytearray, rng: random.Random) -> tuple[int, int]:
    """Begin and end of a block: mostly short, sometimes half the file."""
    length = max(2, int(len(data) / 2 ** rng.uniform(1, 8)))
    begin = rng.randrange(max(1, len(data) - length))
    return begin, min(len(data), begin + length)


def _overwrite(data: bytearray, at: int, field: bytes) -> None:
    """Set bytes in place, as far as the file reaches."""
    data[at : at + len(field)] = field[: max(0, len(data) - at)]
