"""Whether one definition gives one value on DuckDB and on Spark.

A project with a generated shop goes through the settings, the loader and the store that the
nightly job goes through.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from experiments.common.agreement import agreement
from experiments.common.shop import DAYS, generated_shop, over_views
from nba.wiring import Wiring


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
    with generated_shop(customers, seed, days) as (wiring, day):
        frames: dict[str, dict[str, pl.DataFrame]] = {}
        for engine in ("duckdb", "spark"):
            store = _with_engine(wiring, engine).feature_store
            store.build(day, force=True)
            frames[engine] = {name: store.snapshot(name, day) for name in store.views}
            views = store.views
    agreements = [agreement(v, frames["duckdb"][n], frames["spark"][n]) for n, v in views.items()]
    return {
        "as_of": str(day),
        "customers": customers,
        "days": days,
        "seed": seed,
        **over_views(agreements),
    }


def _with_engine(wiring: Wiring, engine: str) -> Wiring:
    """Return another wiring of the same project whose settings name `engine`."""
    settings = wiring.settings.model_copy(update={"feature_engine": engine, "threads": 2})
    return Wiring(replace(wiring.project, settings=settings))
