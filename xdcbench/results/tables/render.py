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


class _Style(NamedTuple):
    """How a format shows text and emphasis: templates with one ``{}``, and the names of the emphases."""

    escape: Callable[[object], str]
    best: str
    second: str
    delta: str = "{}"
    group: str = "{}"
    best_name: str = "Bold"
    second_name: str = "Underlined"


class _Texts(NamedTuple):
    """All texts of a table, escaped: ``groups`` have a title and rows, of labels and then cells."""

    title: str
    header: list[str]
    groups: list[tuple[str, list[list[str]]]]
    notes: list[str]


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


def _texts(grid: Grid, style: _Style) -> _Texts:
    """The notes begin with what emphasis means, where some cell has it."""
    ranks = {cell.rank for group in grid.groups for row in group.rows for cell in row.cells}
    names = {"best": style.best_name, "second": style.second_name}
    said = ", ".join(f"{name}: the {rank}" for rank, name in names.items() if rank in ranks)
    notes = [f"{said} of the group's measured numbers in a column."] if said else []
    return _Texts(
        style.escape(grid.title),
        [style.escape(name) for name in (*grid.header, *grid.columns)],
        [
            (
                style.group.format(style.escape(group.title)),
                [[*map(style.escape, r.shown), *(_cell(c, style) for c in r.cells)] for r in group.rows],
            )
            for group in grid.groups
        ],
        [style.escape(note) for note in (*notes, *grid.footnotes)],
    )


def _cell(cell: Cell, style: _Style) -> str:
    template = {"best": style.best, "second": style.second, "": "{}"}[cell.rank]
    delta = f" {style.delta.format(style.escape(cell.delta_text))}" if cell.delta_text else ""
    return template.format(style.escape(cell.text)) + delta


def _table(grid: Grid, texts: _Texts, style: str) -> str:
    """A table in a style of tabulate's, each group below a row of its own title."""
    empty = [""] * (len(texts.header) - 1)
    lines = [line for title, rows in texts.groups for line in ([title, *empty], *rows)]
    align = ["left"] * len(grid.fields) + ["right"] * len(grid.columns) if lines else None
    return tabulate(lines, texts.header, tablefmt=style, disable_numparse=True, colalign=align)


def escape_markdown(text: object) -> str:
    """Text as Markdown that shows it as it is, on one line, whatever it holds."""
    escaped = re.sub(r"([\\`*\[\]|$~#!]|(?<!\w)_|_(?!\w))", r"\\\1", _flat(text))
    return html.escape(escaped, quote=False)


_MARKDOWN = _Style(escape_markdown, best="**{}**", second="<u>{}</u>", group="*{}*")
_TEXT = _Style(_flat, best="*{}", second="_{}", group="[{}]", best_name="*", second_name="_")


def _markdown(grid: Grid) -> str:
    texts = _texts(grid, _MARKDOWN)
    notes = "\n".join(f"- {note}" for note in texts.notes)
    return f"### {texts.title}\n\n{_table(grid, texts, 'pipe')}\n\n{notes}\n"


def _text(grid: Grid) -> str:
    texts = _texts(grid, _TEXT)
    notes = "\n".join(f"  {note}" for note in texts.notes)
    return f"{texts.title}\n\n{_table(grid, texts, 'simple')}\n\n{notes}\n"


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


def _escape_latex(text: object) -> str:
    return _flat(text).translate(_LATEX_SIGNS)


_LATEX = _Style(
    _escape_latex,
    best=r"\textbf{{{}}}",
    second=r"\underline{{{}}}",
    delta=r"{{\small {}}}",
    group=r"\emph{{{}}}",
)


def _latex(grid: Grid) -> str:
    texts = _texts(grid, _LATEX)
    lines = []
    for title, rows in texts.groups:
        lines += [r"\midrule", rf"\multicolumn{{{len(texts.header)}}}{{l}}{{{title}}} \\"]
        lines += [rf"{' & '.join(cells)} \\" for cells in rows]
    label = re.sub(r"[^a-z0-9]+", "-", grid.title.lower()).strip("-")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{texts.title}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{'l' * len(grid.fields)}{'r' * len(grid.columns)}}}",
            r"\toprule",
            rf"{' & '.join(texts.header)} \\",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\smallskip",
            rf"{{\footnotesize {' '.join(texts.notes)}\par}}",
            r"\end{table}",
            "",
        ]
    )


def _escape_html(text: object) -> str:
    return html.escape(_flat(text))


_HTML = _Style(_escape_html, best="<strong>{}</strong>", second="<u>{}</u>", delta="<small>{}</small>")


def _html(grid: Grid) -> str:
    texts, width, labels = _texts(grid, _HTML), len(grid.fields) + len(grid.columns), len(grid.fields)
    header = "".join(f'<th scope="col">{name}</th>' for name in texts.header)
    lines = ["<table>", f"<caption>{texts.title}</caption>", f"<thead><tr>{header}</tr></thead>"]
    for group, (title, rows) in zip(grid.groups, texts.groups, strict=True):
        lines += ["<tbody>", f'<tr><th scope="rowgroup" colspan="{width}">{title}</th></tr>']
        for row, cells in zip(group.rows, rows, strict=True):
            heads = "".join(f'<th scope="row">{label}</th>' for label in cells[:labels])
            numbers = zip(row.cells, cells[labels:], strict=True)
            lines.append(f"<tr>{heads}{''.join(f'<td{_origin(c)}>{text}</td>' for c, text in numbers)}</tr>")
        lines.append("</tbody>")
    notes = "".join(f"<li>{note}</li>" for note in texts.notes)
    lines += [f'<tfoot><tr><td colspan="{width}"><ul>{notes}</ul></td></tr></tfoot>'] if notes else []
    return "\n".join([*lines, "</table>"]) + "\n"


def _origin(cell: Cell) -> str:
    beside = f"published: {cell.reference.source}" if cell.reference else ""
    origin = " ".join((*cell.runs, beside)).strip() or cell.source or cell.absent
    return f' title="{_escape_html(origin)}"' if origin else ""


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
