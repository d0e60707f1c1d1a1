"""Comparisons as one table: numbers of methods, then differences of pairs, by evaluation and dataset."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Literal

from xdcbench.results.statistics.compare import Block, Comparison
from xdcbench.results.statistics.significance import LEVEL
from xdcbench.results.statistics.verdict import notes, verdict_lines
from xdcbench.results.tables.default import WORDS
from xdcbench.results.tables.grid import NOTHING
from xdcbench.results.tables.texts import CellText, Look, TextGroup, TextRow, Texts
from xdcbench.utils.format import change

MatrixFormat = Literal["txt", "md", "tex"]
STAR = "*"
LEGEND = f"{STAR} p < {LEVEL:g} after Holm's correction over the pairs of an evaluation on a dataset."


def matrix_text(
    blocks: Sequence[Block],
    names: Sequence[str],
    fmt: MatrixFormat,
    *,
    details: bool = False,
    width: int = 0,
) -> str:
    """The matrix of ``names`` in a format, with its notes; ``details`` adds each pair of runs.

    ``width`` of plain text in columns of a terminal, 0: as wide as it is.
    """
    texts = _texts(blocks, names)
    if details:
        texts = texts._replace(details=list(verdict_lines(blocks)))
    if fmt == "md":
        from xdcbench.results.tables.render import markdown

        return markdown(texts)
    if fmt == "tex":
        from xdcbench.results.tables.latex import latex

        return latex(texts, Look(details, notes=True))
    from xdcbench.results.tables.plain import plain

    return plain(texts, width)


def _texts(blocks: Sequence[Block], names: Sequence[str]) -> Texts:
    compared = [block for block in blocks if block.comparisons]
    numbers = [
        TextRow([name], [CellText(_value(block.values.get(name))) for block in compared]) for name in names
    ]
    pairs = dict.fromkeys((one.a, one.b) for block in compared for one in block.comparisons)
    differences = [
        TextRow([f"{a} − {b}"], [CellText(_difference(block, a, b)) for block in compared]) for a, b in pairs
    ]
    metric = WORDS.get(compared[0].metric, compared[0].metric)
    return Texts(
        title=f"{metric} compared on the same test items",
        labels=["method"],
        columns=[block.name for block in compared],
        groups=[
            TextGroup(f"{metric} (%)", numbers),
            TextGroup("difference (points)", differences),
        ],
        notes=list(_notes(blocks)),
        details=[],
    )


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _difference(block: Block, a: str, b: str) -> str:
    found: Comparison | None = next((one for one in block.comparisons if (one.a, one.b) == (a, b)), None)
    if found is None or found.whole is None:
        return NOTHING
    return change(found.whole.difference, "%") + (STAR if found.whole.p_holm < LEVEL else "")


def _notes(blocks: Sequence[Block]) -> Iterator[str]:
    yield LEGEND
    worlds = {"synthetic" if block.world == "synthetic" else "real" for block in blocks}
    counted = "; ".join(dict.fromkeys(_items(block) for block in blocks if block.comparisons))
    yield f"Test items in common, {' and '.join(sorted(worlds))} data: {counted}."
    yield from notes(blocks)


def _items(block: Block) -> str:
    """Where, on how many items of how many splits, and with how many seeds a block was compared."""
    duels = [one for comparison in block.comparisons for one in comparison.duels]
    sizes = sorted({one.items for one in duels})
    items = "none" if not sizes else f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    splits, seeds = (sorted({of(one) for one in duels}) for of in (attrgetter("split"), attrgetter("seed")))
    named = f"{'split' if len(splits) == 1 else 'splits'} {', '.join(splits)}"
    return f"{block.name} {items} ({named}; {len(seeds)} seed{'s' * (len(seeds) != 1)})"
