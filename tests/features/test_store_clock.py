"""Weekday and hour of a customer are those of the clock on the wall of their store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import polars as pl
import pytest

from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.tables import load_tables
from nba.features import customer_behaviour, customer_contact, customer_state
from nba.schema.words import CLOCK

AS_OF = datetime(2027, 2, 25)
NOW = datetime(2027, 2, 25, tzinfo=UTC)
SALES = """order_id,line_no,customer_id,store_id,product_id,ts,quantity,unit_price
o1,1,east,SYD,p,2027-02-21T01:30:00,1,9
o2,1,west,PER,p,2027-02-21T01:30:00,1,9
o3,1,west,,p,2027-02-14T01:30:00,1,9
o4,1,anywhere,ONLINE,p,2027-02-21T01:30:00,1,9
"""
STORES = "store_id,timezone\nSYD,Australia/Sydney\nPER,Australia/Perth\nONLINE,\n"
CUSTOMERS = "customer_id,store_id\neast,SYD\nwest,PER\nanywhere,ONLINE\n"
CONTACTS = """interaction_id,customer_id,ts,mode
i1,east,2027-02-20T10:00:00,private_partner
i2,west,2027-02-20T10:00:00,private_partner
"""
ANSWERS = """response_id,interaction_id,ts,kind
r1,i1,2027-02-20T12:00:00,replied
r2,i2,2027-02-20T12:00:00,replied
"""


def lake_of(folder: Path, **tables: str) -> Lake:
    source = folder / "in"
    source.mkdir()
    for name, content in tables.items():
        (source / f"{name}.csv").write_text(content)
    lake = Lake(folder / "lake")
    ingest(source, lake, time_zone="Australia/Sydney", now=NOW)
    return lake


def views(lake: Lake) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return behaviour and contact of each customer, by id."""
    tables: dict[str, Any] = load_tables(
        lake, as_of=AS_OF, time_zone="Australia/Sydney", connection=ibis.duckdb.connect()
    )
    behaviour = customer_behaviour.VIEW.build(tables, AS_OF).to_polars()
    tables["view:customer_state"] = customer_state.VIEW.build(tables, AS_OF)
    contact = customer_contact.VIEW.build(tables, AS_OF).to_polars()
    return behaviour.sort("customer_id"), contact.sort("customer_id")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_of(
        tmp_path,
        transactions=SALES,
        stores=STORES,
        customers=CUSTOMERS,
        interactions=CONTACTS,
        responses=ANSWERS,
    )


def test_hours_and_weekdays_are_the_stores(lake: Lake) -> None:
    behaviour, contact = views(lake)
    # half past one on a Sunday in Sydney is half past ten on Saturday evening in Perth
    assert behaviour["customer_id"].to_list() == ["anywhere", "east", "west"]
    assert behaviour["purchase_hour_peak"].to_list() == [1, 1, 22]
    assert behaviour["weekday_peak"].to_list() == [7, 7, 6]
    assert behaviour["weekday_6_share"].to_list() == [0.0, 0.0, 1.0]
    assert contact["response_hour_peak"].to_list() == [None, 12, 9]


def test_days_between_purchases_stay_the_projects(lake: Lake) -> None:
    behaviour, _ = views(lake)
    assert behaviour["days_since_purchase"].to_list() == [4.0, 4.0, 4.0]
    assert behaviour["gap_days_median"].to_list() == [None, None, 7.0]


def test_one_clock_for_all_adds_no_column(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, transactions=SALES, stores="store_id,timezone\nSYD,Australia/Sydney\n")
    tables = load_tables(
        lake, as_of=AS_OF, time_zone="Australia/Sydney", connection=ibis.duckdb.connect()
    )
    assert CLOCK not in tables["transactions"].columns
    behaviour, _ = views(lake)
    assert set(behaviour["purchase_hour_peak"]) == {1}
