"""Small pictures of a page, as SVG and HTML text: intervals on one scale, bars, a funnel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 320
HEIGHT: Final = 22
#: Room at both ends of a scale.
MARGIN: Final = 6


@dataclass(frozen=True)
class Scale:
    """Maps values to places on a strip; zero is always in it.

    Parameters
    ----------
    low, high : float
    """

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Scale:
        """Return the scale that holds all known values.

        >>> Scale.of([3.0, None, 5.0])
        Scale(low=0.0, high=5.0)
        """
        known = [float(v) for v in values if v is not None and math.isfinite(v)]
        low, high = min([0.0, *known]), max([0.0, *known])
        return cls(low, high if high > low else low + 1.0)

    def x(self, value: float) -> float:
        """Return the place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return MARGIN + share * (WIDTH - 2 * MARGIN)


def whisker(scale: Scale, estimate: float | None, lower: float | None, upper: float | None) -> str:
    """Return an interval with its estimate and the line of zero; its colour says the sign.

    Parameters
    ----------
    scale : Scale
        Shared by the rows of a table.
    estimate, lower, upper : float or None
        Nothing is drawn where one is unknown.
    """
    zero = scale.x(0.0)
    parts = [
        f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{HEIGHT}" class="zero"/>',
    ]
    if estimate is not None and lower is not None and upper is not None:
        sign = "up" if lower > 0 else "down" if upper < 0 else "open"
        y = HEIGHT / 2
        parts += [
            f'<line x1="{scale.x(lower):.1f}" x2="{scale.x(upper):.1f}" y1="{y}" y2="{y}" '
            f'class="reach {sign}"/>',
            f'<circle cx="{scale.x(estimate):.1f}" cy="{y}" r="5" class="dot {sign}"/>',
        ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="strip" role="img" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def bar(share: float, label: str) -> str:
    """Return a bar of a share of the full width, with its label beside it."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<span class="bar"><span class="fill" style="width:{width:.1f}%"></span></span>'
        f'<span class="bar-label">{escape(label)}</span>'
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 1) -> str:
    """Return a table; cells are HTML, columns from `numbers` on stand to the right."""
    cells = "".join(
        f"<th{_right(place, numbers)}>{escape(text)}</th>" for place, text in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_right(place, numbers)}>{cell}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _right(place: int, numbers: int) -> str:
    return ' class="n"' if place >= numbers else ""


def curve(share: Sequence[float], gain: Sequence[float]) -> str:
    """Return a gain curve above the straight line of a list without order, as SVG."""
    width, height = WIDTH, WIDTH * 0.6
    low, high = min([0.0, *gain]), max([0.0, *gain])
    span = (high - low) or 1.0

    def place(x: float, y: float) -> str:
        across = MARGIN + x * (width - 2 * MARGIN)
        return f"{across:.1f},{height - MARGIN - (y - low) / span * (height - 2 * MARGIN):.1f}"

    line = " ".join(place(x, y) for x, y in zip(share, gain, strict=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        f'class="curve" role="img" aria-hidden="true">'
        f'<polyline points="{place(0, 0)} {place(1, gain[-1])}" fill="none" stroke="#999" '
        'stroke-dasharray="4 3"/>'
        f'<polyline points="{line}" fill="none" stroke="#3d6fb6" stroke-width="2.5"/></svg>'
    )
