"""``python -m xdcbench``."""

import sys
from pathlib import Path

# Python looks for modules first in the folder that it was started in, which may hold anyone's files.
if not sys.flags.safe_path and sys.path[:1] == [str(Path.cwd())]:
    del sys.path[0]

from xdcbench.cli import main

main()
