"""How often a category is bought, and what an order of it earns: typical values, and one's own.

A personal gap is the geometric mean of the customer's own mean gap and of the category's typical
one, weighed by how many gaps were seen; so is the margin of an order. A customer who bought once is
due when others would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Floats

#: Gaps that the typical gap is worth, and purchase days that the typical margin is worth.
GAP_WEIGHT: Final = 1.0
MARGIN_WEIGHT: Final = 2.0
#: The typical gap where nothing was ever bought twice.
DEFAULT_GAP: Final = 60.0
SHORTEST_GAP: Final = 2.0
#: The category that stands for all that a customer buys.
EVERYTHING: Final = ""


@dataclass(frozen=True)
class Rhythm:
    """Typical gap in days and margin of an order per category; `EVERYTHING` is the fall-back.

    Parameters
    ----------
    gap, margin : mapping of str to float
    kind : mapping of str to str
        The kind of each category, where it is known.
    """

    gap: dict[str, float]
    margin: dict[str, float]
    kind: dict[str, str]

    @classmethod
    def of(cls, pairs: pl.DataFrame, customers: pl.DataFrame) -> Rhythm:
        """Return the typical values of a shop.

        Parameters
        ----------
        pairs : DataFrame
            `customer_id, category, purchase_days, days_since_purchase,
            days_since_first_purchase, margin_amount`, and `kind` where known.
        customers : DataFrame
            The same without a category, over everything a customer bought.
        """
        every = _typical(customers.with_columns(category=pl.lit(EVERYTHING)))
        by = _typical(pairs)
        kinds = {}
        if "kind" in pairs.columns:
            known = pairs.select("category", "kind").drop_nulls().sort("category", "kind")
            known = known.unique("category", keep="first", maintain_order=True)
            kinds = dict(known.iter_rows())
        found = pl.concat([every, by])
        return cls(
            dict(found.select("category", "gap").iter_rows()),
            dict(found.select("category", "margin").iter_rows()),
            kinds,
        )

    def gaps(self, category: pl.Series, times: Floats, mean_gap: Floats) -> Floats:
        """Return each pair's personal gap in days.

        Parameters
        ----------
        category : Series of n categories
        times : array of shape (n,)
            Purchase days so far.
        mean_gap : array of shape (n,)
            The mean gap between them; NaN with fewer than two.
        """
        typical = self.usual_gaps(category)
        seen = np.where(np.isfinite(mean_gap), np.maximum(times - 1.0, 0.0), 0.0)
        own = np.log(np.maximum(np.nan_to_num(mean_gap, nan=1.0), SHORTEST_GAP))
        mixed = (seen * own + GAP_WEIGHT * np.log(typical)) / (seen + GAP_WEIGHT)
        return np.asarray(np.exp(mixed))

    def usual_gaps(self, category: pl.Series) -> Floats:
        """Return the typical gap in days of each category, whoever buys it."""
        return self._of(category, self.gap, self.gap.get(EVERYTHING, DEFAULT_GAP))

    def margins(self, category: pl.Series, times: Floats, total: Floats) -> Floats:
        """Return the margin of an order of each pair: its own mean, shrunk to the category's."""
        typical = self._of(category, self.margin, self.margin.get(EVERYTHING, 0.0))
        own = np.maximum(np.nan_to_num(total), 0.0)
        bought = np.nan_to_num(times)
        return np.asarray((own + MARGIN_WEIGHT * typical) / (bought + MARGIN_WEIGHT))

    def kinds(self, category: pl.Series) -> pl.Series:
        """Return the kind of each category, `short` where it is not known."""
        return category.replace_strict(
            self.kind, default="short", return_dtype=pl.String
        ).fill_null("short")

    def _of(self, category: pl.Series, values: dict[str, float], default: float) -> Floats:
        found = category.replace_strict(values, default=default, return_dtype=pl.Float64)
        return np.asarray(found.fill_null(default).to_numpy(), dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Return what is kept of it, as JSON has it."""
        return {"gap": self.gap, "margin": self.margin, "kind": self.kind}


def _typical(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return `category, gap, margin`.

    The gap is the geometric mean of two: of those who came back (too short: whoever has a long
    gap has not come back yet), and of time passed per repeat (too long: it counts who left).
    """
    span = pl.col("days_since_first_purchase") - pl.col("days_since_purchase")
    steps = (pl.col("purchase_days") - 1).cast(pl.Float64)
    weight = steps.clip(upper_bound=5.0)
    again = steps > 0
    own = (span / steps).clip(lower_bound=SHORTEST_GAP).log()
    return (
        pairs.sort("category", "customer_id")
        .group_by("category", maintain_order=True)
        .agg(
            seen=((own * weight).filter(again).sum() / weight.filter(again).sum()).exp(),
            passed=pl.col("days_since_first_purchase").sum() / steps.sum(),
            margin=pl.col("margin_amount").cast(pl.Float64).sum() / pl.col("purchase_days").sum(),
            repeats=steps.sum(),
        )
        .select(
            pl.col("category").cast(pl.String),
            gap=pl.when(pl.col("repeats") > 0)
            .then((pl.col("seen") * pl.col("passed").clip(lower_bound=SHORTEST_GAP)).sqrt())
            .otherwise(DEFAULT_GAP)
            .fill_nan(DEFAULT_GAP)
            .fill_null(DEFAULT_GAP),
            margin=pl.col("margin").fill_nan(0.0).fill_null(0.0).clip(lower_bound=0.0),
        )
    )


def chance_without(due: Floats, gap: Floats, window_days: float) -> Floats:
    """Return the chance that the category is bought in the window without a contact.

    From a log-logistic gap with its median at the personal gap, and the chance that the customer
    still buys it, which falls once the gap is long over.

    >>> [round(float(p), 2) for p in chance_without(np.array([0.1, 1.0]), np.array([28.0]), 14.0)]
    [0.26, 0.36]
    """
    shape = 2.0
    later = due + window_days / gap
    stays = (1.0 + due**shape) / (1.0 + later**shape)
    alive = 1.0 / (1.0 + (due / 4.0) ** shape)
    return np.asarray(np.clip((1.0 - stays) * alive, 0.001, 0.95))
