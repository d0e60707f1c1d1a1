"""A grid as text: Markdown, LaTeX, CSV, HTML or plain text. Marks and footnotes come with every format but CSV."""

import html
import re
from collections.abc import Callable
from typing import Literal, get_args

from xdcbench.errors import UserError
from xdcbench.results.tables.grid import Cell, Grid
from xdcbench.results.tables.texts import CellText, Look, Texts, flat, texts_of

Format = Literal["md", "tex", "csv", "html", "txt"]


def render(grid: Grid, fmt: Format, look: Look | None = None) -> str:
    """The text of a table, ending in a newline; CSV has one line per number, or per number not available here."""
    formats: dict[str, Callable[[Grid, Look], str]] = {
        "md": _markdown,
        "tex": _latex,
        "csv": _csv,
        "html": _html,
        "txt": _text,
    }
    if fmt not in formats:
        raise UserError(f"format {fmt!r} is unknown; use one of {', '.join(get_args(Format))}")
    return formats[fmt](grid, look or Look())


def _texts(grid: Grid, best: str, look: Look) -> Texts:
    texts = texts_of(grid, best)
    return texts if look.details else texts._replace(details=[])


def _csv(grid: Grid, _: Look) -> str:
    from xdcbench.results.tables.tidy import tidy

    return tidy(grid)


def _text(grid: Grid, look: Look) -> str:
    from xdcbench.results.tables.plain import BEST, plain

    return plain(_texts(grid, BEST, look), look.width)


def _latex(grid: Grid, look: Look) -> str:
    from xdcbench.results.tables.latex import BEST, latex

    return latex(_texts(grid, BEST, look), look)


def _markdown(grid: Grid, look: Look) -> str:
    return markdown(_texts(grid, "Bold", look))


def escape_markdown(text: object) -> str:
    """Text as Markdown that shows it as it is, on one line, whatever it holds."""
    escaped = re.sub(r"([\\`*\[\]|$~#!]|(?<!\w)_|_(?!\w))", r"\\\1", flat(text))
    return html.escape(escaped, quote=False)


def markdown(texts: Texts) -> str:
    """A pipe table below its title, each group below a row of its own title; notes and details as lists."""
    from tabulate import tabulate

    empty = [""] * (len(texts.labels) + len(texts.columns) - 1)
    lines = []
    for group in texts.groups:
        lines.append([f"*{escape_markdown(group.title)}*", *empty])
        lines += [[*map(escape_markdown, row.labels), *map(_markdown_cell, row.cells)] for row in group.rows]
    header = list(map(escape_markdown, (*texts.labels, *texts.columns)))
    align = ["left"] * len(texts.labels) + ["right"] * len(texts.columns) if lines else None
    table = tabulate(lines, header, tablefmt="pipe", disable_numparse=True, colalign=align)
    parts = [f"### {escape_markdown(texts.title)}", table, _items(texts.notes)]
    return "\n\n".join([*parts, *([_items(texts.details)] if texts.details else [])]) + "\n"


def _items(notes: list[str]) -> str:
    return "\n".join(f"- {escape_markdown(note)}" for note in notes)


def _markdown_cell(cell: CellText) -> str:
    number = escape_markdown(cell.text)
    return " ".join(filter(None, [f"**{number}**" if cell.best else number, escape_markdown(cell.delta)]))


def _escape(text: object) -> str:
    return html.escape(flat(text))


def _html(grid: Grid, look: Look) -> str:
    texts = _texts(grid, "Bold", look)
    header = "".join(f'<th scope="col">{_escape(name)}</th>' for name in (*texts.labels, *texts.columns))
    width = len(texts.labels) + len(texts.columns)
    lines = ["<table>", f"<caption>{_escape(texts.title)}</caption>", f"<thead><tr>{header}</tr></thead>"]
    for group, shown in zip(grid.groups, texts.groups, strict=True):
        title = f'<th scope="rowgroup" colspan="{width}">{_escape(shown.title)}</th>'
        lines += ["<tbody>", f"<tr>{title}</tr>"]
        for row, made in zip((*group.rows, *group.chance), shown.rows, strict=True):
            heads = "".join(f'<th scope="row">{_escape(label)}</th>' for label in made.labels)
            cells = zip(row.cells, made.cells, strict=True)
            numbers = "".join(f"<td{_origin(cell)}>{_html_cell(text)}</td>" for cell, text in cells)
            lines.append(f"<tr>{heads}{numbers}</tr>")
        lines.append("</tbody>")
    notes = "".join(f"<li>{_escape(note)}</li>" for note in (*texts.notes, *texts.details))
    lines += [f'<tfoot><tr><td colspan="{width}"><ul>{notes}</ul></td></tr></tfoot>'] if notes else []
    return "\n".join([*lines, "</table>"]) + "\n"


def _html_cell(cell: CellText) -> str:
    number = f"<strong>{_escape(cell.text)}</strong>" if cell.best else _escape(cell.text)
    return f"{number} <small>{_escape(cell.delta)}</small>" if cell.delta else number


def _origin(cell: Cell) -> str:
    beside = f"published: {cell.reference.source}" if cell.reference else ""
    origin = " ".join((*cell.runs, beside)).strip() or cell.source or cell.absent
    return f' title="{_escape(origin)}"' if origin else ""
