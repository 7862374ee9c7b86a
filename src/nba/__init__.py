"""nba: the next-best-action engine for social retail."""

__version__ = "0.2.0"
