"""How far a piece of work is."""

from typing import NamedTuple


class Progress(NamedTuple):
    """How far a piece of work is: items ``done`` of ``total``, of which ``rate`` are done in a second."""

    label: str
    done: int
    total: int
    rate: float
    note: str = ""
