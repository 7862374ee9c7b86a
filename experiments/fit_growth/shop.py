"""A drawn shop of any size on disk: purchases, and contacts with answers, in parts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import ibis
import numpy as np
import polars as pl
import pyarrow as pa

from experiments.affinity_bench.run import AS_OF, synthetic_products, synthetic_purchases
from nba.models.base import ModelInputs
from nba.models.mode.scores import MODES
from nba.schema.tables import TABLES
from nba.schema.words import HOUR_BANDS, CategoryKind

#: Customers that are drawn and written at a time.
PART: Final = 50_000
#: Contacts per customer in a year, on average; shares of them read, and answered.
CONTACTS, READ, ANSWERED = 15.0, 0.5, 0.15
CUSTOMERS_PER_CLERK: Final = 1_000
_YEAR: Final = 365
_KINDS: Final = tuple(str(kind) for kind in CategoryKind)
_DAY: Final = pl.duration(days=1)


def write_shop(folder: Path, customers: int, products: int, seed: int) -> None:
    """Write `purchases`, the tables of the contract, and views of their customers, as Parquet."""
    catalogue = synthetic_products(products)
    for first in range(0, customers, PART):
        many = min(PART, customers - first)
        purchases = synthetic_purchases(many, products, seed=seed, first=first)
        purchases = purchases.join(
            catalogue.select("product_id", "category"), on="product_id", maintain_order="left"
        )
        parts = {"purchases": purchases, **_contract(purchases, many, first, seed)}
        parts |= _views(purchases, parts["interactions"], parts["responses"])
        for name, table in parts.items():
            _write(table, folder / name / f"{first}.parquet")
    number = pl.col("category").str.slice(1).cast(pl.Int64)
    kinds = catalogue.select(pl.col("category").unique().sort()).with_columns(
        kind=pl.lit(pl.Series(_KINDS)).gather(number % len(_KINDS))
    )
    _write(catalogue.drop("is_retired"), folder / "products" / "0.parquet")
    _write(kinds, folder / "categories" / "0.parquet")


def read_inputs(folder: Path, products: int, *, views: bool) -> ModelInputs:
    """Return the purchases and products of a written shop, or the views that modes read."""
    names = ("customer_behaviour", "customer_category", "customer_contact")
    if views:
        return ModelInputs({name: _read(folder, name) for name in names})
    purchases = _read(folder, "purchases")
    return ModelInputs({"purchases": purchases, "product": synthetic_products(products)})


def read_tables(folder: Path) -> Mapping[str, Any]:
    """Return the tables of the contract of a written shop, as Ibis tables."""
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET enable_progress_bar = false")
    tables = {}
    for name, table in TABLES.items():
        kinds = {field.name: _as_loaded(field.type) for field in table.arrow_schema}
        if not (folder / name).exists():
            empty = pl.from_arrow(pa.schema(list(kinds.items())).empty_table())
            assert isinstance(empty, pl.DataFrame)
            _write(empty, folder / name / "0.parquet")
        known = connection.read_parquet(str(folder / name / "*.parquet"))
        absent = ibis.Schema.from_pyarrow(pa.schema(list(kinds.items())))
        tables[name] = known.mutate(
            **{key: ibis.null(kind) for key, kind in absent.items() if key not in known.columns}
        )
    return tables


def _as_loaded(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column of the lake as tables are loaded: local times, plain numbers."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _read(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / name / "*.parquet")


def _write(table: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path)


def _contract(
    purchases: pl.DataFrame, customers: int, first: int, seed: int
) -> dict[str, pl.DataFrame]:
    """Return customers, transactions, interactions and responses; contacts change nothing."""
    generator = np.random.default_rng([seed, first, 1])
    ids = pl.select(
        pl.lit("c") + pl.int_range(first, first + customers).cast(pl.String)
    ).to_series()
    since = AS_OF - timedelta(days=2 * _YEAR)
    people = pl.DataFrame({"customer_id": ids}).with_columns(friend_since=pl.lit(since))
    sales = purchases.with_row_index("line", first * 64).select(
        pl.col("line").cast(pl.String).alias("order_id"),
        pl.lit("1").alias("line_no"),
        "customer_id",
        "product_id",
        "ts",
        "quantity",
        unit_price="amount",
        discount=pl.lit(0.0),
    )
    count = generator.poisson(CONTACTS, customers)
    at = np.repeat(np.arange(customers), count)
    many = len(at)
    mode = pl.Series(MODES).gather(generator.integers(0, len(MODES), many))
    minute = generator.integers(0, _YEAR * 24 * 60, many)
    made = pl.DataFrame({"at": at, "mode": mode, "minute": minute}).with_columns(
        interaction_id=pl.lit(f"i{first}-") + pl.int_range(pl.len()).cast(pl.String),
        customer_id=ids.gather(at),
        clerk_id=pl.lit("k") + ((pl.col("at") + first) // CUSTOMERS_PER_CLERK).cast(pl.String),
        ts=(pl.lit(AS_OF) - pl.duration(minutes=pl.col("minute"))).cast(pl.Datetime("us")),
        product_ids=purchases["product_id"]
        .gather(generator.integers(0, purchases.height, many))
        .reshape((many, 1))
        .cast(pl.List(pl.String)),
    )
    later = (pl.col("ts") + pl.duration(hours=2)).alias("ts")
    drawn = generator.uniform(size=(2, many))
    said = [
        made.filter(pl.Series(drawn[place] < share)).select(
            pl.lit(f"{kind}-") + pl.col("interaction_id").alias("response_id"),
            "interaction_id",
            later,
            kind=pl.lit(kind),
        )
        for place, (kind, share) in enumerate((("read", READ), ("replied", ANSWERED)))
    ]
    names = ("interaction_id", "customer_id", "clerk_id", "ts", "mode", "product_ids")
    return {
        "customers": people,
        "transactions": sales,
        "interactions": made.select(names),
        "responses": pl.concat(said).filter(pl.col("ts") < AS_OF),
    }


def _views(
    purchases: pl.DataFrame, made: pl.DataFrame, said: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Return what the mode model reads of each customer, as the feature views have it."""
    ago = ((pl.lit(AS_OF) - pl.col("ts")) / _DAY).alias("ago")
    bought = purchases.select("customer_id", "category", "amount", ago)
    number = pl.col("category").str.slice(1).cast(pl.Int64)
    kind = pl.lit(pl.Series(_KINDS)).gather(number % len(_KINDS))
    counts = (
        pl.col("ago").n_unique().alias("purchase_days"),
        pl.col("ago").min().alias("days_since_purchase"),
        pl.col("ago").max().alias("days_since_first_purchase"),
        (0.4 * pl.col("amount").sum()).alias("margin_amount"),
    )
    year = pl.col("ago") < _YEAR
    return {
        "customer_category": bought.group_by("customer_id", "category")
        .agg(counts)
        .with_columns(kind=kind),
        "customer_behaviour": bought.group_by("customer_id").agg(
            *counts,
            (0.4 * pl.col("amount").filter(year).sum()).alias("margin_365d_amount"),
            pl.col("ago").filter(year).n_unique().alias("purchase_days_365d"),
            pl.lit(_KINDS[0]).alias("main_category_kind"),
            pl.lit(3).alias("price_tier"),
        ),
        "customer_contact": _contact_view(made, said),
    }


def _contact_view(made: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    kinds = said.group_by("interaction_id").agg(
        is_read=(pl.col("kind") == "read").any(), is_answered=(pl.col("kind") == "replied").any()
    )
    known = made.join(kinds, on="interaction_id", how="left").with_columns(
        pl.col("is_read", "is_answered").fill_null(False), hour=pl.col("ts").dt.hour()
    )
    late = pl.col("ts") >= AS_OF - timedelta(days=90)
    columns = [
        late.sum().alias("contacts_90d"),
        (late & pl.col("is_read")).sum().alias("reads_90d"),
    ]
    for mode in MODES:
        mine = pl.col("mode") == mode
        columns.append(mine.sum().alias(f"contacts_{mode}_365d"))
        rate = ((mine & pl.col("is_answered")).sum() + 1.0) / (mine.sum() + 5.0)
        columns.append(rate.alias(f"response_rate_{mode}"))
    for band, (start, end) in HOUR_BANDS.items():
        inside = pl.col("hour").is_between(start, end, closed="left")
        columns.append(inside.sum().alias(f"sent_{band}_365d"))
        columns.append((inside & pl.col("is_read")).sum().alias(f"read_{band}_365d"))
    return known.group_by("customer_id").agg(columns).with_columns(fatigue=pl.lit(0.0))
