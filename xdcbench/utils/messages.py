"""Parts of messages: lists of values, and a name that is not known."""

import difflib
from collections.abc import Iterable


def unknown_name(what: str, value: str, known: Iterable[str]) -> str:
    """A message for a name that is not among ``known``, with the nearest of them."""
    known = list(known)
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {comma_separated(known)}"
    return f"unknown {what} {value!r}; {hint}"


def comma_separated(values: Iterable[str]) -> str:
    """Comma-separated values for a message, or a word for none."""
    return ", ".join(values) or "none"


def first_line(error: Exception) -> str:
    """What an error says, in one line; of the system, its own words."""
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or (str(error).splitlines() or [type(error).__name__])[0]
