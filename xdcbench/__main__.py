"""``python -m xdcbench``."""

import os
import sys

# Python looks for modules first in the folder that it was started in, which may hold anyone's files; os and sys are
# there already.
if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109 - pathlib may be one of these files
    del sys.path[0]

from xdcbench.cli.main import main

main()
