"""Stale state: a row that says something unreadable never leaves an older state standing."""

from __future__ import annotations

from datetime import datetime

import ibis
import pytest

from nba.data.tables import load_tables
from nba.features import product
from nba.features.prepare import PREPARED

LINES = "order_id,customer_id,product_id,ts,quantity,unit_price\no1,c1,p1,2026-05-01,1,5\n"
STOCK = "product_id,store_id,ts,on_hand\n"


def tables(shop, as_of: datetime = datetime(2026, 12, 1)):
    connection = ibis.duckdb.connect()
    return load_tables(shop.lake, as_of=as_of, time_zone=shop.zone, connection=connection)


@pytest.mark.parametrize("value", ["-3", "n/a", "", "99999999999", "#REF!"])
def test_stock_that_is_not_there_is_out_of_stock(shop, warned, value: str) -> None:
    shop.load(transactions=LINES, stock=STOCK + "p1,s1,2026-11-01,12\np1,s2,2026-11-01,0\n")
    report = shop.load(stock=STOCK + f"p1,s1,2026-11-10,{value}\n")
    found = warned(report)
    assert found.get("negative", found.get("state.on_hand"))[0] == 1
    assert not shop.quarantine
    given = dict(tables(shop))
    for name, builder in PREPARED.items():
        given[name] = builder(given, datetime(2026, 12, 1))
    view = product.VIEW.build(given, datetime(2026, 12, 1)).to_polars()
    assert view.filter(product_id="p1")["on_hand"].to_list() == [0.0]


def test_oversold_in_one_store_takes_nothing_from_another(shop) -> None:
    shop.load(transactions=LINES, stock=STOCK + "p1,s1,2026-11-01,-20\np1,s2,2026-11-01,5\n")
    given = dict(tables(shop))
    for name, builder in PREPARED.items():
        given[name] = builder(given, datetime(2026, 12, 1))
    view = product.VIEW.build(given, datetime(2026, 12, 1)).to_polars()
    assert view.filter(product_id="p1")["on_hand"].to_list() == [5.0]


def test_stock_and_its_return_are_told_by_store(shop) -> None:
    stock = (
        STOCK + "p1,s1,2026-11-01,0\np1,s1,2026-11-28,4\np1,s2,2026-11-01,5\np1,s2,2026-11-29,0\n"
    )
    shop.load(transactions=LINES, stock=stock)
    as_of = datetime(2026, 12, 1)
    found = product.store_stock(dict(tables(shop)), as_of).to_polars().sort("store_id")
    assert found.rows() == [("p1", "s1", 4.0, 3.0), ("p1", "s2", 0.0, None)]


@pytest.mark.parametrize("word", ["maybe", "2", "拒绝"])
def test_a_consent_that_cannot_be_read_is_no(shop, warned, word: str) -> None:
    columns = "customer_id,consent_contact,consent_profiling,valid_from\n"
    shop.load(transactions=LINES, customers=columns + "c1,true,true,2026-01-01\n")
    found = warned(shop.load(customers=columns + f"c1,{word},true,2026-11-01\n"))
    assert found["state.consent_contact"] == (1, repr(word))
    row = tables(shop)["customers"].to_polars().row(0, named=True)
    assert (row["consent_contact"], row["consent_profiling"]) == (False, True)


def test_a_block_without_a_readable_day_is_a_block(shop) -> None:
    shop.load(transactions=LINES, customers="customer_id,valid_from\nc1,2026-01-01\n")
    late = "customer_id,blocked_at,valid_from\nc1,31/02/2026,2026-11-01\n"
    shop.load(customers=late)
    assert tables(shop)["customers"].to_polars()["blocked_at"].null_count() == 0
    assert not shop.load(customers=late).changed


@pytest.mark.parametrize("price", ["-1", "free", "99999999999"])
def test_a_price_that_cannot_be_read_is_unknown(shop, price: str) -> None:
    columns = "product_id,price,valid_from\n"
    shop.load(transactions=LINES.replace(",5\n", ",\n"), products=columns + "p1,8,2026-01-01\n")
    shop.load(products=columns + f"p1,{price},2026-11-01\n")
    assert shop.lake.polars("products").sort("valid_from")["price"].to_list()[1] is None


def test_a_line_is_no_state_and_stays_out(shop) -> None:
    shop.load(transactions=LINES + "o2,c1,p1,2026-05-02,1,-4\n")
    assert shop.quarantine == [("unit_price", "range", "-4")]


def test_shifts_and_zones(shop) -> None:
    shop.load(
        transactions=LINES,
        clerks="clerk_id,shift_start,shift_end\nk1,16:00,02:00\nk2,14:00,24:00\nk3,9:00,25:00\n",
        stores="store_id,timezone\ns1,Australia/Perth\ns2,China Standard Time\ns3,asia/shanghai\n",
    )
    assert shop.quarantine == [
        ("shift_end", "pattern", "25:00"),
        ("timezone", "zone", "China Standard Time"),
        ("timezone", "zone", "asia/shanghai"),
    ]
    assert shop.lake.rows("clerks") == 2
