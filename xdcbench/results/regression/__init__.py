"""The regression check: numbers of a run against a reference, within bounds of measured spread."""
