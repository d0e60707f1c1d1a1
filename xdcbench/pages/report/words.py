"""Numbers and names as the page shows them."""

from typing import Any

from xdcbench.results.records import Record

_COUNTS = {"size", "empty", "repaired"}
"""Words in the names of metrics that count items or clusters."""


def duration(seconds: float) -> str:
    """Time in the two largest units that matter: ``4.4 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 04 h``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "< 0.1 s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def number(value: float, unit: str = "") -> str:
    """A measured value: one decimal for per cent, three for measures between 0 and 1, four digits for others."""
    if unit == "%":
        return f"{value:z.1f}"
    return f"{value:z.3f}" if abs(value) < 2 else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def shown(record: Record) -> str:
    """The value of a record; counts are whole numbers, or halves where they are medians."""
    counted = _COUNTS & set(record.metric.split("_"))
    return f"{record.value:,.10g}" if counted else number(record.value, record.unit)


def change(value: float, unit: str) -> str:
    """A difference with its sign."""
    text = f"{value:+z.1f}" if unit == "%" else f"{value:+z.3f}"
    return text.replace("-", "−")


def factors(record: Record, names: set[str]) -> str:
    """Those of a record's factors that are among ``names``: ``clustering a, draw 2``."""
    return ", ".join(f"{name} {record.factors[name]}" for name in sorted(names & record.factors.keys()))


def flat(tree: dict[str, Any], above: str = "") -> dict[str, str]:
    """Nested settings by dotted names, values in words."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = _said(value)
    return found


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)
