"""A retail world with known truth."""

from nba.simulation.config import Family, Preset, WorldConfig
from nba.simulation.world import DayOutcome, World, simulate

__all__ = ["DayOutcome", "Family", "Preset", "World", "WorldConfig", "simulate"]
