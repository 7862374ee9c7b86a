"""How far what a model reads has moved since it was fitted last.

References
----------
Siddiqi (2006), Credit Risk Scorecards: the population stability index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
import polars.selectors as cs

from nba.arrays import Floats

#: From here on a feature has moved, by the usual reading of the index.
MOVED: Final = 0.2
BINS: Final = 10
_LEAST: Final = 1e-4
SCHEMA: Final = pl.Schema(
    {
        "view": pl.String(),
        "feature": pl.String(),
        "stability_index": pl.Float64(),
        "mean_before": pl.Float64(),
        "mean_now": pl.Float64(),
        "missing_before": pl.Float64(),
        "missing_now": pl.Float64(),
    }
)


def stability_index(before: Floats, now: Floats) -> float:
    """Return the population stability index of two samples; NaN is a bin of its own.

    >>> round(stability_index(np.arange(100.0), np.arange(100.0)), 6)
    0.0
    """
    known = before[np.isfinite(before)]
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    edges: Floats = np.unique(np.quantile(known, inner)) if len(known) else np.zeros(0)

    def shares(sample: Floats) -> Floats:
        place = np.where(
            np.isfinite(sample), np.searchsorted(edges, sample, side="right"), len(edges) + 1
        )
        counts = np.bincount(place, minlength=len(edges) + 2)
        return np.maximum(counts / max(len(sample), 1), _LEAST)

    old, new = shares(before), shares(now)
    return float(((new - old) * np.log(new / old)).sum())


def drift_table(
    before: Mapping[str, pl.DataFrame], now: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Return how far each number that stands in both has moved, the furthest first.

    Parameters
    ----------
    before, now : mapping of str to DataFrame
        Feature views by name.

    Returns
    -------
    DataFrame
        view, feature, stability_index, mean_before, mean_now, missing_before, missing_now.
    """
    rows = []
    for view in sorted(before.keys() & now.keys()):
        old, new = before[view], now[view]
        if old.is_empty() or new.is_empty():
            continue
        numbers = cs.expand_selector(old, cs.numeric())
        for name in (one for one in numbers if one in new.columns):
            was, is_now = (table[name].cast(pl.Float64).to_numpy() for table in (old, new))
            rows.append(
                {
                    "view": view,
                    "feature": name,
                    "stability_index": stability_index(was, is_now),
                    "mean_before": _mean(was),
                    "mean_now": _mean(is_now),
                    "missing_before": float(np.mean(~np.isfinite(was))),
                    "missing_now": float(np.mean(~np.isfinite(is_now))),
                }
            )
    return pl.DataFrame(rows, schema=SCHEMA).sort(
        "stability_index", "view", "feature", descending=[True, False, False]
    )


def _mean(sample: Floats) -> float | None:
    known = sample[np.isfinite(sample)]
    return float(known.mean()) if len(known) else None
