"""Contact rows with planted effects: a policy drew the mode, and the truth is known."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from nba.models.mode.scores import MODES
from nba.models.needs.rhythm import Rhythm, chance_without

RHYTHM = Rhythm(
    gap={"": 30.0, "milk": 30.0, "cream": 45.0, "bags": 90.0},
    margin={"": 50.0, "milk": 20.0, "cream": 60.0, "bags": 400.0},
    kind={"milk": "short", "cream": "group", "bags": "premium"},
)
CATEGORIES = ("milk", "cream", "bags")
#: Planted log fit by kind and mode: the reverse of the prior's order for dear goods.
FIT = np.array([[0.0, -1.2, -1.2], [-1.0, 0.0, -1.0], [0.3, -1.0, -1.0]])


def planted_rows(
    rows: int,
    *,
    scale: float,
    seed: int,
    fit: np.ndarray = FIT,
    drawn: bool = True,
    chosen: float = 0.0,
) -> pl.DataFrame:
    """Return rows in which a read contact adds orders by `scale`, fit and how due it is.

    Those who were contacted buy more anyway, by the share `chosen`.
    """
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    arm = rng.integers(0, 4, rows)  # 3: none
    due = np.exp(rng.normal(0.0, 0.8, rows))
    gap = np.array([30.0, 45.0, 90.0])[kind]
    without = chance_without(due, gap, 14.0)
    contacts = rng.poisson(4.0, (rows, 3)).astype(float)
    response = np.exp(rng.normal(0.0, 0.5, rows))
    answered = np.minimum(rng.poisson(contacts * 0.2 * response[:, None]), contacts)
    read = (rng.uniform(size=rows) < 0.5) & (arm < 3)
    curve = np.exp(-1.0 * np.square(np.log(due)))
    effect = 2.0 * read * scale * curve * response
    effect = effect * np.exp(np.where(arm < 3, fit[kind, np.minimum(arm, 2)], 0.0))
    anyway = without * np.where(arm < 3, 1.0 + chosen, 1.0)
    orders = rng.poisson(np.maximum(anyway + effect, 0.0)).astype(float)
    names = np.array([*MODES, "none"])
    history = {
        **{f"contacts_{mode}": contacts[:, place] for place, mode in enumerate(MODES)},
        **{f"answered_{mode}": answered[:, place] for place, mode in enumerate(MODES)},
    }
    return pl.DataFrame(
        {
            "assignment_id": [f"a{i:06d}" for i in range(rows)],
            "customer_id": [f"c{i % max(rows // 4, 1):05d}" for i in range(rows)],
            "ts": [
                datetime(2026, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 90, rows)
            ],
            "mode": names[arm],
            "propensity": [0.25 if drawn else None] * rows,
            **{f"p_{mode}": [0.25 if drawn else None] * rows for mode in (*MODES, "none")},
            "sent": arm < 3,
            "is_read": read,
            "clerk_id": [f"k{i % 5}" for i in range(rows)],
            "category": np.array(CATEGORIES)[kind],
            "need": ["due"] * rows,
            "several": np.ones(rows),
            "is_known": np.ones(rows, dtype=bool),
            "times": np.full(rows, 4.0),
            "days_since": due * gap,
            "gap_days": gap,
            "due": due,
            "p_without": without,
            "recent": rng.uniform(1, 60, rows),
            **{
                f"before_{days}d": rng.poisson(days / 30, rows).astype(float)
                for days in (14, 28, 90)
            },
            "birthday": np.zeros(rows),
            **history,
            "contacts_90d": contacts.sum(axis=1),
            "reads_90d": rng.binomial(contacts.sum(axis=1).astype(int), 0.5).astype(float),
            "fatigue": np.zeros(rows),
            "orders": orders,
            "later_orders": rng.poisson(without).astype(float),
            "all_orders": orders + rng.poisson(0.1, rows),
        }
    ).with_columns(
        pl.col("propensity", *(f"p_{mode}" for mode in (*MODES, "none"))).cast(pl.Float64)
    )
