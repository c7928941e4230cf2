"""Figures of matplotlib without a display: no backend and no ``matplotlibrc`` of the user's decides whether they work.

Both are read when matplotlib is imported, and a backend that is not installed fails that: ``MPLBACKEND`` is inherited
from notebooks. Import matplotlib through here alone; its ``pyplot`` looks for a backend, and is used nowhere.
"""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray

logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its font cache otherwise


def blank_figure(**options: Any) -> "Figure":
    """``matplotlib.figure.Figure(**options)``, to be drawn as pixels."""
    with _own_settings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(**options)
    FigureCanvasAgg(figure)
    return figure


def picture(figure: "Figure") -> "ndarray":
    """The figure as ``(3, height, width)`` bytes."""
    import numpy
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return numpy.asarray(canvas.buffer_rgba())[:, :, :3].transpose(2, 0, 1)


@contextmanager
def _own_settings() -> Iterator[None]:
    """The environment in which matplotlib takes the settings that it comes with."""
    before = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        os.environ["MATPLOTLIBRC"] = str(Path(found.origin).parent / "mpl-data" / "matplotlibrc")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
