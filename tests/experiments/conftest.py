"""The played world of the simulation's tests, for what plays policies in it."""

from __future__ import annotations

from tests.simulation.conftest import Played, played

__all__ = ["Played", "played"]
