"""The types of arrays, named once: what a signature says of the numbers that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Single precision: what LightGBM reads, and what large blocks are kept in.
Singles = NDArray[np.float32]
#: Floating point of any width.
Reals = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: Strings as Python objects.
Names = NDArray[np.object_]
