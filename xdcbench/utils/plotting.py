"""Matplotlib for figures that become files, whatever the environment says of windows and notebooks.

Everything that draws imports Matplotlib from here: it refuses to be imported where MPLBACKEND names a backend that is
not installed, as that of the notebook does from which a command is started.
"""

import os

_backend = os.environ.pop("MPLBACKEND", None)
try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.image import imsave
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend

__all__ = ["Axes", "Figure", "FigureCanvasPdf", "FigureCanvasSVG", "imsave", "rc_context"]
