"""What a model reads, then and now: the index by hand, and the furthest first."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from nba.evaluation.drift import MOVED, drift_table, stability_index


def test_the_index_is_the_sum_over_bins() -> None:
    """Two bins of a half each become three quarters and a quarter."""
    before, now = np.array([0.0, 1.0] * 50), np.array([0.0, 0.0, 0.0, 1.0] * 25)
    by_hand = 0.25 * math.log(0.75 / 0.5) - 0.25 * math.log(0.25 / 0.5)
    assert stability_index(before, now) == pytest.approx(by_hand, abs=0.01)


def test_the_furthest_stands_first_and_missing_values_count() -> None:
    rng = np.random.default_rng(1)
    old = pl.DataFrame({"customer_id": "A", "same": rng.normal(size=500), "moved": 0.0, "gone": 1})
    new = old.with_columns(moved=pl.Series(rng.normal(size=500)), gone=pl.lit(None, pl.Int32))
    table = drift_table({"view": old, "other": old}, {"view": new})
    rows = {row["feature"]: row for row in table.to_dicts()}
    assert list(rows)[-1] == "same"
    assert rows["same"]["stability_index"] == pytest.approx(0.0)
    assert min(rows["moved"]["stability_index"], rows["gone"]["stability_index"]) > MOVED
    assert (rows["gone"]["missing_now"], rows["gone"]["mean_now"]) == (1.0, None)
    assert drift_table({}, {}).is_empty()
