"""How many purchases are to come: the expectation of BG/NBD, corrected by what it misses.

A buy-till-you-die expectation knows recency and frequency. A ridge Poisson regression and
a Poisson booster, with that expectation as their offset, add what purchases of late, their
size and their regularity tell; the two are averaged. The correction is a factor, so that it
carries over to horizons longer than those that it was learned on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nba.arrays import Floats
from nba.models.purchases import PurchaseDays, purchases_between
from nba.models.timing.boosted import BoostedConfig, fit_counts
from nba.models.timing.linear import fit_poisson
from nba.models.timing.panel import NAMES, PanelBuilder, Snapshot
from nba.models.timing.season import Season

if TYPE_CHECKING:
    import lightgbm as lgb


_USED: Final = [
    NAMES.index(name)
    for name in (
        "days_since_purchase",
        "purchase_days",
        "recency_share",
        "purchases_per_week",
        "gap_days_shrunk",
        "overdue_shrunk",
        "purchase_days_30d",
        "purchase_days_90d",
        "purchase_decayed_30d",
        "purchase_decayed_120d",
        "amount_mean",
        "amount_last_ratio",
        "amount_365d",
        "quantity_mean",
        "gap_variation",
    )
]
_CURVED: Final = [0, 6, 8]
_RIDGE: Final = 20.0
_LARGEST_FACTOR: Final = 1.5  # on the log scale
_SHORTEST_WINDOW: Final = 28
_FEWEST_PURCHASES: Final = 60


@dataclass(frozen=True)
class CountCorrection:
    """The fitted correction; `trees` may be absent where there was too little to learn."""

    mean: Floats
    spread: Floats
    beta: Floats
    trees: lgb.Booster | None

    def expected(
        self,
        snapshot: Snapshot,
        horizons: Sequence[float],
        seasons: Sequence[float],
        *,
        threads: int,
    ) -> list[Floats]:
        """Return the expected number of purchase days within each of `horizons` (days).

        Parameters
        ----------
        snapshot : Snapshot
            The customers.
        horizons : sequence of float
            Days.
        seasons : sequence of float
            Mean offset of the season over each horizon, on the log scale.
        threads : int
            Of LightGBM.
        """
        by_trees = None
        if self.trees is not None:
            rows = snapshot.static.astype(np.float32)
            raw = self.trees.predict(rows, raw_score=True, num_threads=threads)
            by_trees = _factor(np.asarray(raw, dtype=np.float64))
        counts = []
        for days, season in zip(horizons, seasons, strict=True):
            base = snapshot.builder.bg.expected_purchases(snapshot.summary, days)
            matrix = _design(_raw(snapshot, base, days), self.mean, self.spread)
            factor = _factor(matrix @ self.beta)
            factor = factor if by_trees is None else (factor + by_trees) / 2.0
            counts.append(base * factor * np.exp(season))
        return counts


def _factor(logs: Floats) -> Floats:
    return np.asarray(np.exp(np.clip(logs, -_LARGEST_FACTOR, _LARGEST_FACTOR)))


def _raw(snapshot: Snapshot, base: Floats, days: float) -> Floats:
    logs = np.log(np.maximum(snapshot.static[:, _USED], 0.0) + 0.1)
    alive = snapshot.static[:, NAMES.index("p_alive_bg")]
    return np.column_stack([logs, alive, np.log(np.maximum(base, 1e-6) / days)])


def _design(raw: Floats, mean: Floats, spread: Floats) -> Floats:
    z = (raw - mean) / spread
    missing = np.isnan(z[:, [len(_USED) - 1]]).astype(np.float64)
    z = np.clip(np.nan_to_num(z), -4.0, 4.0)
    curved = z[:, [*_CURVED, len(_USED), len(_USED) + 1]] ** 2
    return np.column_stack([np.ones(len(z)), z, curved, missing])


def fit_correction(
    builder: PanelBuilder,
    log: PurchaseDays,
    cutoffs: list[int],
    until: int,
    *,
    season: Season,
    window_days: int,
    active_days: int,
    config: BoostedConfig,
    seed: int,
    threads: int,
) -> CountCorrection:
    """Learn from the purchases that followed past cut-offs, within `window_days` of each.

    Parameters
    ----------
    builder : PanelBuilder
    log : PurchaseDays
    cutoffs : list of int
        Day numbers; one with less than four weeks to `until` is left out.
    until : int
        Day number: what is bought from it on is not counted.
    season : Season
        Taken out of what is learned.
    window_days : int
        How far each cut-off looks ahead.
    active_days : int
        Who bought nothing for so many days before a cut-off is left out.
    config : BoostedConfig
    seed : int
    threads : int
    """
    raws, statics, counts, offsets = [], [], [], []
    for cutoff in cutoffs:
        days = min(window_days, until - cutoff)
        if days < _SHORTEST_WINDOW:
            continue
        snapshot = builder.at(log, cutoff).active(active_days)
        base = np.maximum(builder.bg.expected_purchases(snapshot.summary, float(days)), 1e-6)
        raws.append(_raw(snapshot, base, float(days)))
        statics.append(snapshot.static.astype(np.float32))
        counts.append(purchases_between(log, cutoff, cutoff + days)[snapshot.known])
        offsets.append(np.log(base) + season.mean(cutoff, days))
    width = len(_USED) + 2
    if sum(float(count.sum()) for count in counts) < _FEWEST_PURCHASES:
        flat = _design(np.zeros((1, width)), np.zeros(width), np.ones(width)).shape[1]
        return CountCorrection(np.zeros(width), np.ones(width), np.zeros(flat), None)
    raw, count, offset = np.concatenate(raws), np.concatenate(counts), np.concatenate(offsets)
    there = ~np.isnan(raw)
    total = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, raw, 0.0).sum(axis=0) / total
    spread = np.sqrt(np.where(there, (raw - mean) ** 2, 0.0).sum(axis=0) / total)
    spread = np.where(spread > 1e-9, spread, 1.0)
    label = count.astype(np.float64)
    beta = fit_poisson(_design(raw, mean, spread), label, offset, ridge=_RIDGE)
    rows = np.concatenate(statics)
    trees = fit_counts(rows, label, offset, config, seed=seed, threads=threads)
    return CountCorrection(mean, spread, beta, trees)
