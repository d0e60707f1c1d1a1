"""Large numbers as people read them."""

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(number: float) -> str:
    """Three digits and a prefix, a unit to follow: ``1.3 M``."""
    size, prefix = next((step for step in PREFIXES if number >= step[0]), (1, ""))
    return f"{number / size:.3g} {prefix}"
