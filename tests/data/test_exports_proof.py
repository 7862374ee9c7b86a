"""A million lines of each export: quick, every line accepted, money to the cent."""

from __future__ import annotations

import json
import subprocess
import sys
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
COPIES = LINES // BLOCK
#: Export: what is another one in each copy: orders and the people who placed them.
KEYS = {
    "shopify_orders": ("Name", "Id", "Email", "Phone"),
    "square_items": ("Transaction ID", "Customer ID"),
    "woocommerce_orders": ("order_id", "order_number", "item_id", "customer_id", "billing_email"),
    "lightspeed_sales": ("Receipt Number", "Customer Code"),
    "linkwechat_orders": ("id", "order_no", "external_userid", "phone"),
    "shopify_customers": ("Customer ID", "Email", "Phone"),
    "linkwechat_customers": ("external_userid", "unionid"),
    "linkwechat_tags": ("id", "external_userid"),
    "linkwechat_members": ("id", "user_id", "union_id"),
    "mochat_contacts": ("id", "contact_id"),
    "mochat_results": ("id", "contact_id", "external_user_id"),
}
#: Of a million lines, what is a row of its table: the others are orders that were voided or never
#: paid, a receipt's head and payments, messages that no clerk sent. Each is told with its number.
ROWS = {"lightspeed_sales": 0.45, "mochat_results": 0.25, "segment_events": 0.4}


@pytest.mark.proof
@pytest.mark.parametrize("name", exported.LINE_EXPORTS)
def test_a_million_lines(tmp_path: Path, name: str) -> None:
    columns, make = exported.LINE_EXPORTS[name]
    rows, sums = make(BLOCK)
    _copies(tmp_path, name, columns, rows)
    report = _loaded(tmp_path, name)
    _check(report["tables"]["transactions"], ROWS.get(name, 0.9))
    assert _cents(tmp_path) == Counter({unit: COPIES * cents for unit, cents in sums.items()})


@pytest.mark.proof
@pytest.mark.parametrize("name", exported.PEOPLE_EXPORTS)
def test_a_million_people(tmp_path: Path, name: str) -> None:
    columns, make, table = exported.PEOPLE_EXPORTS[name]
    _copies(tmp_path, name, columns, make(BLOCK))
    # people alone are no load: the first one needs sales
    shop = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
    sale = "o1,C1,p1,2025-03-01 10:00:00,1,2.00\n"
    (tmp_path / "in" / "transactions.csv").write_text(shop + sale, encoding="utf-8")
    report = _loaded(tmp_path, name)
    _check(report["tables"][table], ROWS.get(name, 1))


@pytest.mark.proof
def test_a_million_events(tmp_path: Path) -> None:
    text, sums = exported.segment_events(BLOCK)
    source = tmp_path / "in"
    source.mkdir()
    with (source / "events.jsonl").open("w", encoding="utf-8") as target:
        for copy in range(COPIES):
            block = text
            for start in ('"messageId": "m', '"order_id": "S', '"userId": "u', 'Id": "an'):
                block = block.replace(start, f"{start}{copy}-")
            target.write(block)
    report = _loaded(tmp_path, "segment_events")
    assert report["tables"]["behaviour"]["quarantined"] == 0
    _check(report["tables"]["transactions"], ROWS["segment_events"])
    assert _cents(tmp_path) == Counter({unit: COPIES * cents for unit, cents in sums.items()})


def _copies(
    folder: Path, name: str, columns: list[str], rows: list[exported.Row]
) -> None:  # fmt: skip
    """Write a million lines: copies of a block with keys of their own."""
    block = folder / "block.csv"
    block.write_text(exported.write(columns, rows), encoding="utf-8")
    (folder / "in").mkdir()
    renamed = ", ".join(
        f'CASE WHEN "{key}" <> \'\' THEN "{key}" || \'-\' || n END AS "{key}"' for key in KEYS[name]
    )
    duckdb.sql(
        f"COPY (SELECT t.* REPLACE ({renamed}) FROM range({COPIES}) AS r(n), "
        f"read_csv('{block}', all_varchar = true, quote = '\"', escape = '\"') AS t ORDER BY n) "
        f"TO '{folder / 'in' / 'export.csv'}' (HEADER)"
    )


def _loaded(folder: Path, name: str) -> dict:
    """Load the folder in a process of its own, so that its peak of memory is that of the load."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.test_exports_proof", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    report: dict = json.loads(done.stdout)
    print(f"{name}: {LINES:,} lines, {report['seconds']:.0f} s, {report['peak_mb']:,} MB")
    return report


def _main(folder: Path) -> None:
    from nba.jobs.memory import begin_peak, peak_mb

    begin_peak()
    began = time.monotonic()
    lake, now = Lake(folder / "lake"), datetime.now(UTC)
    report = ingest(folder / "in", lake, time_zone="America/New_York", now=now, secret=b"s")
    tables = {
        name: {
            "read": table.read.rows,
            "accepted": table.accepted.rows,
            "quarantined": table.quarantined.rows,
        }
        for name, table in report.tables.items()
    }
    facts = {"seconds": time.monotonic() - began, "peak_mb": peak_mb(), "tables": tables}
    print(json.dumps(facts))


def _check(table: dict[str, int], share: float) -> None:
    assert table["accepted"] + table["quarantined"] == table["read"]
    assert table["accepted"] >= 0.99 * table["read"]
    assert table["accepted"] >= share * LINES


def _cents(folder: Path) -> Counter[str]:
    """What the lake's lines come to in cents, by currency."""
    lake = Lake(folder / "lake")
    price, off, currency = "unit_price", "coalesce(discount, 0)", "''"
    if "attr_currency" in lake.polars("transactions").columns:
        price = "coalesce(unit_price, CAST(attr_unit_price AS DECIMAL(18, 4)))"
        off = "coalesce(discount, CAST(attr_discount AS DECIMAL(18, 4)), 0)"
        currency = "attr_currency"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT {currency}, sum(quantity * {price} - {off}) "
            f"FROM ({lake.relation('transactions')}) GROUP BY 1"
        ).fetchall()
    return Counter({unit: round(100 * amount) for unit, amount in found})


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
