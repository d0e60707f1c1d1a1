"""A synthetic world: class-tied motion and audio, written as files in the layouts of real datasets."""

from xdcbench.data.synthetic.write import write_world

__all__ = ["write_world"]
