"""Tables as LaTeX: booktabs and siunitx, numbers aligned at the point."""

import re
from collections.abc import Iterator, Sequence
from string import ascii_lowercase

from xdcbench.results.tables.build import REAL
from xdcbench.results.tables.letters import LETTERS
from xdcbench.results.tables.texts import CellText, Look, Texts

BEST = "Bold"
_NUMBER = re.compile(r"([+−-]?)(\d+)\.(\d+)(?![\d.])")
_LATIN = re.compile(r"[\u0000-\u024f\u2010-\u2026†‡—−]*")
_SIGNS = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after a line's \\ a bracket would open its argument
        **{
            raised: rf"\textsuperscript{{{plain}}}"
            for raised, plain in zip(LETTERS, ascii_lowercase.replace("q", ""), strict=True)
        },
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "±": r"$\pm$",
        "—": "---",
        "−": "$-$",
    }
)


def escape_latex(text: str) -> str:
    """Text as LaTeX that shows it as it is."""
    return text.translate(_SIGNS)


def latex(texts: Texts, look: Look) -> str:
    """The tabular, with notes below it if asked for; in a float where there is a caption or a label."""
    span = len(texts.labels) + len(texts.columns)
    lines = list(_tabular(texts, span))
    if look.notes:
        notes = [*texts.notes, *(texts.details if look.details else [])]
        lines += [r"\par\smallskip", rf"{{\footnotesize {' '.join(map(escape_latex, notes))}\par}}"]
    if look.caption or look.label:
        caption = look.caption or escape_latex(re.sub(r"^Table \d+: ", "", texts.title))
        label = [rf"\label{{{look.label}}}"] if look.label else []
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", *label, *lines, r"\end{table}"]
    return "\n".join([*_comments(texts), *lines, ""])


def _comments(texts: Texts) -> Iterator[str]:
    yield f"% {texts.title}"
    yield r"% \usepackage{booktabs,siunitx}"
    names = [
        *texts.labels,
        *texts.columns,
        *(name for group in texts.groups for row in group.rows for name in row.labels),
    ]
    if not all(_LATIN.fullmatch(name) for name in names):
        yield "% Some names need XeLaTeX or LuaLaTeX, and a font that has their letters."


def _tabular(texts: Texts, span: int) -> Iterator[str]:
    columns = [
        [row.cells[i] for group in texts.groups for row in group.rows] for i in range(len(texts.columns))
    ]
    yield rf"\begin{{tabular}}{{{'l' * len(texts.labels)}{''.join(map(_specification, columns))}}}"
    yield r"\toprule"
    header = [*map(escape_latex, texts.labels), *(f"{{{escape_latex(name)}}}" for name in texts.columns)]
    yield rf"{' & '.join(header)} \\"
    for group in texts.groups:
        yield r"\midrule"
        if len(texts.groups) > 1 or group.title != REAL:
            yield rf"\multicolumn{{{span}}}{{l}}{{\emph{{{escape_latex(group.title)}}}}} \\"
        for row in group.rows:
            yield rf"{' & '.join([*map(escape_latex, row.labels), *map(_cell, row.cells)])} \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _specification(column: Sequence[CellText]) -> str:
    """A column of siunitx, with room for the longest number, a sign if one has it, and the longest text behind one."""
    found = [match for match in (_NUMBER.match(cell.text) for cell in column) if match]
    if not found:
        return "r"
    sign = "+" if any(match[1] for match in found) else ""
    plus = ",retain-explicit-plus" if any(match[1] == "+" for match in found) else ""
    whole, part = (max(len(match[i]) for match in found) for i in (2, 3))
    behind = max((_behind(cell) for cell in column if _NUMBER.match(cell.text)), key=len)
    room = f",table-space-text-post={{{behind}}}" if behind else ""
    return f"S[table-format={sign}{whole}.{part},detect-weight,mode=text{plus}{room}]"


def _behind(cell: CellText) -> str:
    """What stands behind the number, as LaTeX."""
    rest = escape_latex(_NUMBER.sub("", cell.text, count=1))
    return rest + (rf" {{\small {escape_latex(cell.delta)}}}" if cell.delta else "")


def _cell(cell: CellText) -> str:
    number = _NUMBER.match(cell.text)
    if number is None:
        return f"{{{escape_latex(cell.whole)}}}"
    behind = (r"\mdseries{}" if cell.best and _behind(cell) else "") + _behind(cell)
    parts = [
        r"\bfseries" if cell.best else "",
        number[0].replace("−", "-"),
        f"{{{behind}}}" if behind else "",
    ]
    return " ".join(filter(None, parts))


def open_latex(text: str) -> bool:
    """Whether the braces that follow LaTeX text would not close it: it has a comment, or braces that do not pair."""
    plain, depth = re.sub(r"\\.", "", text), 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "%" or depth < 0:
            return True
    return depth != 0 or plain.endswith("\\")
