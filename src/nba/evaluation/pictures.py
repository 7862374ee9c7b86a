"""Pictures of a comparison, where matplotlib (the extra `plots`) is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


def empty_figure(width: float, height: float) -> Any | None:
    """Return a figure of so many inches without axes; None where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
