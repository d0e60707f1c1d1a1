"""Amounts, durations and measured values as people read them, on terminals, in logs and on pages."""

import re

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
LONG = 10_000
"""From here on a number is shortened, or its thousands are set apart."""


def short(number: float, unit: str = "") -> str:
    """An amount in three digits and a prefix: ``1.3 kB``, ``240 k``; below 10,000 of no unit as it is: ``1024``."""
    least = 0 if unit else LONG - 0.5
    # A number that rounds to the next power of ten counts as that power.
    size, prefix = next((step for step in PREFIXES if abs(number) >= max(0.9995 * step[0], least)), (1, ""))
    digits = 4 if not prefix and abs(number) >= 999.5 else 3
    return f"{number / size:.{digits}g} {prefix}{unit}".rstrip()


def counted(number: int, noun: str) -> str:
    """A count with its noun: ``1 run``, ``2 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time in the two largest units that matter: ``4.4 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 04 h``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s" if seconds >= 0.05 else "< 0.1 s"
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
    return f"{value:z.3f}" if abs(value) < 2 else f"{value:,.4g}" if abs(value) < LONG else f"{value:,.0f}"


def change(value: float, unit: str) -> str:
    """A difference of measured values with its sign."""
    text = f"{value:+z.1f}" if unit == "%" else f"{value:+z.3f}"
    return text.replace("-", "−")


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts k=64 before k=128."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]
