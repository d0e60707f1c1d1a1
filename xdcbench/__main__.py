"""``python -m xdcbench``."""

from xdcbench.cli import main

main()
