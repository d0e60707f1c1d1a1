"""Tables as plain text: aligned by the widths of characters, in blocks of columns where a terminal is narrow."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from xdcbench.results.tables.texts import CellText, TextRow, Texts
from xdcbench.utils.wrapping import wrapped

BEST = "*"
GAP = 2


def plain(texts: Texts, width: int = 0) -> str:
    """Title, table, notes and details; ``width`` in columns of a terminal, 0: as wide as the table is.

    A table that is too wide is cut into blocks of columns, each with the labels. Where labels leave no room for that,
    each row becomes a list.
    """
    parts = [wrapped(texts.title, width), *_bodies(texts, width)]
    parts += [_notes(notes, width) for notes in (texts.notes, texts.details) if notes]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _notes(notes: Sequence[str], width: int) -> list[str]:
    return [line for note in notes for line in wrapped(f"  {note}", width)]


def _cell(cell: CellText) -> str:
    return f"{BEST if cell.best else ''}{cell.whole}"


def _bodies(texts: Texts, width: int) -> Iterator[list[str]]:
    labels = [
        _widest([name, *(row.labels[i] for row in _rows(texts))]) for i, name in enumerate(texts.labels)
    ]
    columns = [
        _widest([name, *(_cell(row.cells[i]) for row in _rows(texts))])
        for i, name in enumerate(texts.columns)
    ]
    room = width - sum(labels) - GAP * len(labels)
    if width and max(columns, default=0) > room:
        yield from _lists(texts, width)
        return
    for some in _blocks(columns, room) if width else [range(len(columns))]:
        yield list(_block(texts, some, labels, [columns[i] for i in some]))


def _rows(texts: Texts) -> list[TextRow]:
    return [row for group in texts.groups for row in group.rows]


def _widest(of: Sequence[str]) -> int:
    return max(map(cell_len, of))


def _blocks(columns: Sequence[int], room: int) -> list[range]:
    """Columns that stand side by side in so much room, at least one each."""
    starts, used = [0], 0
    for i, column in enumerate(columns):
        used += column + (GAP if i > starts[-1] else 0)
        if used > room and i > starts[-1]:
            starts.append(i)
            used = column
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(columns)], strict=True)]


def _block(texts: Texts, some: range, labels: Sequence[int], widths: Sequence[int]) -> Iterator[str]:
    def line(names: Sequence[str], cells: Sequence[str]) -> str:
        left = (name + " " * (n - cell_len(name)) for name, n in zip(names, labels, strict=True))
        right = (" " * (n - cell_len(cell)) + cell for cell, n in zip(cells, widths, strict=True))
        return (" " * GAP).join([*left, *right]).rstrip()

    yield line(texts.labels, [texts.columns[i] for i in some])
    yield line(["-" * n for n in labels], ["-" * n for n in widths])
    for group in texts.groups:
        yield f"[{group.title}]"
        for row in group.rows:
            cells = [_cell(row.cells[i]) for i in some]
            # Chance is known in some columns only: no row of it in a block of others.
            if any(cells):
                yield line(row.labels, cells)


def _lists(texts: Texts, width: int) -> Iterator[list[str]]:
    """Each row as its labels and a line per number."""
    for group in texts.groups:
        yield wrapped(f"[{group.title}]", width)
        for row in group.rows:
            lines = wrapped(", ".join(filter(None, row.labels)), width)
            for name, cell in zip(texts.columns, row.cells, strict=True):
                if cell.text:
                    lines += wrapped(f"  {name}: {_cell(cell)}", width)
            yield lines
