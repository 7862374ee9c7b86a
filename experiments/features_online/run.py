"""Whether the online store serves at a moment what a training join gives for that moment.

A project with a generated shop goes through the settings, the loader and the store that the
nightly job goes through.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from experiments.common.agreement import agreement
from experiments.common.shop import DAYS, generated_shop, over_views

if TYPE_CHECKING:
    from nba.features.view import View
    from nba.stores.feature_store import FeastFeatureStore

#: Nights of which a snapshot is kept: a gap longer than the views' time to live among them.
NIGHTS_BEFORE_THE_END: Final = (16, 15, 14, 13, 8, 6, 4, 3, 2, 1)
#: Hours after the last night within which moments are drawn: past the time to live too.
HOURS_AFTER: Final = 96
#: Customers of whom nothing is known, among those asked for.
STRANGERS: Final = 0.02


def bench_online(
    *, customers: int = 500, days: int = DAYS, asked: int = 1000, seed: int = 5
) -> dict[str, Any]:
    """Ask every view for random entities at random moments, online and offline.

    The snapshots of ten nights go online one after the other; at each moment the online store
    holds what it held then. Offline, Feast joins the same entities and moments. Some entities
    are unknown, and some moments lie past the time to live.

    Parameters
    ----------
    customers, days, seed : int
        Of the generated shop; the seed also draws entities and moments.
    asked : int
        Entities and moments per view.

    Returns
    -------
    dict
        Of the views that hold anything: as of `features_engines`, with `empty_shares`: how many
        answers were nothing, by view.
    """
    with generated_shop(customers, seed, days) as (wiring, day):
        store = wiring.feature_store
        nights = [day - timedelta(days=n) for n in NIGHTS_BEFORE_THE_END]
        for night in nights:
            store.build(night, purpose="training")
        rng = np.random.default_rng(seed)
        held = {
            name: view
            for name, view in store.views.items()
            if any(store.snapshot(name, night).height for night in nights)
        }
        asked_for = {n: questions(store, v, nights, asked, rng) for n, v in held.items()}
        online = answers_online(store, asked_for, nights)
        found, empty = [], {}
        for name, view in held.items():
            offline = store.historical(name, asked_for[name]).select(view.columns)
            found.append(agreement(view, online[name], offline))
            nothing = offline.select(pl.all_horizontal(pl.col(list(view.by_name)).is_null()))
            empty[name] = round(float(nothing.to_series().sum()) / asked, 3)
    return {"customers": customers, "days": days, "asked": asked, "seed": seed,
            **over_views(found), "empty_shares": empty}  # fmt: skip


def questions(
    store: FeastFeatureStore,
    view: View,
    nights: list[datetime],
    asked: int,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Draw entities known at any of the nights, a few strangers, and a moment for each."""
    known = pl.concat(store.snapshot(view.name, night).select(view.entity_keys) for night in nights)
    known = known.unique(maintain_order=True)
    chosen = known[rng.integers(0, known.height, asked)]
    stranger = pl.Series(rng.random(asked) < STRANGERS)
    first = view.entity_keys[0]
    span = int((nights[-1] - nights[0]).total_seconds()) + HOURS_AFTER * 3600
    moments = [nights[0] + timedelta(seconds=int(s)) for s in np.sort(rng.integers(0, span, asked))]
    return chosen.with_columns(
        pl.when(stranger).then(pl.lit("stranger")).otherwise(pl.col(first)).alias(first),
        pl.Series("event_timestamp", moments, dtype=pl.Datetime("us")),
    )


def answers_online(
    store: FeastFeatureStore, asked: dict[str, pl.DataFrame], nights: list[datetime]
) -> dict[str, pl.DataFrame]:
    """Replay the nights: each question is asked while the snapshot before it is online."""
    answers: dict[str, list[pl.DataFrame]] = {name: [] for name in asked}
    for at, night in enumerate(nights):
        store.materialise(night)
        for name, frame in asked.items():
            keys = store.views[name].entity_keys
            for row in frame.iter_slices(1):
                moment = row["event_timestamp"][0]
                if bisect_right(nights, moment) == at + 1:
                    answers[name].append(store.online(name, row.select(keys), now=moment))
    return {name: pl.concat(parts) for name, parts in answers.items()}
