"""Timing by recency against the personal gap: the thin model, and a baseline ever after.

Time is counted in units of each customer's own gap. Customers are sorted into cells by
how many days they bought on and by how long the last purchase lies back; a cell's
survival curve is what customers in the same place did at past cut-offs (Kaplan and
Meier, 1958), shrunk towards its parent. It asks for nothing but dates.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from nba.arrays import Floats, Ints
from nba.errors import ModelError
from nba.models.base import ModelConfig, ModelInputs, TimingModel
from nba.models.purchases import (
    CUSTOMER,
    CUSTOMER_CATEGORY,
    PurchaseDays,
    PurchaseSummary,
    day_number,
    follow_up,
    purchases_between,
    purchases_of,
    read_log,
    summarise_purchases,
)
from nba.models.timing.curves import (
    CURVE_DAYS,
    MoneyConfig,
    expected_dates,
    probabilities,
    with_curves,
)

#: Lower edges of the groups by number of purchase days; 0 has never bought.
COUNT_EDGES = np.array([1, 2, 3, 6])
#: Lower edges of the bins by days since the last purchase / own gap.
RATIO_EDGES = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0])
#: Grid of time in units of the own gap: fine up to four gaps, then by factors.
GRID = np.concatenate([np.arange(0.0, 4.0, 0.125), np.geomspace(4.0, 400.0, 28)])
GROUPS = len(COUNT_EDGES) + 1
BINS = len(RATIO_EDGES) + 1
YEAR = 365.0
#: Purchases per gap that are believed in before any were seen: half of a shop's customers go on.
BELIEVED_RATE = 0.5


class RecencyGapConfig(MoneyConfig):
    """Parameters of the timing model `recency_gap`."""

    cutoff_step_days: Annotated[
        int, Field(ge=1, description="days between the past cut-offs that are learned from")
    ] = 30
    cutoffs: Annotated[int, Field(ge=1, description="how many past cut-offs are learned from")] = 12
    gap_prior: Annotated[
        float, Field(gt=0, description="weight of the population's gap, in own gaps")
    ] = 1.0
    cell_prior: Annotated[
        float, Field(gt=0, description="weight of the parent's curve, in customers at risk")
    ] = 50.0
    default_gap_days: Annotated[
        float, Field(gt=0, description="the gap believed in before anybody has bought twice")
    ] = 60.0
    typical_gap_prior: Annotated[
        float, Field(gt=0, description="weight of that belief, in customers who came back")
    ] = 20.0
    rate_prior: Annotated[
        float,
        Field(gt=0, description="weight of the rate believed in, in gaps that customers lived"),
    ] = 10.0


class _Cells:
    """Cumulative hazards on `GRID` and purchases per gap; arrays (GROUPS × BINS, …)."""

    def __init__(self, gap: float, hazard: Floats, rate: Floats, margin: float) -> None:
        self.gap, self.hazard, self.rate, self.margin = gap, hazard, rate, margin

    def curves(self, cell: Ints, own_gap: Floats) -> Floats:
        """Return survival of shape (n, CURVE_DAYS + 1)."""
        units = np.arange(CURVE_DAYS + 1) / own_gap[:, None]
        at = np.clip(np.searchsorted(GRID, units, side="right") - 1, 0, len(GRID) - 2)
        share = np.clip((units - GRID[at]) / (GRID[at + 1] - GRID[at]), 0.0, 1.0)
        table = self.hazard[cell]
        low = np.take_along_axis(table, at, axis=1)
        high = np.take_along_axis(table, at + 1, axis=1)
        return np.asarray(np.exp(-(low + share * (high - low))))

    def arrays(self, prefix: str) -> dict[str, Floats]:
        head = np.array([self.gap, self.margin])
        return {
            f"{prefix}_head": head,
            f"{prefix}_hazard": self.hazard,
            f"{prefix}_rate": self.rate,
        }


class RecencyGap(TimingModel):
    """Empirical survival by purchase count and overdue ratio.

    Reads `purchases` in `fit`; in `score` reads `customer_behaviour` where it is given
    (so that friends who never bought are scored too), else `purchases`.
    """

    kind = "recency_gap"
    Config: ClassVar[type[ModelConfig]] = RecencyGapConfig
    config: RecencyGapConfig
    _cells: dict[str, _Cells]

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> RecencyGap:
        """Count what happened after past cut-offs, per cell; `seed` is not needed."""
        self._cells = {"customer": self._fit_cells(training, as_of, CUSTOMER)}
        if "category" in training["purchases"].columns:
            self._cells["category"] = self._fit_cells(training, as_of, CUSTOMER_CATEGORY)
        return self

    def _fit_cells(self, training: ModelInputs, as_of: datetime, keys: tuple[str, ...]) -> _Cells:
        config = self.config
        log = read_log(
            purchases_of(training, keys), as_of=as_of, keys=keys, margin_rate=config.margin_rate
        )
        today = day_number(as_of)
        known = summarise_purchases(log, today)
        gap = self._typical_gap(known, today)
        shape = (GROUPS * BINS, len(GRID))
        died, leaving = np.zeros(shape), np.zeros(shape)
        bought, exposed = np.zeros(shape[0]), np.zeros(shape[0])
        for cutoff in self._cutoffs(log, today):
            until = min(today, cutoff + CURVE_DAYS)
            past = summarise_purchases(log, cutoff)
            some = past.count > 0
            own = self._own_gap(past.count, past.gap_median, gap)[some]
            cell = self._cell(past.count[some], past.days_since[some] / own)
            after = follow_up(log, cutoff, until)
            bin_ = np.searchsorted(GRID, after.time[some] / own, side="left")
            np.add.at(died, (cell, bin_), after.event[some])
            np.add.at(leaving, (cell, bin_), 1.0)
            np.add.at(bought, cell, purchases_between(log, cutoff, until)[some])
            np.add.at(exposed, cell, (until - cutoff) / own)
        margin = float(known.margin.sum() / max(1, known.count.sum()))
        return _Cells(gap, *self._smooth(died, leaving, bought, exposed), margin)

    def _typical_gap(self, known: PurchaseSummary, today: int) -> float:
        """Return the population's gap in days, shrunk to what is believed.

        Believed are the days on record per return, begun at the default gap: those who did not
        come back count. So many customers with a gap of their own as `typical_gap_prior` weigh
        as much as the belief; among thousands their median rules.
        """
        prior = self.config.typical_gap_prior
        some = known.count > 0
        on_record = float((today - known.first[some]).sum())
        returns = float((known.count[some] - 1).sum())
        believed = (on_record + prior * self.config.default_gap_days) / (returns + prior)
        gaps = known.gap_median[~np.isnan(known.gap_median)]
        seen = np.log(np.median(gaps)) if len(gaps) else 0.0
        shrunken = (len(gaps) * seen + prior * np.log(believed)) / (len(gaps) + prior)
        return float(np.exp(shrunken))

    def _cutoffs(self, log: PurchaseDays, today: int) -> list[int]:
        """Return the past days to learn from; on young data they stand closer together."""
        first = int(log.day.min()) if len(log.day) else today
        step = max(1, min(self.config.cutoff_step_days, (today - first) // 4))
        days = [today - step * (i + 1) for i in range(self.config.cutoffs)]
        return [day for day in days if day > first]

    def _cell(self, count: Ints, ratio: Floats) -> Ints:
        group = np.searchsorted(COUNT_EDGES, count, side="right")
        bin_ = np.searchsorted(RATIO_EDGES, np.nan_to_num(ratio, nan=1.0), side="right")
        return np.asarray(group * BINS + bin_)

    def _own_gap(self, count: Ints, gap: Floats, typical: float) -> Floats:
        """Shrink the personal gap towards the population's."""
        own, prior = np.maximum(count - 1.0, 0.0), self.config.gap_prior
        return np.asarray((own * np.nan_to_num(gap) + prior * typical) / (own + prior))

    def _smooth(
        self, died: Floats, leaving: Floats, bought: Floats, exposed: Floats
    ) -> tuple[Floats, Floats]:
        """Return cumulative hazard and purchase rate per cell, shrunk to group and population."""
        prior, lived = self.config.cell_prior, self.config.rate_prior
        at_risk = leaving[:, ::-1].cumsum(axis=1)[:, ::-1]
        width = np.diff(GRID, prepend=0.0)
        per_gap = (died.sum() + BELIEVED_RATE * lived) / ((at_risk * width).sum() + lived)
        hazard = 1.0 - np.exp(-per_gap * width)
        hazard = (died.sum(axis=0) + prior * hazard) / (at_risk.sum(axis=0) + prior)
        level = (bought.sum() + BELIEVED_RATE * lived) / (exposed.sum() + lived)
        up = (np.arange(GROUPS * BINS)[:, None] // BINS == np.arange(GROUPS)).astype(np.float64)
        group_hazard = (up.T @ died + prior * hazard) / (up.T @ at_risk + prior)
        group_level = (up.T @ bought + prior * level) / (up.T @ exposed + prior)
        # who never bought is taken for a one-time customer
        group_hazard[0], group_level[0] = group_hazard[1], group_level[1]
        cells = (died + prior * (up @ group_hazard)) / (at_risk + prior)
        rate = (bought + prior * (up @ group_level)) / (exposed + prior)
        return np.cumsum(-np.log1p(-np.clip(cells, 0.0, 1.0 - 1e-9)), axis=1), rate

    # -- scoring --------------------------------------------------------------------

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return one row per customer, sorted by `customer_id`."""
        cells = self._fitted("customer")
        known = self._customers(inputs, as_of)
        count = known["purchase_days"].to_numpy()
        since, gap = known["days_since_purchase"].to_numpy(), known["gap_days_median"].to_numpy()
        own = self._own_gap(count, gap, cells.gap)
        cell = self._cell(count, since / own)
        survival = cells.curves(cell, own)
        prior = self.config.value_prior
        margin = (known["margin_amount"].to_numpy() + prior * cells.margin) / (count + prior)
        rate = cells.rate[cell] / own  # purchase days per day
        columns = {
            **probabilities(survival),
            **expected_dates(survival),
            "overdue_ratio": np.nan_to_num(since / own),
            "p_alive": _p_alive(survival),
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
        past = summarise_purchases(log, day_number(as_of))
        own = self._own_gap(past.count, past.gap_median, cells.gap)
        overdue = past.days_since / own
        survival = cells.curves(self._cell(past.count, overdue), own)
        columns = {
            **probabilities(survival, (14, 30)),
            "expected_days": expected_dates(survival)["expected_days"],
            "overdue_ratio": overdue,
        }
        return with_curves(log.ids, columns)

    def _fitted(self, which: str) -> _Cells:
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
            self._cells = {
                prefix: _Cells(
                    float(arrays[f"{prefix}_head"][0]),
                    arrays[f"{prefix}_hazard"],
                    arrays[f"{prefix}_rate"],
                    float(arrays[f"{prefix}_head"][1]),
                )
                for prefix in prefixes
            }


def _p_alive(survival: Floats) -> Floats:
    """Return P(any purchase within a year), the tail of the curve carried on."""
    end = survival.shape[1] - 1
    last = np.maximum(survival[:, end], 1e-12)
    rate = np.log(np.maximum(survival[:, end - 30], 1e-12) / last) / 30.0
    return np.asarray(1.0 - last * np.exp(-rate * (YEAR - end)))
