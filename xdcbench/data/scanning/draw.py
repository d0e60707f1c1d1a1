"""Splits drawn by hash."""

import hashlib


def draw(names: list[str], test_share: float) -> dict[str, str]:
    """Part of each name by its hash; of two or more names, at least one is on each side."""
    at = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 for name in names}
    parts = {name: "test" if place < test_share else "train" for name, place in at.items()}
    if len(names) > 1:
        parts[min(at, key=at.__getitem__)] = "test"
        parts[max(at, key=at.__getitem__)] = "train"
    return parts
