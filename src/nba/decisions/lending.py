"""Between the clerks of a store: what pooled minutes would earn, and minutes that are lent."""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.decisions.allocation import Programme, solve

_ROUNDS = 60


def pooled_bound(programme: Programme, store: Ints) -> Floats:
    """Return each clerk's store's optimum if its minutes could move between its clerks.

    Parameters
    ----------
    store : array of int, shape (clerks,)
    """
    stores = int(store.max(initial=-1)) + 1
    minutes = np.bincount(store, weights=programme.budget, minlength=stores)
    order = np.argsort(store[programme.clerk], kind="stable")
    pooled = Programme(
        store[programme.clerk][order],
        programme.value[order],
        programme.minutes[order],
        programme.open[order],
        minutes.astype(np.float64),
    )
    bound: Floats = solve(pooled).objective[store]
    return bound


def store_places(working: pl.DataFrame) -> Ints:
    """Return the position of each clerk's store; clerks without a store share one."""
    names = working["store_id"].fill_null("")
    places: Ints = names.rank("dense").cast(pl.Int64).to_numpy() - 1
    return places


def lent_minutes(programme: Programme, store: Ints, share: float) -> Floats:
    """Return each clerk's minutes after colleagues of a store have lent each other some.

    Minutes go from where they earn least to where they earn most, no clerk gives or takes
    more than `share` of their own, and the sum of a store stays.

    Notes
    -----
    The price at which a store's minutes are all taken is found by bisection; a clerk's
    demand at a price is what the optimum would spend on actions worth more than it.
    """
    stores = int(store.max(initial=-1)) + 1
    own = programme.budget
    least, most = own * (1 - share), own * (1 + share)
    total = np.bincount(store, weights=own, minlength=stores)
    low, high = np.zeros(stores), np.full(stores, _highest_density(programme))
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        wanted = np.clip(_demand(programme, middle[store]), least, most)
        over = np.bincount(store, weights=wanted, minlength=stores) > total
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    cheap = np.clip(_demand(programme, low[store]), least, most)
    dear = np.clip(_demand(programme, high[store]), least, most)
    below = np.bincount(store, weights=dear, minlength=stores)
    gap = np.bincount(store, weights=cheap - dear, minlength=stores)
    part = np.where(gap > 0, (total - below) / np.maximum(gap, 1e-12), 0.0)
    lent = dear + (cheap - dear) * np.clip(part, 0.0, 1.0)[store]
    # What nobody wants stays with its owners, so that a store's sum never changes.
    unwanted = total - np.bincount(store, weights=lent, minlength=stores)
    room = np.maximum(most - lent, 0.0)
    all_room = np.bincount(store, weights=room, minlength=stores)
    part = np.where(all_room > 0, unwanted / np.maximum(all_room, 1e-12), 0.0)
    filled: Floats = lent + room * np.clip(part, 0.0, 1.0)[store]
    return filled


def _highest_density(programme: Programme) -> float:
    density = np.where(programme.open, programme.value / programme.minutes.clip(0.01), 0.0)
    return float(density.max(initial=0.0)) + 1.0


def _demand(programme: Programme, price: Floats) -> Floats:
    """Return the minutes per clerk that earn more than `price`."""
    net = programme.value - price[programme.clerk][:, None] * programme.minutes
    net = np.where(programme.open, net, -np.inf)
    best = net.argmax(axis=1) if net.size else np.zeros(0, dtype=np.int64)
    rows = np.arange(len(net))
    spent = np.where(net[rows, best] > 0, programme.minutes[rows, best], 0.0)
    return np.bincount(
        programme.clerk, weights=spent, minlength=len(programme.budget)
    ).astype(np.float64)  # fmt: skip
