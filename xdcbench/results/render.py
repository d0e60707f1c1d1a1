"""A grid as text: Markdown, LaTeX, CSV, HTML or plain text. Marks and footnotes come with every format."""

import csv
import html
import io
import re
from collections.abc import Callable
from typing import Literal, get_args

from tabulate import tabulate

from xdcbench.errors import UserError
from xdcbench.results.cells import Cell, Grid

Format = Literal["md", "tex", "csv", "html", "txt"]

_BEST = "the best of the group's measured numbers in a column"


def render(grid: Grid, fmt: Format) -> str:
    """The text of a table, ending in a newline; CSV is the full form, with one line per number.

    Raises:
        UserError: no such format.
    """
    formats: dict[str, Callable[[Grid], str]] = {
        "md": _markdown,
        "tex": _latex,
        "csv": _csv,
        "html": _html,
        "txt": _text,
    }
    if fmt not in formats:
        raise UserError(f"format {fmt!r} is unknown; use one of {', '.join(get_args(Format))}")
    return formats[fmt](grid)


def _flat(text: str) -> str:
    """Text on one line, without control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _header(grid: Grid) -> list[str]:
    names = {"method": "method", "pretrain_data": "pretraining data"}
    return [*(names.get(f, f.removeprefix("factors.")) for f in grid.fields), *grid.columns]


def _notes(grid: Grid, bold: str) -> list[str]:
    """Footnotes, with what emphasis means where some cell has it; ``bold`` names the emphasis."""
    emphasised = any(cell.bold for group in grid.groups for row in group.rows for cell in row.cells)
    return [*([f"{bold}: {_BEST}."] if emphasised else []), *grid.footnotes]


def _body(grid: Grid, escape: Callable[[str], str], bold: str, group: str) -> list[list[str]]:
    """Rows of escaped text, each group below a row of its own title; templates have one ``{}``."""
    lines = []
    for part in grid.groups:
        lines.append([group.format(escape(part.title)), *[""] * (len(grid.fields) + len(grid.columns) - 1)])
        for row in part.rows:
            cells = (bold.format(escape(c.text)) if c.bold else escape(c.text) for c in row.cells)
            lines.append([*map(escape, row.shown), *cells])
    return lines


def _aligned(grid: Grid, lines: list[list[str]], header: list[str], style: str) -> str:
    align = ["left"] * len(grid.fields) + ["right"] * len(grid.columns)
    return tabulate(lines, header, tablefmt=style, disable_numparse=True, colalign=align if lines else None)


# ---------------------------------------------------------------------------------- Markdown and text


def _escape_markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*\[\]|$~#]|(?<!\w)_|_(?!\w))", r"\\\1", _flat(text))
    return html.escape(escaped, quote=False)


def _markdown(grid: Grid) -> str:
    lines = _body(grid, _escape_markdown, "**{}**", "*{}*")
    table = _aligned(grid, lines, [_escape_markdown(name) for name in _header(grid)], "pipe")
    notes = "\n".join(f"- {_escape_markdown(note)}" for note in _notes(grid, "Bold"))
    return f"### {_escape_markdown(grid.title)}\n\n{table}\n\n{notes}\n"


def _text(grid: Grid) -> str:
    lines = _body(grid, _flat, "*{}", "[{}]")
    table = _aligned(grid, lines, [_flat(name) for name in _header(grid)], "simple")
    notes = "\n".join(f"  {_flat(note)}" for note in _notes(grid, "*"))
    return f"{_flat(grid.title)}\n\n{table}\n\n{notes}\n"


# ---------------------------------------------------------------------------------------------- LaTeX

_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "[": "{[}",  # after a line's \\ a bracket would open its argument
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "±": r"$\pm$",
        "—": "---",
    }
)


def _escape_latex(text: str) -> str:
    return _flat(text).translate(_LATEX)


def _latex(grid: Grid) -> str:
    header = " & ".join(map(_escape_latex, _header(grid)))
    lines = []
    for cells in _body(grid, _escape_latex, r"\textbf{{{}}}", r"\emph{{{}}}"):
        if len(cells) > 1 and not any(cells[1:]):
            lines += [r"\midrule", rf"\multicolumn{{{len(cells)}}}{{l}}{{{cells[0]}}} \\"]
        else:
            lines.append(rf"{' & '.join(cells)} \\")
    label = re.sub(r"[^a-z0-9]+", "-", grid.title.lower()).strip("-")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape_latex(grid.title)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{'l' * len(grid.fields)}{'r' * len(grid.columns)}}}",
            r"\toprule",
            rf"{header} \\",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\smallskip",
            rf"{{\footnotesize {' '.join(map(_escape_latex, _notes(grid, 'Bold')))}\par}}",
            r"\end{table}",
            "",
        ]
    )


# ----------------------------------------------------------------------------------------------- HTML


def _escape_html(text: str) -> str:
    return html.escape(_flat(text))


def _html(grid: Grid) -> str:
    header = "".join(f'<th scope="col">{_escape_html(name)}</th>' for name in _header(grid))
    width = len(grid.fields) + len(grid.columns)
    bodies = []
    for group in grid.groups:
        title = f'<tr><th scope="rowgroup" colspan="{width}">{_escape_html(group.title)}</th></tr>'
        rows = (
            "<tr>"
            + "".join(f'<th scope="row">{_escape_html(label)}</th>' for label in row.shown)
            + "".join(map(_html_cell, row.cells))
            + "</tr>"
            for row in group.rows
        )
        bodies.append("<tbody>\n" + "\n".join([title, *rows]) + "\n</tbody>")
    notes = "".join(f"<li>{_escape_html(note)}</li>" for note in _notes(grid, "Bold"))
    foot = f'<tfoot><tr><td colspan="{width}"><ul>{notes}</ul></td></tr></tfoot>\n' if notes else ""
    caption = f"<caption>{_escape_html(grid.title)}</caption>"
    head = f"<thead><tr>{header}</tr></thead>"
    return "\n".join(["<table>", caption, head, *bodies]) + f"\n{foot}</table>\n"


def _html_cell(cell: Cell) -> str:
    origin = " ".join(cell.runs) or cell.source
    title = f' title="{_escape_html(origin)}"' if origin else ""
    text = _escape_html(cell.text)
    return f"<td{title}>{f'<strong>{text}</strong>' if cell.bold else text}</td>"


# ------------------------------------------------------------------------------------------------ CSV


_CSV_CELL = (
    *("value", "spread", "n", "low", "high", "unit", "items_used", "items_expected", "items_failed"),
    *("dataset", "fingerprint", "subset", "split", "seeds", "runs", "status", "source", "bold"),
)


def _name(text: str) -> str:
    """A name on one line that no spreadsheet takes for a formula."""
    flat = _flat(text)
    return f"'{flat}" if flat.startswith(("=", "+", "-", "@")) else flat


def _csv(grid: Grid) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["group", *grid.fields, "setting", "column", *_CSV_CELL])
    for group in grid.groups:
        for row in group.rows:
            for column, cell in zip(grid.columns, row.cells, strict=True):
                if cell.value is not None:
                    names = (group.title, *row.labels, row.setting, column)
                    writer.writerow([*map(_name, names), *_csv_cell(cell)])
    return file.getvalue()


def _csv_cell(cell: Cell) -> list[str | float | int | None]:
    return [
        *(cell.value, cell.spread, cell.n, *(cell.interval or (None, None)), cell.unit),
        *(cell.items_used, cell.items_expected, cell.items_failed),
        *map(_name, (cell.dataset, cell.fingerprint, cell.subset)),
        *(_name(" ".join(values)) for values in (cell.splits, cell.seeds, cell.runs)),
        *(cell.status, _name(cell.source), "yes" if cell.bold else "no"),
    ]
