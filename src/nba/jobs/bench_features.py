"""`nba bench engines` and `nba bench online`: whether one definition gives one value everywhere.

Both make a project with a generated shop in a temporary folder and go through the settings, the
loader and the store that the nightly job goes through.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from nba.features.agreement import Agreement, agreement
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.worlds import make_world
from nba.settings import Project
from nba.wiring import Wiring

if TYPE_CHECKING:
    from nba.features.view import View
    from nba.stores.feature_store import FeastFeatureStore

#: The world begins on this day; its last day is as many days later as it lasts.
DAYS: Final = 200
#: Nights of which a snapshot is kept: a gap longer than the views' time to live among them.
NIGHTS_BEFORE_THE_END: Final = (16, 15, 14, 13, 8, 6, 4, 3, 2, 1)
#: Hours after the last night within which moments are drawn: past the time to live too.
HOURS_AFTER: Final = 96
#: Customers of whom nothing is known, among those asked for.
STRANGERS: Final = 0.02


@contextmanager
def _project(customers: int, seed: int, days: int) -> Iterator[tuple[Wiring, datetime]]:
    """Give a project with a generated shop, and the day after its last sale."""
    with tempfile.TemporaryDirectory(prefix="nba-bench-") as temporary:
        root = Path(temporary)
        make_world(
            root / "shop", preset="published", family="capture", customers=customers, clerks=6, stores=3, days=days,
            seed=seed, describe_it=False,
        )  # fmt: skip
        init_project(root / "project", {})
        wiring = Wiring(Project.open(root / "project"))
        ingest_folder(wiring, root / "shop" / "tables")
        last = wiring.tables.at(None)["transactions"].ts.max().execute()
        day = datetime(last.year, last.month, last.day) + timedelta(days=1)
        yield wiring, day


def bench_engines(*, customers: int = 500, days: int = DAYS, seed: int = 5) -> dict[str, Any]:
    """Build every view on DuckDB and on Spark and compare every value.

    Parameters
    ----------
    customers, days, seed : int
        Of the generated shop.

    Returns
    -------
    dict
        `largest_difference` of a float over all views (relative), `unequal` values over all
        views, and the same by view.
    """
    with _project(customers, seed, days) as (wiring, day):
        frames: dict[str, dict[str, pl.DataFrame]] = {}
        for engine in ("duckdb", "spark"):
            store = _with_engine(wiring, engine).feature_store
            store.build(day, force=True)
            frames[engine] = {name: store.snapshot(name, day) for name in store.views}
            views = store.views
    found = [agreement(v, frames["duckdb"][n], frames["spark"][n]) for n, v in views.items()]
    return {"as_of": str(day), "customers": customers, "days": days, "seed": seed, **_sum(found)}


def _with_engine(wiring: Wiring, engine: str) -> Wiring:
    """Return another wiring of the same project whose settings name `engine`."""
    small = {"spark.sql.shuffle.partitions": "2", "spark.sql.codegen.wholeStage": "false"}
    update = {"feature_engine": engine, "threads": 2, "spark": small}
    settings = wiring.settings.model_copy(update=update)
    return Wiring(replace(wiring.project, settings=settings))


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
        As of `bench_engines`, with `empty_shares`: how many of the answers were nothing, by view.
    """
    with _project(customers, seed, days) as (wiring, day):
        store = wiring.feature_store
        nights = [day - timedelta(days=n) for n in NIGHTS_BEFORE_THE_END]
        for night in nights:
            store.build(night, purpose="training")
        rng = np.random.default_rng(seed)
        asked_for = {n: questions(store, v, nights, asked, rng) for n, v in store.views.items()}
        online = answers_online(store, asked_for, nights)
        found, empty = [], {}
        for name, view in store.views.items():
            offline = store.historical(name, asked_for[name]).select(view.columns)
            found.append(agreement(view, online[name], offline))
            nothing = offline.select(pl.all_horizontal(pl.col(list(view.by_name)).is_null()))
            empty[name] = round(float(nothing.to_series().sum()) / asked, 3)
    return {"customers": customers, "days": days, "asked": asked, "seed": seed,
            **_sum(found), "empty_shares": empty}  # fmt: skip


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


def _sum(found: list[Agreement]) -> dict[str, Any]:
    return {
        "values": sum(item.values for item in found),
        "largest_difference": max(item.largest_difference for item in found),
        "unequal": sum(sum(item.unequal.values()) for item in found),
        "views": {item.view: item for item in found},
    }
