"""Benchmarks for self-supervised learning from audio and video."""

__version__ = "0.1.0"
