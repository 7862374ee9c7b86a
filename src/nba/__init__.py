"""nba: the next-best-action engine for social retail."""

__version__ = "0.1.0"
