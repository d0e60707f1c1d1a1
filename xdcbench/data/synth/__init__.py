"""A synthetic world: class-tied motion and sound, written as files in the layouts of real data sets."""

from xdcbench.data.synth.write import write_world

__all__ = ["write_world"]
