"""Comparisons as one table: numbers of methods, then differences of pairs, by evaluation and dataset."""

from collections.abc import Sequence
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
    """Methods and pairs below each other, or evaluations, whichever are more."""
    compared = [block for block in blocks if block.comparisons]
    pairs = list(dict.fromkeys((one.a, one.b) for block in compared for one in block.comparisons))
    metric = WORDS.get(compared[0].metric, compared[0].metric)
    title = f"{metric} compared on the same test items"
    if len(compared) > len(names) + len(pairs):
        rows = [TextRow([block.name], _across(block, names, pairs)) for block in compared]
        columns = [*names, *(f"{a} − {b}" for a, b in pairs), "items", "splits", "seeds"]
        group = TextGroup(f"{metric} (%), differences in points; {_worlds(blocks)} data", rows)
        return Texts(title, ["evaluation"], columns, [group], [LEGEND, *notes(blocks)], [])
    numbers = [
        TextRow([name], [CellText(_value(block.values.get(name))) for block in compared]) for name in names
    ]
    differences = [
        TextRow([f"{a} − {b}"], [CellText(_difference(block, a, b)) for block in compared]) for a, b in pairs
    ]
    groups = [TextGroup(f"{metric} (%)", numbers), TextGroup("difference (points)", differences)]
    counts = "; ".join(map(_counts, compared))
    said = [LEGEND, f"Test items in common, {_worlds(blocks)} data: {counts}.", *notes(blocks)]
    return Texts(title, ["method"], [block.name for block in compared], groups, said, [])


def _across(block: Block, names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[CellText]:
    """Numbers and differences of one evaluation, and on how many items, which splits and how many seeds."""
    numbers = [_value(block.values.get(name)) for name in names]
    differences = [_difference(block, a, b) for a, b in pairs]
    splits, seeds = _places(block)
    return [CellText(text) for text in (*numbers, *differences, _items(block), ", ".join(splits), f"{seeds}")]


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _difference(block: Block, a: str, b: str) -> str:
    found: Comparison | None = next((one for one in block.comparisons if (one.a, one.b) == (a, b)), None)
    if found is None or found.whole is None:
        return NOTHING
    return change(found.whole.difference, "%") + (STAR if found.whole.p_holm < LEVEL else "")


def _worlds(blocks: Sequence[Block]) -> str:
    return " and ".join(sorted({"synthetic" if block.world == "synthetic" else "real" for block in blocks}))


def _counts(block: Block) -> str:
    """Where, on how many items of which splits, and with how many seeds a block was compared."""
    splits, seeds = _places(block)
    named = f"{'split' if len(splits) == 1 else 'splits'} {', '.join(splits)}"
    return f"{block.name} {_items(block)} ({named}; {seeds} seed{'s' * (seeds != 1)})"


def _places(block: Block) -> tuple[list[str], int]:
    """The splits and the number of seeds on which the pairs of a block were compared."""
    duels = [one for comparison in block.comparisons for one in comparison.duels]
    return sorted({one.split for one in duels}), len({one.seed for one in duels})


def _items(block: Block) -> str:
    """On how many items of a split its pairs were compared."""
    sizes = sorted({one.items for comparison in block.comparisons for one in comparison.duels})
    return "none" if not sizes else f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
