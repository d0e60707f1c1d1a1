"""Bars on a terminal, one below the other, with log lines above them."""

import time
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Rows
from rich.table import Column
from rich.text import Text

from xdcbench.utils.format import duration, short
from xdcbench.utils.progress_state import Progress
from xdcbench.utils.shown import printable
from xdcbench.utils.terminal import lines_on

WIDE, NARROW = 110, 70
"""Columns of a terminal from which on rates and notes are shown, and below which there is room for no bar."""

COUNT, LEFT, NOTE = 13, 18, 26
"""Columns of a row's count, time left and note."""


class TimeLeft(ProgressColumn):
    """The time left, which runs down between two changes; ``least`` says that it is longer."""

    def render(self, task: Task) -> Text:
        """The time in words, or nothing where it is not known."""
        until = task.fields["until"]
        if until is None:
            return Text("")
        left = duration(max(0.0, until - time.monotonic()))
        return Text(f"> {left} left" if task.fields["least"] else f"{left} left", style="cyan")


class Bars(AbstractContextManager["Bars"]):
    """Rows of a name, a bar, a count and the time left; while it is entered, log lines appear above them."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        width = self.console.width
        bar = 16 if width >= NARROW else 0
        note = NOTE if width >= WIDE else 0
        name = max(8, width - (bar + COUNT + LEFT + note + 4))
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False, table_column=_column(name)),
            *([BarColumn(bar_width=bar)] if bar else ()),
            TextColumn("{task.fields[count]}", markup=False, table_column=_column(COUNT)),
            TimeLeft(table_column=_column(LEFT)),
        ]
        if note:
            columns.append(
                TextColumn("{task.fields[note]}", style="dim", markup=False, table_column=_column(note))
            )
        self.rows = Rows(*columns, console=self.console, transient=True)
        self.lines = lines_on(self.console)

    def __enter__(self) -> "Bars":
        self.lines.__enter__()
        self.rows.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.rows.stop()
        self.lines.__exit__(None, None, None)

    def add(self, label: str, total: int | None = None) -> TaskID:
        """A new row at the end; without a total its bar says that something is at work."""
        return self.rows.add_task(printable(label), total=total, count="", note="", until=None, least=False)

    def remove(self, row: TaskID) -> None:
        """Take a row away."""
        self.rows.remove_task(row)

    def show(self, row: TaskID, at: Progress) -> None:
        """Show in a row how far its work is."""
        left = (at.total - at.done) / at.rate if at.rate > 0 else None
        rate = f"{short(at.rate)}/s" if at.rate else ""
        self._update(row, at.done, at.total, left)
        self.rows.update(row, description=printable(at.label), note=printable(f"{rate}  {at.note}".strip()))

    def show_count(self, row: TaskID, done: int, total: int, left: float | None, *, least: bool) -> None:
        """Show in a row that so much is done, and that ``left`` seconds remain, or at ``least`` so many."""
        self._update(row, done, total, left)
        self.rows.update(row, least=least)

    def _update(self, row: TaskID, done: int, total: int, left: float | None) -> None:
        until = None if left is None else time.monotonic() + left
        count = f"{done}/{total}" if total else str(done or "")
        self.rows.update(row, completed=done, total=total or None, count=count, until=until)


def _column(width: int) -> Column:
    """A column of one line, cut where it is wider."""
    return Column(no_wrap=True, overflow="ellipsis", max_width=width)
