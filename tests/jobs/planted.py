"""Timing models with a fault planted in each, which a trial has to find."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from nba.models.base import ModelInputs
from nba.models.timing.recency_gap import RecencyGap

#: customer_id, ts of every purchase, those after a model's `as_of` too; set by the test.
PURCHASES: list[pl.DataFrame] = []
#: customer_id of the store that is harmed; set by the test.
HARMED: list[list[str]] = []


class _Planted(RecencyGap):
    """Its chance of a purchase within 30 days is what the fault makes of the honest one."""

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        honest = super().score(inputs, as_of=as_of)
        until = as_of + timedelta(days=30)
        (purchases,) = PURCHASES
        buyers = purchases.filter((pl.col("ts") >= as_of) & (pl.col("ts") < until))
        buys = pl.col("customer_id").is_in(buyers["customer_id"].unique().implode())
        chance = pl.col("p_purchase_30d")
        return honest.with_columns(p_purchase_30d=self.faulty(chance, buys.cast(pl.Float64)))

    def faulty(self, chance: pl.Expr, buys: pl.Expr) -> pl.Expr:
        raise NotImplementedError


class Worse(_Planted):
    """Says of everybody that they will hardly come."""

    kind = "planted_worse"

    def faulty(self, chance: pl.Expr, buys: pl.Expr) -> pl.Expr:
        del buys
        return 0.02 + 0.02 * chance


class Leak(_Planted):
    """Has read what it is asked about."""

    kind = "planted_leak"

    def faulty(self, chance: pl.Expr, buys: pl.Expr) -> pl.Expr:
        return 0.03 + 0.9 * buys + 0.01 * chance


class Harm(_Planted):
    """Better on the whole, and worse for one store."""

    kind = "planted_harm"

    def faulty(self, chance: pl.Expr, buys: pl.Expr) -> pl.Expr:
        (harmed,) = HARMED
        pull = pl.when(pl.col("customer_id").is_in(harmed)).then(-0.25).otherwise(0.6)
        return chance + pull * (buys - chance)
