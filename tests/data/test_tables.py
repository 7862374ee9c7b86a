"""The tables at a moment: what is visible, which version counts, what is derived."""

from __future__ import annotations

from datetime import datetime

import ibis
import polars as pl
import pytest

from nba.data.lake import Lake
from nba.data.tables import load_tables
from nba.schema.tables import TABLES

ZONE = "Asia/Shanghai"


def at(lake: Lake, as_of: datetime | None) -> dict[str, pl.DataFrame]:
    tables = load_tables(lake, as_of=as_of, time_zone=ZONE, connection=ibis.duckdb.connect())
    assert set(tables) == set(TABLES)
    return {name: table.to_polars() for name, table in tables.items()}


def column(frame: pl.DataFrame, key: str, name: str) -> dict[str, object]:
    return dict(zip(frame[key].to_list(), frame[name].to_list(), strict=True))


def test_rows_at_or_after_as_of_are_not_visible(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines})
    rows = at(lake, datetime(2026, 4, 2, 9, 30))["transactions"]
    assert sorted(rows["order_id"]) == ["o1", "o1"]
    rows = at(lake, datetime(2026, 4, 2, 9, 30, 1))["transactions"]
    assert sorted(rows["order_id"]) == ["o1", "o1", "o2"]
    assert at(lake, None)["transactions"].height == 4


def test_times_are_local_and_money_is_float(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines})
    rows = at(lake, None)["transactions"].sort("order_id", "product_id")
    assert rows["ts"].dtype == pl.Datetime("us")
    assert rows["ts"][0] == datetime(2026, 3, 1, 10)
    assert rows["ts"][2] == datetime(2026, 4, 2, 9, 30)
    assert rows["unit_price"].dtype == pl.Float64()
    assert rows.schema["quantity"] == pl.Float64()


def test_everything_is_derived_from_lines_alone(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines})
    tables = at(lake, datetime(2026, 5, 1))
    assert sorted(tables["customers"]["customer_id"]) == ["05", "c2"]
    assert set(tables["customers"]["clerk_id"]) == {"clerk_1"}
    assert tables["clerks"].to_dicts()[0]["store_id"] == "store_1"
    assert tables["clerks"]["minutes_per_day"].to_list() == [60.0]
    assert column(tables["products"], "product_id", "price") == {"p1": 12.5, "p2": 3.0, "p3": None}
    assert column(tables["friendships"], "customer_id", "since") == {
        "05": datetime(2026, 3, 1, 10),
        "c2": datetime(2026, 4, 2, 9, 30),
    }
    early = at(lake, datetime(2026, 4, 1))
    assert early["customers"]["customer_id"].to_list() == ["05"]
    assert sorted(early["products"]["product_id"]) == ["p1", "p2"]


def test_versions_of_a_product(load, lake: Lake, lines: str) -> None:
    products = "product_id,price,valid_from\np1,10,2026-02-01\np1,12,2026-03-01\np1,14,2026-04-01\n"
    load({"transactions.csv": lines, "products.csv": products})

    def price(day: datetime) -> object:
        return column(at(lake, day)["products"], "product_id", "price")["p1"]

    assert price(datetime(2026, 1, 1)) == 10.0
    assert price(datetime(2026, 3, 1)) == 10.0
    assert price(datetime(2026, 3, 2)) == 12.0
    assert price(datetime(2026, 5, 1)) == 14.0


def test_lines_without_price_take_that_of_the_product(load, lake: Lake) -> None:
    load(
        {
            "transactions.csv": "order_id,product_id,ts,quantity\no1,p1,2026-02-10,1\n"
            "o2,p1,2026-03-10,1\n",
            "products.csv": "product_id,price,valid_from\np1,10,2026-02-01\np1,12,2026-03-01\n",
        }
    )
    rows = at(lake, datetime(2026, 5, 1))["transactions"]
    assert column(rows, "order_id", "unit_price") == {"o1": 10.0, "o2": 12.0}


def consent(lake: Lake, day: datetime) -> bool:
    value = column(at(lake, day)["customers"], "customer_id", "consent_contact")["a"]
    assert isinstance(value, bool)
    return value


HEAD = "customer_id,consent_contact,consent_at,valid_from\n"


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        (["a,true,,\n"], True),
        (["a,,,\n"], True),
        (["a,false,,\n"], False),
        # an undated file never re-grants
        (["a,false,,\n", "a,true,,\n"], False),
        (["a,false,2026-01-05,\n", "a,true,,\n"], False),
        # a dated one does
        (["a,false,2026-01-05,\n", "a,true,2026-01-09,\n"], True),
        # the latest word wins, in whatever order the files come
        (["a,true,2026-01-09,\n", "a,false,2026-01-05,\n"], True),
        (["a,false,2026-01-09,\n", "a,true,2026-01-05,\n"], False),
        # at the same moment "no" wins
        (["a,true,2026-01-09,2026-01-01\na,false,2026-01-09,2026-01-02\n"], False),
        # an undated "no" withdraws an earlier "yes"
        (["a,true,2026-01-05,2026-01-05\na,false,,2026-02-01\n"], False),
    ],
)
def test_consent(load, lake: Lake, lines: str, now: datetime, loads: list[str], expected) -> None:
    for number, rows in enumerate(loads):
        load(
            {"transactions.csv": lines, "customers.csv": HEAD + rows},
            now=now.replace(hour=3 + number),
        )
    assert consent(lake, datetime(2026, 7, 1)) is expected


def test_consent_counts_from_its_date(load, lake: Lake, lines: str) -> None:
    rows = (
        "a,true,2026-01-05,2026-01-05\n"
        "a,false,2026-03-05,2026-03-05\n"
        "a,true,2026-05-05,2026-05-05\n"
    )
    load({"transactions.csv": lines, "customers.csv": HEAD + rows})
    days = (datetime(2026, month, 10) for month in (1, 2, 3, 4, 5))
    assert [consent(lake, day) for day in days] == [True, True, False, False, True]
    assert consent(lake, datetime(2026, 3, 5)) is True


def friends(lake: Lake, day: datetime) -> dict[str, object]:
    return column(at(lake, day)["customers"], "customer_id", "friend_since")


def test_friends_where_the_column_is_absent_or_empty(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines, "customers.csv": "customer_id,joined_at\n05,2026-01-02\nz,\n"})
    found = friends(lake, datetime(2026, 5, 1))
    assert found["05"] == datetime(2026, 1, 2)
    assert found["z"] is not None
    # c2 buys but stands in no file: not a friend, since there is a file that knows the customers
    assert found["c2"] is None


def test_friend_since_counts_where_the_column_is_there(load, lake: Lake, lines: str) -> None:
    load(
        {
            "transactions.csv": lines,
            "customers.csv": "customer_id,friend_since\n05,2026-01-02\nc2,\n",
        }
    )
    found = friends(lake, datetime(2026, 5, 1))
    assert found == {"05": datetime(2026, 1, 2), "c2": None}


def test_a_file_without_the_column_does_not_befriend(
    load, lake: Lake, lines: str, now: datetime
) -> None:
    load({"transactions.csv": lines, "customers.csv": "customer_id,friend_since\n05,\n"})
    load({"customers.csv": "customer_id,city\n05,Wuhan\n"}, now=now.replace(day=2))
    customers = at(lake, datetime(2026, 7, 1))["customers"]
    assert column(customers, "customer_id", "city")["05"] == "Wuhan"
    assert column(customers, "customer_id", "friend_since")["05"] is None


def test_later_facts_are_hidden(load, lake: Lake, lines: str) -> None:
    load(
        {
            "transactions.csv": lines,
            "friendships.csv": "customer_id,clerk_id,since,ended_at,ended_by\n"
            "05,k1,2026-01-01,2026-04-01,customer\n",
            "benefits.csv": "benefit_id,customer_id,kind,used_at\nb,05,coupon,2026-04-01\n",
            "service_cases.csv": "case_id,customer_id,kind,opened_at,closed_at\n"
            "s,05,question,2026-03-01,2026-04-01\n",
        }
    )
    early, late = at(lake, datetime(2026, 3, 15)), at(lake, datetime(2026, 4, 15))
    assert early["friendships"]["ended_at"].to_list() == [None]
    assert early["friendships"]["ended_by"].to_list() == [None]
    assert late["friendships"]["ended_by"].to_list() == ["customer"]
    assert early["benefits"]["used_at"].to_list() == [None]
    assert early["service_cases"]["closed_at"].to_list() == [None]
    assert late["service_cases"]["closed_at"].to_list() == [datetime(2026, 4, 1)]


def test_kinds_of_categories_are_derived(load, lake: Lake) -> None:
    orders, products = "", ""
    for number in range(40):
        orders += f"a{number},c{number % 4},milk,2026-01-{1 + number // 4 * 2:02d},1,2\n"
        orders += f"b{number},d{number},watch,2026-01-05,1,900\n"
        orders += f"e{number},d{number},socks,2026-01-06,1,5\n"
    products = "product_id,category\nmilk,dairy\nwatch,watches\nsocks,clothes\n"
    head = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
    load({"transactions.csv": head + orders, "products.csv": products})
    categories = at(lake, datetime(2026, 5, 1))["categories"]
    assert column(categories, "category", "kind") == {
        "dairy": "group",
        "watches": "premium",
        "clothes": "short",
    }
    assert column(categories, "category", "replenishable")["dairy"] is True
    assert column(categories, "category", "replenishable")["clothes"] is False


def test_an_empty_lake_has_every_table(lake: Lake) -> None:
    tables = at(lake, datetime(2026, 5, 1))
    assert tables["transactions"].height == 0
    assert tables["clerks"].height == 1


def test_events_are_read_in_place_whatever_fills_them_in(load, lake: Lake) -> None:
    load(
        {
            "transactions.csv": "order_id,customer_id,product_id,ts,quantity\n"
            "o1,c1,p1,2026-03-01 10:00:00,2\no2,c1,p1,2026-04-01 10:00:00,1\n",
            "products.csv": "product_id,price,valid_from\n"
            "p1,10,2026-01-01 00:00:00\np1,12,2026-03-15 00:00:00\n",
        }
    )
    connection = ibis.duckdb.connect()
    tables = load_tables(lake, as_of=None, time_zone=ZONE, connection=connection)
    lines = tables["transactions"].to_polars()
    assert column(lines, "order_id", "unit_price") == {"o1": 10.0, "o2": 12.0}
    views = connection.con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal")
    in_place = {name.split("_")[-1] for (name,) in views.fetchall()}
    assert in_place == {"transactions", "interactions", "responses", "behaviour", "given"}
