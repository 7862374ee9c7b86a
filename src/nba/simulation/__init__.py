"""A retail world with known truth."""

from nba.simulation.config import Preset, WorldConfig
from nba.simulation.world import DayOutcome, World, simulate

__all__ = ["DayOutcome", "Preset", "World", "WorldConfig", "simulate"]
