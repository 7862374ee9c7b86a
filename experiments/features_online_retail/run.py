"""Life-cycle shares of the customers of Online Retail II at three dates."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from experiments.common.data import REPOSITORY, data_folder
from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.tables import load_tables
from nba.jobs.experiment_spec import write_json
from nba.stores.feature_store import FeastFeatureStore

ZONE = "Europe/London"
MOMENTS = (datetime(2010, 11, 1), datetime(2011, 5, 1), datetime(2011, 11, 1))
STAGES = ("new_customer", "one_time_buyer", "active", "due", "overdue", "dormant", "lost")


def shares(store: FeastFeatureStore, as_of: datetime) -> dict[str, float]:
    """Return the share of each life-cycle stage among the buyers known at `as_of`."""
    store.build(as_of, purpose="training")
    buyers = store.snapshot("customer_behaviour", as_of).height
    tags = store.snapshot("customer_tags", as_of)
    counts = dict(tags.group_by("tag").len().iter_rows())
    return {"buyers": buyers, **{stage: counts.get(stage, 0) / buyers for stage in STAGES}}


def returned(store: FeastFeatureStore, lake: Lake, as_of: datetime) -> dict[str, float]:
    """Return per stage the share of customers who bought within 38 days after `as_of`."""
    import ibis

    later = load_tables(lake, as_of=None, time_zone=ZONE, connection=ibis.duckdb.connect())[
        "transactions"
    ]
    bought = (
        later.filter((later.quantity > 0) & later.customer_id.notnull())
        .select("customer_id", "ts")
        .to_polars()
        .filter((pl.col("ts") >= as_of) & (pl.col("ts") < as_of + pl.duration(days=38)))
        .select("customer_id")
        .unique()
        .with_columns(came=pl.lit(value=True))
    )
    tags = store.snapshot("customer_tags", as_of).join(bought, on="customer_id", how="left")
    rates = tags.group_by("tag").agg(pl.col("came").fill_null(value=False).mean())
    shares = dict(rates.iter_rows())
    return {stage: shares[stage] for stage in STAGES if stage in shares}


def life_cycle() -> dict[str, Any]:
    """Ingest, build the three dates, and return shares and who came back."""
    with tempfile.TemporaryDirectory() as temporary:
        lake = Lake(Path(temporary) / "lake")
        ingest(
            data_folder("online_retail_ii"),
            lake,
            mapping="online_retail_ii_tidy",
            time_zone=ZONE,
            now=datetime(2012, 1, 1, tzinfo=UTC),
        )
        store = FeastFeatureStore(
            Path(temporary) / "data",
            REPOSITORY / "features",
            lambda as_of, connection: load_tables(
                lake, as_of=as_of, time_zone=ZONE, connection=connection
            ),
            time_zone=ZONE,
        )
        return {
            "shares": {str(moment.date()): shares(store, moment) for moment in MOMENTS},
            "bought_within_38_days": {
                str(moment.date()): returned(store, lake, moment) for moment in MOMENTS
            },
        }


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write `result.json` and the shares as stacked bars, and return both tables."""
    plot(result["shares"], folder / "shares.png")
    return write_json(result, folder)


def plot(result: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw the shares as stacked bars."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(result)
    colours = mpl.colormaps["viridis"]
    for i, stage in enumerate(STAGES):
        widths = [values[stage] for values in result.values()]
        axes.barh(list(result), widths, left=left, label=stage.replace("_", " "),
                  color=colours(i / (len(STAGES) - 1)))  # fmt: skip
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of all buyers so far")
    axes.invert_yaxis()
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    figure.savefig(path, dpi=120)
