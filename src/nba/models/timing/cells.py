"""Survival by recency against the personal gap: what customers in the same place did before.

Time is counted in units of each customer's own gap. Customers are sorted into cells by
how many days they bought on and by how long the last purchase lies back; a cell's
survival curve is what customers in the same place did at past cut-offs (Kaplan and
Meier, 1958), shrunk towards its parent. It asks for nothing but dates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from nba.arrays import Floats, Ints
from nba.models.base import ModelConfig
from nba.models.purchases import (
    PurchaseDays,
    PurchaseSummary,
    follow_up,
    purchases_between,
    summarise_purchases,
)
from nba.models.timing.curves import BELIEVED_GAP_DAYS, CURVE_DAYS, shrink_young, young_share

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


class CellsConfig(ModelConfig):
    """Parameters of the curves by recency and gap."""

    cutoff_step_days: Annotated[
        int, Field(ge=1, description="days between the past cut-offs that are learned from")
    ] = 30
    cutoffs: Annotated[int, Field(ge=1, description="how many past cut-offs are learned from")] = 12
    gap_prior: Annotated[
        float, Field(gt=0, description="weight of the population's gap, in own gaps")
    ] = 1.0
    cell_prior: Annotated[
        float, Field(gt=0, description="weight of the parent's curve, in customers at risk")
    ] = 5.0
    default_gap_days: Annotated[
        float, Field(gt=0, description="the gap believed in before anybody has bought twice")
    ] = BELIEVED_GAP_DAYS
    typical_gap_prior: Annotated[
        float, Field(gt=0, description="weight of that belief, in customers who came back")
    ] = 20.0
    rate_prior: Annotated[
        float,
        Field(gt=0, description="weight of the rate believed in, in gaps that customers lived"),
    ] = 10.0


@dataclass(frozen=True)
class Cells:
    """Cumulative hazards on `GRID` and purchases per gap, by cell.

    Parameters
    ----------
    gap, margin : float
        The population's gap in days, and the mean margin of a purchase day.
    gap_prior : float
        Weight of that gap in a customer's own, in own gaps.
    hazard : array, shape (GROUPS × BINS, len(GRID))
    rate : array, shape (GROUPS × BINS,)
        Purchase days per gap.
    first : float
        Number of the first day on record: how long a record is decides what it may promise.
    """

    gap: float
    margin: float
    gap_prior: float
    hazard: Floats
    rate: Floats
    first: float = 0.0

    def own_gap(self, count: Ints, gap: Floats) -> Floats:
        """Shrink personal gaps (NaN for none) towards the population's."""
        return _own_gap(count, gap, self.gap, self.gap_prior)

    def survival(self, count: Ints, since: Floats, own_gap: Floats, today: int) -> Floats:
        """Return P(no purchase in the first t days), shape (n, CURVE_DAYS + 1).

        Parameters
        ----------
        count : array of int of shape (n,)
            Days with a purchase.
        since, own_gap : arrays of shape (n,)
            Days since the last purchase (NaN for none), and what `own_gap` returned.
        today : int
            Day number of the moment.
        """
        return shrink_young(self._learned(count, since, own_gap), today - self.first)

    def _learned(self, count: Ints, since: Floats, own_gap: Floats) -> Floats:
        units = np.arange(CURVE_DAYS + 1) / own_gap[:, None]
        at = np.clip(np.searchsorted(GRID, units, side="right") - 1, 0, len(GRID) - 2)
        share = np.clip((units - GRID[at]) / (GRID[at + 1] - GRID[at]), 0.0, 1.0)
        table = self.hazard[_cell(count, since / own_gap)]
        low = np.take_along_axis(table, at, axis=1)
        high = np.take_along_axis(table, at + 1, axis=1)
        return np.asarray(np.exp(-(low + share * (high - low))))

    def purchases_per_day(self, count: Ints, since: Floats, own_gap: Floats, today: int) -> Floats:
        """Return the expected purchase days per day, shape (n,).

        Parameters
        ----------
        count, since, own_gap, today
            As in `survival`.
        """
        left = young_share(self._learned(count, since, own_gap), today - self.first)
        return np.asarray(self.rate[_cell(count, since / own_gap)] / own_gap * left)

    def arrays(self, prefix: str) -> dict[str, Floats]:
        """Return what `of_arrays` reads, by names that begin with `prefix`."""
        return {
            f"{prefix}_head": np.array([self.gap, self.margin, self.gap_prior, self.first]),
            f"{prefix}_hazard": self.hazard,
            f"{prefix}_rate": self.rate,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], prefix: str) -> Self:
        """Return the cells that `arrays` wrote."""
        gap, margin, prior, first = (float(value) for value in arrays[f"{prefix}_head"])
        return cls(gap, margin, prior, arrays[f"{prefix}_hazard"], arrays[f"{prefix}_rate"], first)


def fit_cells(log: PurchaseDays, today: int, config: CellsConfig) -> Cells:
    """Count what happened after past cut-offs before `today`, per cell."""
    known = summarise_purchases(log, today)
    gap = _typical_gap(known, today, config)
    shape = (GROUPS * BINS, len(GRID))
    died, leaving = np.zeros(shape), np.zeros(shape)
    bought, exposed = np.zeros(shape[0]), np.zeros(shape[0])
    for cutoff in _cutoffs(log, today, config):
        until = min(today, cutoff + CURVE_DAYS)
        past = summarise_purchases(log, cutoff)
        some = past.count > 0
        own = _own_gap(past.count, past.gap_median, gap, config.gap_prior)[some]
        cell = _cell(past.count[some], past.days_since[some] / own)
        after = follow_up(log, cutoff, until)
        bin_ = np.searchsorted(GRID, after.time[some] / own, side="left")
        np.add.at(died, (cell, bin_), after.event[some])
        np.add.at(leaving, (cell, bin_), 1.0)
        np.add.at(bought, cell, purchases_between(log, cutoff, until)[some])
        np.add.at(exposed, cell, (until - cutoff) / own)
    margin = float(known.margin.sum() / max(1, known.count.sum()))
    first = float(log.day.min()) if len(log.day) else float(today)
    hazard, rate = _smooth(died, leaving, bought, exposed, config)
    return Cells(gap, margin, config.gap_prior, hazard, rate, first)


def _own_gap(count: Ints, gap: Floats, typical: float, prior: float) -> Floats:
    own = np.maximum(count - 1.0, 0.0)
    return np.asarray((own * np.nan_to_num(gap) + prior * typical) / (own + prior))


def _typical_gap(known: PurchaseSummary, today: int, config: CellsConfig) -> float:
    """Return the population's gap in days, shrunk to what is believed.

    Believed are the days on record per return, begun at the default gap: those who did not
    come back count. So many customers with a gap of their own as `typical_gap_prior` weigh
    as much as the belief; among thousands their median rules.
    """
    prior = config.typical_gap_prior
    some = known.count > 0
    on_record = float((today - known.first[some]).sum())
    returns = float((known.count[some] - 1).sum())
    believed = (on_record + prior * config.default_gap_days) / (returns + prior)
    gaps = known.gap_median[~np.isnan(known.gap_median)]
    seen = np.log(np.median(gaps)) if len(gaps) else 0.0
    shrunken = (len(gaps) * seen + prior * np.log(believed)) / (len(gaps) + prior)
    return float(np.exp(shrunken))


def _cutoffs(log: PurchaseDays, today: int, config: CellsConfig) -> list[int]:
    """Return the past days to learn from; on young data they stand closer together."""
    first = int(log.day.min()) if len(log.day) else today
    step = max(1, min(config.cutoff_step_days, (today - first) // 4))
    days = [today - step * (i + 1) for i in range(config.cutoffs)]
    return [day for day in days if day > first]


def _cell(count: Ints, ratio: Floats) -> Ints:
    group = np.searchsorted(COUNT_EDGES, count, side="right")
    bin_ = np.searchsorted(RATIO_EDGES, np.nan_to_num(ratio, nan=1.0), side="right")
    return np.asarray(group * BINS + bin_)


def _smooth(
    died: Floats, leaving: Floats, bought: Floats, exposed: Floats, config: CellsConfig
) -> tuple[Floats, Floats]:
    """Return cumulative hazard and purchase rate per cell, shrunk to group and population."""
    prior, lived = config.cell_prior, config.rate_prior
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


def p_alive(survival: Floats) -> Floats:
    """Return P(any purchase within a year) of curves, the tail carried on."""
    end = survival.shape[1] - 1
    last = np.maximum(survival[:, end], 1e-12)
    rate = np.log(np.maximum(survival[:, end - 30], 1e-12) / last) / 30.0
    return np.asarray(1.0 - last * np.exp(-rate * (YEAR - end)))
