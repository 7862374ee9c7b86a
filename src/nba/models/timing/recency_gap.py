"""Timing by recency against the personal gap: the thin model, and a baseline ever after.

It asks for nothing but dates; `hazard` carries the same curves inside as its simple rule.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.errors import ModelError
from nba.models.base import ModelConfig, ModelInputs, TimingModel
from nba.models.purchases import (
    CUSTOMER,
    CUSTOMER_CATEGORY,
    day_number,
    purchases_of,
    read_log,
    summarise_purchases,
)
from nba.models.timing.cells import YEAR, Cells, CellsConfig, fit_cells, p_alive
from nba.models.timing.curves import (
    CURVE_DAYS,
    MoneyConfig,
    expected_dates,
    probabilities,
    with_curves,
)


class RecencyGapConfig(CellsConfig, MoneyConfig):
    """Parameters of the timing model `recency_gap`."""


class RecencyGap(TimingModel):
    """Empirical survival by purchase count and overdue ratio.

    Reads `purchases` in `fit`; in `score` reads `customer_behaviour` where it is given
    (so that friends who never bought are scored too), else `purchases`.
    """

    kind = "recency_gap"
    Config: ClassVar[type[ModelConfig]] = RecencyGapConfig
    config: RecencyGapConfig
    _cells: dict[str, Cells]

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> RecencyGap:
        """Count what happened after past cut-offs, per cell; `seed` is not needed."""
        self._cells = {"customer": self._fit_cells(training, as_of, CUSTOMER)}
        if "category" in training["purchases"].columns:
            self._cells["category"] = self._fit_cells(training, as_of, CUSTOMER_CATEGORY)
        return self

    def _fit_cells(self, training: ModelInputs, as_of: datetime, keys: tuple[str, ...]) -> Cells:
        rate = self.config.margin_rate
        log = read_log(purchases_of(training, keys), as_of=as_of, keys=keys, margin_rate=rate)
        return fit_cells(log, day_number(as_of), self.config)

    # -- scoring --------------------------------------------------------------------

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return one row per customer, sorted by `customer_id`."""
        cells = self._fitted("customer")
        known = self._customers(inputs, as_of)
        count = known["purchase_days"].to_numpy()
        since, gap = known["days_since_purchase"].to_numpy(), known["gap_days_median"].to_numpy()
        own, today = cells.own_gap(count, gap), day_number(as_of)
        survival = cells.survival(count, since, own, today)
        prior = self.config.value_prior
        margin = (known["margin_amount"].to_numpy() + prior * cells.margin) / (count + prior)
        rate = cells.purchases_per_day(count, since, own, today)
        columns = {
            **probabilities(survival),
            **expected_dates(survival),
            "overdue_ratio": np.nan_to_num(since / own),
            "p_alive": p_alive(survival),
            "expected_purchases_90d": rate * CURVE_DAYS,
            "expected_purchases_365d": rate * YEAR,
            "expected_margin_90d": rate * CURVE_DAYS * margin,
            "expected_margin_365d": rate * YEAR * margin,
        }
        return with_curves(known.select("customer_id"), columns, survival)

    def score_categories(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return one row per customer and category bought in, sorted by both."""
        cells = self._fitted("category")
        log = read_log(purchases_of(inputs, CUSTOMER_CATEGORY), as_of=as_of, keys=CUSTOMER_CATEGORY)
        today = day_number(as_of)
        past = summarise_purchases(log, today)
        own = cells.own_gap(past.count, past.gap_median)
        overdue = past.days_since / own
        survival = cells.survival(past.count, past.days_since, own, today)
        columns = {
            **probabilities(survival, (14, 30)),
            "expected_days": expected_dates(survival)["expected_days"],
            "overdue_ratio": overdue,
        }
        return with_curves(log.ids, columns)

    def _fitted(self, which: str) -> Cells:
        try:
            return self._cells[which]
        except (AttributeError, KeyError):
            raise ModelError(
                f"the timing model has no {which} curves",
                expected="a model fitted on purchases"
                + (" with a category column" if which == "category" else ""),
                found="none",
                next_step="fit it first",
            ) from None

    def _customers(self, inputs: ModelInputs, as_of: datetime) -> pl.DataFrame:
        names = ("purchase_days", "days_since_purchase", "gap_days_median", "margin_amount")
        if "customer_behaviour" in inputs:
            behaviour = inputs.require("customer_behaviour", ["customer_id", *names])
            wanted = [pl.col(name).cast(pl.Float64) for name in names[1:]]
            return behaviour.sort("customer_id").select(
                "customer_id",
                pl.col("purchase_days").cast(pl.Int64).fill_null(0),
                *wanted[:2],
                wanted[2].fill_null(0.0),
            )
        log = read_log(
            purchases_of(inputs), as_of=as_of, keys=CUSTOMER, margin_rate=self.config.margin_rate
        )
        past = summarise_purchases(log, day_number(as_of))
        values = (past.count, past.days_since, past.gap_median, past.margin)
        return log.ids.with_columns(
            **{name: pl.Series(value) for name, value in zip(names, values, strict=True)}
        )

    # -- keeping --------------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        arrays: dict[str, Floats] = {}
        for prefix, cells in self._cells.items():
            arrays |= cells.arrays(prefix)
        np.savez(folder / "cells.npz", **arrays)  # type: ignore[arg-type]

    def _read(self, folder: Path) -> None:
        with np.load(folder / "cells.npz", allow_pickle=False) as arrays:
            prefixes = [key.removesuffix("_head") for key in arrays if key.endswith("_head")]
            self._cells = {prefix: Cells.of_arrays(arrays, prefix) for prefix in prefixes}
