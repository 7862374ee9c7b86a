"""What the hazard knows of a customer at a cut-off, from the purchase log alone.

Computed here, for any past cut-off, in arrays: decayed and windowed counts, the shape of
the gaps, the same weeks a year ago, the size of purchases. The feature store holds recency,
frequency, sums and gaps too (`customer_behaviour`); these go beyond it, and a model that is
trained at forty cut-offs wants them for the price of a binary search.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nba.arrays import Floats
from nba.models.purchases import PurchaseDays, gap_medians

Numbers = NDArray[np.float64] | NDArray[np.int64]

YEAR: Final = 365
WINDOWS: Final = (14, 30, 60, 90, 180, YEAR)
HALF_LIVES: Final = (30.0, 120.0)
#: Weight of the population's gap in a personal one, in gaps.
GAP_PRIOR: Final = 1.0

#: Features in the order of the matrix, with the sign that the hazard must have in them.
FEATURES: Final[dict[str, int]] = {
    "purchase_days": 0,
    "days_since_purchase": 0,
    "age_days": 0,
    "recency_share": 0,
    "purchases_per_week": 0,
    "gap_days_mean": 0,
    "gap_days_median": 0,
    "gap_days_shrunk": 0,
    "gap_variation": 0,
    "gap_days_last": 0,
    "gap_last_ratio": 0,
    "overdue_mean": 0,
    "overdue_median": 0,
    "overdue_shrunk": 0,
    "overdue_longest": 0,
    **{f"purchase_days_{w}d": 1 if w == YEAR else 0 for w in WINDOWS},
    **{f"purchase_decayed_{h:.0f}d": 0 for h in HALF_LIVES},
    "purchase_days_coming_30d_last_year": 0,
    "purchase_days_coming_90d_last_year": 0,
    "amount_mean": 0,
    "amount_last_ratio": 0,
    "amount_365d": 1,
    "lines_mean": 0,
    "lines_last": 0,
    "quantity_mean": 0,
}


def _ratio(top: Numbers, bottom: Numbers) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(bottom > 0, top / bottom, np.nan))


def features_at(
    log: PurchaseDays, cutoff: int, *, typical_gap: float, first_day: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the feature matrix of entities who bought before `cutoff`, and their numbers.

    Parameters
    ----------
    log : PurchaseDays
    cutoff : int
        Day number; nothing from this day on is looked at.
    typical_gap : float
        The population's gap in days, towards which a short history is shrunk.
    first_day : int
        Where the records begin: what lies before is unknown, not zero.

    Returns
    -------
    matrix : array, shape (n, len(FEATURES))
        NaN where a value does not exist.
    entities : array of int, shape (n,)
    """
    end = log.first_row_from(cutoff)
    known = np.flatnonzero(end > log.start[:-1])
    begin, end = log.start[:-1][known], end[known]
    count = (end - begin).astype(np.float64)
    first, last = log.day[begin], log.day[end - 1]
    since, age = (cutoff - last).astype(np.float64), (cutoff - first).astype(np.float64)
    gaps = _gap_features(log, cutoff, known, count=count, since=since, typical=typical_gap)
    counts: list[Floats] = [
        (end - log.first_row_from(cutoff - w)[known]).astype(np.float64) for w in WINDOWS
    ]
    columns = [
        count,
        since,
        age,
        _ratio(last - first, age),
        7.0 * count / age,
        *gaps,
        *counts,
        *_decayed(log, cutoff, known),
        *_last_year(log, cutoff, known, first_day),
        *_sizes(log, cutoff, end, count, known),
    ]
    return np.column_stack(columns), known


def _gap_features(
    log: PurchaseDays,
    cutoff: int,
    known: NDArray[np.int64],
    *,
    count: Floats,
    since: Floats,
    typical: float,
) -> list[Floats]:
    end = log.first_row_from(cutoff)
    gap = np.diff(log.day, prepend=0).astype(np.float64)
    gap[log.start[:-1][log.start[:-1] < len(gap)]] = 0.0
    seen = log.day < cutoff
    owner, gap_seen = log.entity[seen], gap[seen]
    n = log.entities
    total = np.bincount(owner, weights=gap_seen, minlength=n)[known]
    square = np.bincount(owner, weights=gap_seen**2, minlength=n)[known]
    longest = np.zeros(n)
    np.maximum.at(longest, owner, gap_seen)
    gaps = count - 1.0
    mean = _ratio(total, gaps)
    median = gap_medians(log, end)[known]
    spread = np.sqrt(np.maximum(_ratio(square, gaps) - mean**2, 0.0))
    shrunk = (total + GAP_PRIOR * typical) / (gaps + GAP_PRIOR)
    latest = np.where(gaps > 0, gap[end[known] - 1], np.nan)
    return [
        mean,
        median,
        shrunk,
        np.where(gaps > 1, _ratio(spread, mean), np.nan),
        latest,
        _ratio(latest, mean),
        _ratio(since, mean),
        _ratio(since, median),
        since / shrunk,
        _ratio(since, longest[known]),
    ]


def _decayed(log: PurchaseDays, cutoff: int, known: NDArray[np.int64]) -> list[Floats]:
    seen = log.day < cutoff
    owner, back = log.entity[seen], (cutoff - log.day[seen]).astype(np.float64)
    weights = [0.5 ** (back / half) for half in HALF_LIVES]
    sums = [np.bincount(owner, weights=weight, minlength=log.entities) for weight in weights]
    return [total[known].astype(np.float64) for total in sums]


def _last_year(
    log: PurchaseDays, cutoff: int, known: NDArray[np.int64], first_day: int
) -> list[Floats]:
    start = cutoff - YEAR
    if start < first_day:
        return [np.full(len(known), np.nan)] * 2
    begin = log.first_row_from(start)[known]
    ends = [log.first_row_from(start + w)[known] for w in (30, 90)]
    return [(end - begin).astype(np.float64) for end in ends]


def _sizes(
    log: PurchaseDays,
    cutoff: int,
    end: NDArray[np.int64],
    count: Floats,
    known: NDArray[np.int64],
) -> list[Floats]:
    # bincount adds an entity's rows in their order, so that a batch and a single agree exactly
    seen = log.day < cutoff
    year = seen & (log.day >= cutoff - YEAR)

    def summed(values: Floats, rows: NDArray[np.bool_]) -> Floats:
        total = np.bincount(log.entity[rows], weights=values[rows], minlength=log.entities)
        return np.asarray(total[known], dtype=np.float64)

    mean = summed(log.amount, seen) / count
    return [
        mean,
        _ratio(log.amount[end - 1], mean),
        summed(log.amount, year),
        summed(log.lines, seen) / count,
        log.lines[end - 1],
        summed(log.quantity, seen) / count,
    ]
