"""One night of Online Retail II as it ships, read against the plain record of each customer."""

from __future__ import annotations

import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from experiments.common.data import data_folder
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import Progress
from nba.settings import Project
from nba.wiring import Wiring

MAPPING: Final = "online_retail_ii_tidy"
#: From so much of the usual gap on, a category counts as due.
DUE_FROM: Final = 0.7

#: How due each category is for each customer, by nothing but the lines: days since over the
#: customer's own median gap between days with it, or the shop's where it was bought once.
RECORD: Final = """
WITH days AS (
    SELECT DISTINCT customer_id, category, ts::DATE AS day FROM sales
), gaps AS (
    SELECT *, day - lag(day) OVER (PARTITION BY customer_id, category ORDER BY day) AS gap FROM days
), usual AS (
    SELECT category, median(gap) AS shop_gap FROM gaps GROUP BY category
)
SELECT customer_id, category, count(*) AS times, max(day) AS last_day,
    $day - max(day) AS days_since, coalesce(median(gap), any_value(shop_gap)) AS gap_days,
    ($day - max(day)) / coalesce(median(gap), any_value(shop_gap)) AS due
FROM gaps JOIN usual USING (category) GROUP BY customer_id, category
"""


def retail_list(
    *, day: date = date(2011, 11, 1), people: int = 10, project: str = ""
) -> dict[str, Any]:
    """Run a night, and hold the first product of each entry against the customer's record.

    Parameters
    ----------
    day : date
        Of the list.
    people : int
        How many customers the page shows.
    project : str
        A folder in which the project is kept, and read again by a second call.

    Returns
    -------
    dict
        `listed`, `with_product`, `due_share` (of those with a product), `due_share_buyers` (the
        same share of all categories ever bought, for comparison), counts by action type and need,
        and `people`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        wiring = _night(Path(project or temporary) / "project", day)
        folder = wiring.runs.of(day)
        actions = folder.read("plan/actions").filter(pl.col("rank").is_not_null())
        tables = wiring.tables.at(datetime(day.year, day.month, day.day))
        goods = tables["products"].select("product_id", "name", "category").to_polars()
        goods = goods.unique("product_id", keep="last")
        lines = tables["transactions"].select("customer_id", "product_id", "ts", "quantity")
        record = _record(lines.to_polars(), goods, day)
    first = (
        actions.filter(pl.col("product_ids").list.len() > 0)
        .with_columns(product_id=pl.col("product_ids").list.first())
        .join(goods, on="product_id", how="left", maintain_order="left")
        .join(record, on=["customer_id", "category"], how="left", maintain_order="left")
    )
    is_due = (pl.col("due") >= DUE_FROM).fill_null(False)
    return {
        "day": day.isoformat(),
        "listed": actions.height,
        "clerks": actions["clerk_id"].n_unique(),
        "with_product": first.height,
        "due_share": first.select(is_due.mean()).item(),
        "due_share_buyers": record.select(is_due.mean()).item(),
        "action_types": dict(actions["action_type"].value_counts(sort=True).iter_rows()),
        "modes": dict(actions["mode"].value_counts(sort=True).iter_rows()),
        "people": _people(first, record, people),
    }


def _night(folder: Path, day: date) -> Wiring:
    """Make a project as `nba init`, `nba ingest` and `nba run` do, and return its wiring."""
    is_new = not folder.exists()
    if is_new:
        init_project(folder, {"time_zone": "Europe/London", "currency": "GBP"})
    wiring, quiet = Wiring(Project.open(folder)), Progress()
    if is_new:
        ingest_folder(wiring, data_folder("online_retail_ii"), mapping=MAPPING, progress=quiet)
    run_nightly(wiring, datetime(day.year, day.month, day.day), progress=quiet)
    return wiring


def _record(lines: pl.DataFrame, goods: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return how due every category is for everybody who bought it, see `RECORD`."""
    bought = lines.filter((pl.col("quantity") > 0) & pl.col("customer_id").is_not_null())
    sales = bought.join(goods.select("product_id", "category"), on="product_id")
    with duckdb.connect() as connection:
        connection.register("sales", sales.to_arrow())
        return connection.execute(RECORD, {"day": day}).pl()


def _people(first: pl.DataFrame, record: pl.DataFrame, count: int) -> list[dict[str, Any]]:
    """Return some entries with what is known of the customer: each clerk's first, by clerk."""
    chosen = first.sort("clerk_id", "rank").unique("clerk_id", keep="first", maintain_order=True)
    shown = []
    for row in chosen.head(count).iter_rows(named=True):
        mine = record.filter(pl.col("customer_id") == row["customer_id"]).sort(
            "due", descending=True
        )
        shown.append(
            {
                "customer_id": row["customer_id"],
                "clerk_id": row["clerk_id"],
                "action_type": row["action_type"],
                "mode": row["mode"],
                "from": f"{row['contact_from']:%H:%M}",
                "to": f"{row['contact_to']:%H:%M}",
                "product": row["name"] or row["product_id"],
                "category": row["category"],
                "reasons": [reason["en"] for reason in row["reasons"]],
                "talking_point": row["talking_point"],
                "uplift": row["uplift"],
                "p_repurchase_30d": row["p_repurchase_30d"],
                "record": mine.head(6).with_columns(pl.col("last_day").cast(pl.String)).to_dicts(),
            }
        )
    return shown
