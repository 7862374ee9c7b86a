"""Life-cycle shares of the customers of Online Retail II at three dates, with a plot.

    python experiments/features_online_retail/run.py

reads the data from NBA_DATA (default: ../shared/data beside the repository) and writes
result.json and shares.png beside this file.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import polars as pl

from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.tables import load_tables
from nba.stores.feature_store import FeastFeatureStore

mpl.use("Agg")

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
DATA = Path(os.environ.get("NBA_DATA", REPOSITORY.parent / "shared" / "data"))
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
    found = dict(rates.iter_rows())
    return {stage: found[stage] for stage in STAGES if stage in found}


def plot(result: dict[str, dict[str, float]]) -> None:
    """Draw the shares as stacked bars."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6))
    left = [0.0] * len(result)
    colours = plt.get_cmap("viridis")
    for i, stage in enumerate(STAGES):
        widths = [values[stage] for values in result.values()]
        axes.barh(list(result), widths, left=left, label=stage.replace("_", " "),
                  color=colours(i / (len(STAGES) - 1)))  # fmt: skip
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of all buyers so far")
    axes.invert_yaxis()
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    figure.tight_layout()
    figure.savefig(HERE / "shares.png", dpi=120)


def main() -> None:
    """Ingest, build the three dates, write and print the shares."""
    with tempfile.TemporaryDirectory() as temporary:
        lake = Lake(Path(temporary) / "lake")
        ingest(
            DATA / "online_retail_ii",
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
        result = {str(moment.date()): shares(store, moment) for moment in MOMENTS}
        came = {str(moment.date()): returned(store, lake, moment) for moment in MOMENTS}
    (HERE / "result.json").write_text(
        json.dumps({"shares": result, "bought_within_38_days": came}, indent=1) + "\n"
    )
    plot(result)
    with pl.Config(tbl_rows=-1, float_precision=3):
        print(pl.DataFrame([{"as_of": name, **values} for name, values in result.items()]))
        print(pl.DataFrame([{"as_of": name, **values} for name, values in came.items()]))


if __name__ == "__main__":
    main()
