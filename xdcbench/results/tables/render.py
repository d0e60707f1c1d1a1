"""A grid as text: Markdown, LaTeX, CSV, HTML or plain text. Marks and footnotes come with every format."""

import csv
import html
import io
import re
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from tabulate import tabulate

from xdcbench.errors import UserError
from xdcbench.results.tables.grid import Cell, Grid

Format = Literal["md", "tex", "csv", "html", "txt"]


class _Emphasis(NamedTuple):
    """How a format shows parts of a table: templates with one ``{}``, and the names of the emphases."""

    best: str
    second: str
    delta: str
    group: str
    best_name: str = "Bold"
    second_name: str = "Underlined"


def render(grid: Grid, fmt: Format) -> str:
    """The text of a table, ending in a newline; CSV has one line per number, or per number not available here."""
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


def _flat(text: object) -> str:
    """Text on one line, without control characters."""
    return "".join(c for c in " ".join(str(text).split()) if c.isprintable())


def _header(grid: Grid) -> list[str]:
    return [*grid.header, *grid.columns]


def _notes(grid: Grid, emphasis: _Emphasis) -> list[str]:
    """Footnotes, with what emphasis means where some cell has it."""
    ranks = {cell.rank for group in grid.groups for row in group.rows for cell in row.cells}
    names = {"best": emphasis.best_name, "second": emphasis.second_name}
    said = ", ".join(f"{name}: the {rank}" for rank, name in names.items() if rank in ranks)
    return [*([f"{said} of the group's measured numbers in a column."] if said else []), *grid.footnotes]


def _cell(cell: Cell, escape: Callable[[str], str], emphasis: _Emphasis) -> str:
    template = {"best": emphasis.best, "second": emphasis.second, "": "{}"}[cell.rank]
    delta = f" {emphasis.delta.format(escape(cell.delta_text))}" if cell.delta_text else ""
    return template.format(escape(cell.text)) + delta


def _body(grid: Grid, escape: Callable[[str], str], emphasis: _Emphasis) -> list[list[str]]:
    """Rows of escaped text, each group below a row of its own title."""
    lines = []
    for part in grid.groups:
        title = emphasis.group.format(escape(part.title))
        lines.append([title, *[""] * (len(grid.fields) + len(grid.columns) - 1)])
        for row in part.rows:
            lines.append([*map(escape, row.shown), *(_cell(cell, escape, emphasis) for cell in row.cells)])
    return lines


def _aligned(grid: Grid, lines: list[list[str]], header: list[str], style: str) -> str:
    align = ["left"] * len(grid.fields) + ["right"] * len(grid.columns)
    return tabulate(lines, header, tablefmt=style, disable_numparse=True, colalign=align if lines else None)


# ---------------------------------------------------------------------------------- Markdown and text


_MARKDOWN = _Emphasis(best="**{}**", second="<u>{}</u>", delta="{}", group="*{}*")
_TEXT = _Emphasis(best="*{}", second="_{}", delta="{}", group="[{}]", best_name="*", second_name="_")


def escape_markdown(text: object) -> str:
    """Text as Markdown that shows it as it is, on one line, whatever it holds."""
    escaped = re.sub(r"([\\`*\[\]|$~#!]|(?<!\w)_|_(?!\w))", r"\\\1", _flat(text))
    return html.escape(escaped, quote=False)


def _markdown(grid: Grid) -> str:
    lines = _body(grid, escape_markdown, _MARKDOWN)
    table = _aligned(grid, lines, [escape_markdown(name) for name in _header(grid)], "pipe")
    notes = "\n".join(f"- {escape_markdown(note)}" for note in _notes(grid, _MARKDOWN))
    return f"### {escape_markdown(grid.title)}\n\n{table}\n\n{notes}\n"


def _text(grid: Grid) -> str:
    lines = _body(grid, _flat, _TEXT)
    table = _aligned(grid, lines, [_flat(name) for name in _header(grid)], "simple")
    notes = "\n".join(f"  {_flat(note)}" for note in _notes(grid, _TEXT))
    return f"{_flat(grid.title)}\n\n{table}\n\n{notes}\n"


# ---------------------------------------------------------------------------------------------- LaTeX

_LATEX = _Emphasis(
    best=r"\textbf{{{}}}", second=r"\underline{{{}}}", delta=r"{{\small {}}}", group=r"\emph{{{}}}"
)
_LATEX_SIGNS = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after a line's \\ a bracket would open its argument
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "±": r"$\pm$",
        "—": "---",
        "−": "$-$",
    }
)


def _escape_latex(text: str) -> str:
    return _flat(text).translate(_LATEX_SIGNS)


def _latex(grid: Grid) -> str:
    header = " & ".join(map(_escape_latex, _header(grid)))
    lines = []
    for cells in _body(grid, _escape_latex, _LATEX):
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
            rf"{{\footnotesize {' '.join(map(_escape_latex, _notes(grid, _LATEX)))}\par}}",
            r"\end{table}",
            "",
        ]
    )


# ----------------------------------------------------------------------------------------------- HTML


_HTML = _Emphasis(best="<strong>{}</strong>", second="<u>{}</u>", delta="<small>{}</small>", group="{}")


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
    notes = "".join(f"<li>{_escape_html(note)}</li>" for note in _notes(grid, _HTML))
    foot = f'<tfoot><tr><td colspan="{width}"><ul>{notes}</ul></td></tr></tfoot>\n' if notes else ""
    caption = f"<caption>{_escape_html(grid.title)}</caption>"
    head = f"<thead><tr>{header}</tr></thead>"
    return "\n".join(["<table>", caption, head, *bodies]) + f"\n{foot}</table>\n"


def _html_cell(cell: Cell) -> str:
    beside = f"published: {cell.reference.source}" if cell.reference else ""
    origin = " ".join((*cell.runs, beside)).strip() or cell.source or cell.absent
    title = f' title="{_escape_html(origin)}"' if origin else ""
    return f"<td{title}>{_cell(cell, _escape_html, _HTML)}</td>"


# ------------------------------------------------------------------------------------------------ CSV


_CSV_CELL = (
    *("value", "spread", "n", "low", "high", "unit", "items_used", "items_expected", "items_failed"),
    *("dataset", "fingerprint", "subset", "split", "seeds", "runs", "status", "source", "rank"),
    *("published", "published_status", "published_source", "delta", "reason"),
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
                if cell.value is not None or cell.absent:
                    names = (group.title, *row.labels, row.setting, column)
                    writer.writerow([*map(_name, names), *_csv_cell(cell)])
    return file.getvalue()


def _csv_cell(cell: Cell) -> list[str | float | int | None]:
    beside = cell.reference
    return [
        *(cell.value, cell.spread, cell.n, *(cell.interval or (None, None)), cell.unit),
        *(cell.items_used, cell.items_expected, cell.items_failed),
        *map(_name, (cell.dataset, cell.fingerprint, cell.subset)),
        *(_name(" ".join(values)) for values in (cell.splits, cell.seeds, cell.runs)),
        *(cell.status or "unavailable", _name(cell.source), cell.rank),
        *((beside.value, beside.status, _name(beside.source)) if beside else (None, "", "")),
        None if cell.delta is None else round(cell.delta, 6),
        _name(cell.absent),
    ]
