"""From each export to the first list by the clock: 200 lines and a million, money to the cent."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.data import exported

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


#: System: the files that a shop has of it. MoChat keeps no orders: those of LinkWeChat name the
#: same ids of the chat platform.
SYSTEMS = {
    "Shopify": ("shopify_orders", "shopify_customers"),
    "Square": ("square_items",),
    "WooCommerce": ("woocommerce_orders",),
    "Lightspeed": ("lightspeed_sales",),
    "LinkWeChat": (
        "linkwechat_orders", "linkwechat_customers", "linkwechat_tags", "linkwechat_members",
    ),
    "MoChat": ("mochat_contacts", "mochat_results", "linkwechat_orders"),
    "Segment": ("segment_events",),
}  # fmt: skip


@pytest.mark.proof
@pytest.mark.parametrize("system", SYSTEMS)
def test_first_list_of_two_hundred_lines(tmp_path: Path, system: str) -> None:
    (tmp_path / "in").mkdir()
    for name in SYSTEMS[system]:
        if name == "segment_events":
            text, suffix = exported.segment_events(200)[0], "jsonl"
        elif name in exported.LINE_EXPORTS:
            columns, make = exported.LINE_EXPORTS[name]
            text, suffix = exported.write(columns, make(200)[0]), "csv"
        else:
            header, people, _ = exported.PEOPLE_EXPORTS[name]
            text, suffix = exported.write(header, people(200)), "csv"
        (tmp_path / "in" / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    loaded = _loaded(tmp_path, system, 200)
    known = [line for line in loaded["recognised"] if line.endswith("columns known)")]
    assert len(known) == len(SYSTEMS[system])
    _first_list(tmp_path, system)


@pytest.mark.proof
@pytest.mark.parametrize("name", exported.LINE_EXPORTS)
def test_a_million_lines(tmp_path: Path, name: str) -> None:
    columns, make = exported.LINE_EXPORTS[name]
    rows, sums = make(BLOCK)
    _copies(tmp_path, name, columns, rows)
    _check(_loaded(tmp_path, name)["tables"]["transactions"], ROWS.get(name, 0.9))
    assert _cents(tmp_path) == Counter({unit: COPIES * cents for unit, cents in sums.items()})
    _first_list(tmp_path, name)


@pytest.mark.proof
@pytest.mark.parametrize("name", exported.PEOPLE_EXPORTS)
def test_a_million_people(tmp_path: Path, name: str) -> None:
    columns, make, table = exported.PEOPLE_EXPORTS[name]
    _copies(tmp_path, name, columns, make(BLOCK))
    # people alone are no load: the first one needs sales
    shop = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
    sale = "o1,C1,p1,2025-03-01 10:00:00,1,2.00\n"
    (tmp_path / "in" / "transactions.csv").write_text(shop + sale, encoding="utf-8")
    _check(_loaded(tmp_path, name)["tables"][table], ROWS.get(name, 1))


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
    tables = _loaded(tmp_path, "segment_events")["tables"]
    assert tables["behaviour"]["quarantined"]["rows"] == 0
    _check(tables["transactions"], ROWS["segment_events"])
    assert _cents(tmp_path) == Counter({unit: COPIES * cents for unit, cents in sums.items()})
    _first_list(tmp_path, "segment_events")


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


@dataclass(frozen=True)
class Ran:
    """A command that ended well: its output, its seconds, the peak of memory of its steps."""

    output: str
    seconds: float
    peak_mb: int


def _nba(folder: Path, *words: str) -> Ran:
    """Run a command as a user does, in a process of its own."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "nba", "--project", str(folder / "shop"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    peaks = [int(peak) for peak in re.findall(r"peak_mb=(\d+)", done.stdout + done.stderr)]
    return Ran(done.stdout, time.monotonic() - began, max(peaks, default=0))


def _loaded(folder: Path, name: str, lines: int = LINES) -> dict[str, Any]:
    """Make a project and load the folder; return the report."""
    _nba(folder, "init", str(folder / "shop"), "--time-zone", "America/New_York")
    ran = _nba(folder, "ingest", str(folder / "in"), "--json")
    print(f"{name}: {lines:,} lines loaded in {ran.seconds:.0f} s, {ran.peak_mb:,} MB")
    report: dict[str, Any] = json.loads(ran.output)
    return report


def _first_list(folder: Path, name: str) -> None:
    """Run the night after the last sale, and look at its list."""
    last = Lake(folder / "shop" / "data" / "lake").polars("transactions")["ts"].max()
    day = (last.date() + timedelta(days=1)).isoformat()
    ran = _nba(folder, "run", "--as-of", day)
    out = folder / "list.csv"
    _nba(folder, "actions", "export", "--as-of", day, "--out", str(out))
    with out.open(encoding="utf-8-sig", newline="") as stream:
        actions = [row for row in csv.DictReader(stream) if row["mode"] != "none"]
    print(f"{name}: first list of {len(actions)} in {ran.seconds:.0f} s more, {ran.peak_mb:,} MB")
    assert actions
    assert all(row["customer_id"] and row["reasons"] for row in actions)


def _check(table: dict[str, Any], share: float) -> None:
    read, accepted, quarantined = (
        table[name]["rows"] for name in ("read", "accepted", "quarantined")
    )
    assert accepted + quarantined == read
    assert accepted >= 0.99 * read
    assert accepted >= share * LINES


def _cents(folder: Path) -> Counter[str]:
    """What the lake's lines come to in cents, by currency."""
    lake = Lake(folder / "shop" / "data" / "lake")
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
