"""One of several parts of a list, as tasks of an array of jobs share work: ``2/4`` is the second of four."""

import re
from dataclasses import dataclass

from xdcbench.errors import UserError

PATTERN = re.compile(r"0*([1-9]\d{0,5})/0*([1-9]\d{0,5})", re.ASCII)


@dataclass(frozen=True)
class Part:
    """A part by its number, from 1, and the number of all."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """The part that ``I/N`` names.

        Raises:
            UserError: it names none.
        """
        found = PATTERN.fullmatch(text)
        part = cls(*map(int, found.groups())) if found else None
        if part is None or part.number > part.count:
            raise UserError(f"--part {text!r} is no part. Try: I/N with I from 1 to N, e.g. 1/4 to 4/4")
        return part

    @property
    def slice(self) -> slice:
        """Every N-th item of a list from the I-th on; the parts differ by one item at most."""
        return slice(self.number - 1, None, self.count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
