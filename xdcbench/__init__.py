"""Benchmarks for self-supervised learning from sound and video."""

__version__ = "0.1.0"
