"""Planted worlds: tests with known truth, for the learner and the experiments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nba.arrays import Floats


def planted(
    kind: str, rows: int, seed: int, *, size: float = 0.04
) -> tuple[Floats, npt.NDArray[np.int64], Floats, Floats]:
    """Return columns, arm, binary outcome and the true means of three arms."""
    rng = np.random.default_rng(seed)
    x = np.c_[
        rng.normal(size=(rows, 4)),
        rng.integers(0, 2, (rows, 2)),
        rng.exponential(size=(rows, 2)),
        rng.integers(0, 5, (rows, 1)),
    ].astype(np.float64)
    base = 0.15 + 0.04 * np.tanh(x[:, 0]) + 0.03 * x[:, 4] + 0.01 * (x[:, 8] - 2)
    mean = np.column_stack([base, base + 1.35 * size, base + 1.7 * size])
    if kind == "linear":
        mean[:, 1] += size * x[:, 1]
        mean[:, 2] -= 0.8 * size * x[:, 1]
    elif kind == "step":
        mean[:, 1] += 1.5 * size * np.where(x[:, 5] == 1, 1, -1)
        mean[:, 2] += 1.5 * size * np.where(x[:, 6] > 1, 1, -1)
    elif kind == "xor":
        mean[:, 1] += 2 * size * np.sign(x[:, 0] * x[:, 1])
        mean[:, 2] -= 2 * size * np.sign(x[:, 0] * x[:, 1])
    elif kind != "none":
        raise ValueError(kind)
    arm = rng.integers(0, 3, rows)
    outcome = (rng.uniform(size=rows) < mean[np.arange(rows), arm]).astype(np.float64)
    return x, arm, outcome, mean
