"""Records and settings as the page shows them."""

from typing import Any

from xdcbench.results.records import Record
from xdcbench.results.run_facts import flat
from xdcbench.utils.format import number

_COUNTS = {"size", "empty", "repaired"}
"""Words in the names of metrics that count items or clusters."""


def shown(record: Record) -> str:
    """The value of a record; counts are whole numbers, or halves where they are medians."""
    counted = _COUNTS & set(record.metric.split("_"))
    return f"{record.value:,.10g}" if counted else number(record.value, record.unit)


def hyperparameters(record: Record, names: set[str]) -> str:
    """Those of a record's hyperparameters that are among ``names``: ``clustering a, draw 2``."""
    return ", ".join(
        f"{name} {record.hyperparameters[name]}" for name in sorted(names & record.hyperparameters.keys())
    )


def settings(tree: dict[str, Any]) -> dict[str, str]:
    """Nested settings by dotted names, values in words."""
    return {name: _said(value) for name, value in flat(tree).items()}


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)
