"""A million lines of each export: quick, every line accepted, money to the cent."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from tests.data import exported

from nba.data.ingest import ingest
from nba.data.lake import Lake

LINES = 1_000_000
#: Rows are made once and then copied with other ids: a generator of a million rows takes longer
#: than their load.
BLOCK = 20_000
KEYS = {
    "shopify_orders": ("Name", "Id"),
    "square_items": ("Transaction ID",),
    "woocommerce_orders": ("order_id", "order_number", "item_id"),
    "lightspeed_sales": ("Receipt Number",),
    "linkwechat_orders": ("id", "order_no"),
}


@pytest.mark.proof
@pytest.mark.parametrize("name", exported.LINE_EXPORTS)
def test_a_million_lines(tmp_path: Path, name: str, record_property) -> None:
    columns, make = exported.LINE_EXPORTS[name]
    rows, sums = make(BLOCK)
    block = tmp_path / "block.csv"
    block.write_text(exported.write(columns, rows))
    source = tmp_path / "in"
    source.mkdir()
    copies = LINES // BLOCK
    renamed = ", ".join(
        f'CASE WHEN "{key}" <> \'\' THEN "{key}" || \'-\' || n END AS "{key}"' for key in KEYS[name]
    )
    duckdb.sql(
        f"COPY (SELECT t.* REPLACE ({renamed}) FROM range({copies}) AS r(n), "
        f"read_csv('{block}', all_varchar = true, quote = '\"', escape = '\"') AS t ORDER BY n) "
        f"TO '{source / 'export.csv'}' (HEADER)"
    )
    lake = Lake(tmp_path / "lake")
    began = time.monotonic()
    report = ingest(source, lake, time_zone="America/New_York", now=datetime.now(UTC))
    seconds = time.monotonic() - began
    table = report.tables["transactions"]
    assert table.quarantined.rows == 0
    assert table.accepted.rows >= (0.9 if name != "lightspeed_sales" else 0.45) * LINES
    found: Counter[str] = Counter()
    has_currency = "attr_currency" in lake.polars("transactions").columns
    price, off, currency = (
        (
            "coalesce(unit_price, CAST(attr_unit_price AS DECIMAL(18, 4)))",
            "coalesce(discount, CAST(attr_discount AS DECIMAL(18, 4)), 0)",
            "attr_currency",
        )
        if has_currency
        else ("unit_price", "coalesce(discount, 0)", "''")
    )
    with duckdb.connect() as connection:
        for unit, amount in connection.execute(
            f"SELECT {currency}, sum(quantity * {price} - {off}) "
            f"FROM ({lake.relation('transactions')}) GROUP BY 1"
        ).fetchall():
            found[unit] = round(100 * amount)
    assert found == Counter({unit: copies * cents for unit, cents in sums.items()})
    record_property("seconds", round(seconds, 1))
    print(f"{name}: {LINES:,} lines in {seconds:.1f} s")
