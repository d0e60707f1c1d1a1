"""The finished table: cells with all that is needed to judge a number, in rows and groups."""

from dataclasses import dataclass
from typing import Literal

from xdcbench.config.table import Chart
from xdcbench.results.published import MARKS, Status
from xdcbench.results.records import Record
from xdcbench.utils.format import LONG, change

NOTHING, ABSENT = "—", "n/a"


@dataclass(frozen=True)
class Reference:
    """The published number that a measured one is compared with; ``value`` in per cent, ``source`` its row's id."""

    value: float
    status: Status
    source: str


@dataclass(frozen=True)
class Cell:
    """A number, or nothing (``value`` None), with its origin.

    ``spread`` is the sample standard deviation over the ``n`` seeds, None below two. Item counts are
    sums over splits, each with its worst seed. ``splits_missing`` are the dataset's splits that some
    seed lacks. ``interval`` holds the ends of the 95 % interval from the test items, where it was asked for
    and there is one. ``source`` is the id of a published row, ``status`` "" where there is no number.
    ``guesses`` holds the per cent that a guess gets, and for top-1 the most frequent class; None where that is unknown.
    ``rank`` is "best" where a test tells the number from others of its column, ``p`` is Holm's adjusted p of its
    difference from the best, None without a test. ``counted`` says what the items are: those that were tested, or
    those that were learned from. ``status`` is "chance" in a row of guesses.
    ``differs`` says what the protocol of a published number does unlike this project's, and ``letter`` is the mark of
    the footnote that says it.
    ``absent`` says why a number that a suite asks for cannot be measured on this machine, "" otherwise.
    """

    value: float | None = None
    spread: float | None = None
    n: int = 0
    interval: tuple[float, float] | None = None
    unit: str = ""
    frames: int | None = None
    splits: tuple[str, ...] = ()
    splits_missing: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    items_used: int | None = None
    items_expected: int | None = None
    items_failed: int | None = None
    counted: Literal["test", "training"] = "test"
    status: Status | Literal["measured", "chance", ""] = ""
    source: str = ""
    metric: str = ""
    higher_is_better: bool = True
    dataset: str = ""
    fingerprint: str = ""
    subset: str = ""
    guesses: tuple[float, float | None] | None = None
    absent: str = ""
    reference: Reference | None = None
    rank: Literal["best", ""] = ""
    p: float | None = None
    differs: str = ""
    letter: str = ""

    @property
    def runs(self) -> tuple[str, ...]:
        """Keys of the runs behind the number, sorted."""
        return tuple(sorted({record.run for record in self.records}))

    @property
    def digits(self) -> int:
        """Decimals shown: one for per cent, three for measures between 0 and 1."""
        return 1 if self.unit == "%" else 3

    @property
    def parts(self) -> dict[str, str]:
        """What a reader sees, in parts: ``value``, ``spread``, ``interval`` and ``mark``; "" where there is none."""
        d = self.digits
        if self.value is None or self.status == "":
            said = "" if self.status == "chance" else ABSENT if self.absent else NOTHING
            return {"value": said, "spread": "", "interval": "", "mark": ""}
        return {
            "value": f"{self.value:z.{d}f}",
            "spread": "" if self.spread is None else f"± {self.spread:z.{d}f}",
            "interval": "" if self.interval is None else "[{:z.{d}f}, {:z.{d}f}]".format(*self.interval, d=d),
            "mark": ("" if self.status == "measured" or self.status == "chance" else MARKS[self.status])
            + self.letter,
        }

    @property
    def text(self) -> str:
        """All parts: ``74.2 ± 0.3 [71.0, 77.1]`` or ``74.2†``; emphasis is the renderer's."""
        *numbers, mark = self.parts.values()
        return " ".join(filter(None, numbers)) + mark

    @property
    def ends(self) -> tuple[float, float] | None:
        """What a bar spans: one deviation over seeds to both sides, or else the interval."""
        if self.value is None or self.spread is None:
            return self.interval
        return self.value - self.spread, self.value + self.spread

    @property
    def delta(self) -> float | None:
        """Measured minus published, in points."""
        if self.value is None or self.reference is None:
            return None
        return self.value - self.reference.value

    @property
    def delta_text(self) -> str:
        """The difference with its sign and the mark of the published number: ``(−0.7†)``, "" without one."""
        if self.delta is None or self.reference is None:
            return ""
        return f"({change(self.delta, '%')}{MARKS[self.reference.status]})"

    @property
    def test_items(self) -> tuple[object, ...]:
        """What two numbers must share to be ranked: the test items and the frames of each clip."""
        return self.fingerprint, self.subset, self.splits, self.frames


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns, under the labels that name the row.

    ``setting`` tells rows of equal labels apart ("" where there is one).
    """

    labels: tuple[str, ...]
    setting: str
    cells: tuple[Cell, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """Labels, long numbers with separators, the first with the setting in brackets."""
        first, *others = (_separated(label) for label in self.labels)
        return (f"{first} ({self.setting})" if self.setting else first, *others)


@dataclass(frozen=True)
class Group:
    """Rows that may be compared with each other; ``chance`` are rows of what guesses get there."""

    title: str
    rows: tuple[Row, ...]
    chance: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A finished table, before it takes a format.

    ``fields`` name the labels, ``columns`` the cells; ``chart`` says how it is drawn, if at all. ``footnotes`` are
    what a reader needs, ``details`` where the numbers come from.
    """

    title: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    footnotes: tuple[str, ...]
    chart: Chart | None = None
    details: tuple[str, ...] = ()

    @property
    def runs(self) -> frozenset[str]:
        """Keys of the runs whose numbers it shows."""
        return frozenset(
            key for group in self.groups for row in group.rows for cell in row.cells for key in cell.runs
        )

    @property
    def header(self) -> list[str]:
        """What the labels are, in words."""
        names = {"pretrain_data": "pretraining data", "pretrain_items": "pretraining items"}
        return [names.get(name, name.removeprefix("hyperparameters.")) for name in self.fields]


def _separated(label: str) -> str:
    return f"{int(label):,}" if label.isdecimal() and int(label) >= LONG else label
