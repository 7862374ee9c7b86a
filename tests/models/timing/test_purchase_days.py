"""The log of purchase days: what a customer bought on each day."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.testing import assert_array_equal

from nba.models.purchases.days import read_log

AS_OF = datetime(2026, 1, 1)


def _lines(rows: int, customers: int, seed: int) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    days = draw.integers(1, 30, rows)
    return pl.DataFrame(
        {
            "customer_id": [f"c{number}" for number in draw.integers(0, customers, rows)],
            "ts": [AS_OF - timedelta(days=int(day), hours=int(day) % 7) for day in days],
            "amount": draw.lognormal(3.0, 1.0, rows),
            "margin": np.where(draw.random(rows) < 0.1, np.nan, draw.lognormal(2.0, 1.0, rows)),
            "quantity": draw.integers(-1, 4, rows).astype(np.float64),
        }
    ).with_columns(pl.col("margin").fill_nan(None))


def test_days_are_what_a_plain_loop_adds_up() -> None:
    lines = _lines(3_000, 60, 1)
    log = read_log(lines, as_of=AS_OF, margin_rate=0.4)
    sums: dict[tuple[str, int], list[float]] = {}
    for row in lines.filter(pl.col("quantity") > 0).iter_rows(named=True):
        day = (row["ts"].date() - datetime(1970, 1, 1).date()).days
        margin = 0.4 * row["amount"] if row["margin"] is None else row["margin"]
        at = sums.setdefault((row["customer_id"], day), [0.0] * 4)
        for place, value in enumerate((row["amount"], margin, row["quantity"], 1.0)):
            at[place] += value
    owner = log.ids["customer_id"].gather(log.entity).to_list()
    assert list(zip(owner, log.day.tolist(), strict=True)) == sorted(sums)
    found = np.column_stack([log.amount, log.margin, log.quantity, log.lines])
    np.testing.assert_allclose(found, np.array([sums[key] for key in sorted(sums)]), rtol=1e-12)


def test_sums_are_the_same_to_the_last_bit_each_time_and_in_any_order() -> None:
    lines = _lines(40_000, 500, 2)
    first = read_log(lines, as_of=AS_OF)
    for turn in range(4):
        again = read_log(lines.sample(fraction=1.0, shuffle=True, seed=turn), as_of=AS_OF)
        for name in ("start", "day", "amount", "margin", "quantity", "lines"):
            assert_array_equal(getattr(again, name), getattr(first, name), strict=True)


def test_nobody_has_bought() -> None:
    log = read_log(_lines(10, 3, 3).clear(), as_of=AS_OF)
    assert (log.entities, len(log.day), log.ids.columns) == (0, 0, ["customer_id"])
