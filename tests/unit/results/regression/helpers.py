"""References written by hand."""

from xdcbench.results.regression.reference import Reference, Spread

NAME = "xdc/kinetics400/linear_probe/kinetics400/top1"
MEAN = "xdc/kinetics400/all/all/top1"


def reference(values: dict[str, Spread], seeds: int = 8) -> Reference:
    """Of eight seeds by one and by two threads, unless stated."""
    return Reference(suite="mini", plan="0", seeds=tuple(range(seeds)), threads=(1, 2), values=values)


def within(tolerance: float, mean: float) -> Spread:
    """A spread that two numbers over eight seeds know to this tolerance."""
    unit = reference({"a/top1": Spread(mean=0.0, deviation=1.0), "b": Spread(mean=0.0)}).tolerance("a/top1")
    return Spread(mean=mean, deviation=tolerance / unit)
