"""nba: the next-best-action engine for social retail."""

import os

# OpenMP's threads spin while they wait: on cores that are shared, LightGBM then takes a hundred
# times as long. The variable is read once, when the first library with OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.3.0"
