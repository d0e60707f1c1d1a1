"""Benchmarks for self-supervised learning from audio and video."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdcbench.api import load_encoder as load_encoder
    from xdcbench.api import read_records as read_records
    from xdcbench.api import run_suite as run_suite
    from xdcbench.api import table as table

__version__ = "0.1.0"
__all__ = ["load_encoder", "read_records", "run_suite", "table"]


def __getattr__(name: str) -> Any:
    """One of ``__all__``, imported when it is first used, so that ``import xdcbench`` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from xdcbench import api

    return getattr(api, name)
