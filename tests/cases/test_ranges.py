"""One set of value ranges: what is accepted anywhere can be kept everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import ibis
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nba.data.ingest import ingest
from nba.data.lake import connect
from nba.errors import InputRefusedError
from nba.features.exact import units
from nba.schema.tables import MAX_MONEY, MAX_QUANTITY
from nba.serving.rows import parse_row

NOW = datetime(2026, 11, 20, tzinfo=UTC)
HEADER = "order_id,line_no,product_id,ts,quantity,unit_price\n"
AMOUNTS = [
    (6901234567892, 99, False),
    (1_000_001, 1, False),
    (-1_000_001, 1, False),
    (1_000_000, 9999, True),
    (1_000_000, 10_000, False),
    (1, 9_999_999_999, True),
    (1, 10_000_000_000, False),
    (0, 5, False),
    (0.00001, 5, False),
    (0.0001, 5, True),
    ("1e30", 1, False),
    ("-0.5", "3.99999", True),
]


@pytest.mark.parametrize(("quantity", "price", "accepted"), AMOUNTS)
def test_files_and_requests_accept_the_same(shop, quantity, price, accepted: bool) -> None:
    shop.load(transactions=f"{HEADER}o,1,p,2026-03-01,{quantity},{price}\no2,1,p,2026-03-01,1,1\n")
    assert shop.lake.rows("transactions") == 1 + accepted
    assert [rule for _, rule, _ in shop.quarantine] == ([] if accepted else ["range"])
    row = {"order_id": "o", "line_no": "1", "product_id": "p", "ts": "2026-03-01"}
    row |= {"quantity": quantity, "unit_price": price}
    if accepted:
        parse_row("transactions", row, zone=ZoneInfo("UTC"), now=NOW)
        return
    with pytest.raises(InputRefusedError, match=r"transactions\.(quantity|unit_price)"):
        parse_row("transactions", row, zone=ZoneInfo("UTC"), now=NOW)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    quantity=st.decimals(-MAX_QUANTITY, MAX_QUANTITY, places=4),
    price=st.decimals(0, MAX_MONEY, places=4),
)
def test_what_a_request_accepts_can_be_multiplied_in_the_lake(
    quantity: Decimal, price: Decimal
) -> None:
    row = {"order_id": "o", "line_no": "1", "product_id": "p", "ts": "2026-03-01"}
    row |= {"quantity": str(quantity), "unit_price": str(price)}
    try:
        values = parse_row("transactions", row, zone=ZoneInfo("UTC"), now=NOW).values
    except InputRefusedError:
        return
    with connect() as connection:
        amount = connection.execute(
            f"SELECT CAST({values['quantity']} AS DECIMAL(18, 4)) "
            f"* CAST({values['unit_price']} AS DECIMAL(18, 4))"
        ).fetchone()
    assert amount == (values["quantity"] * values["unit_price"],)


def test_no_line_is_too_large_for_whole_units() -> None:
    table = ibis.memtable({"amount": [1e20, -1e20, 12.345, None]})
    with duckdb.connect() as connection:
        assert connection is not None
        counted = ibis.duckdb.connect().to_polars(table.select(n=units(table.amount)))
    assert counted["n"].to_list() == [10**15, -(10**15), 123450, None]


def test_a_text_that_nothing_can_write_is_refused_by_the_row() -> None:
    row = {"order_id": "o", "line_no": "1", "product_id": "p", "ts": "2026-03-01", "quantity": 1}
    for changes in ({"order_id": "\ud800"}, {"attr_note": "\udfff"}, {"attr_\ud800": "x"}):
        with pytest.raises(InputRefusedError) as caught:
            parse_row("transactions", row | changes, zone=ZoneInfo("UTC"), now=NOW)
        for part in (caught.value.what, caught.value.expected, caught.value.found):
            part.encode()


def test_what_an_older_version_accepted_never_stops_a_night(shop) -> None:
    typed = pl.DataFrame(
        {
            "order_id": ["a", "b"],
            "line_no": ["1", "1"],
            "product_id": ["p", "p"],
            "ts": [NOW, NOW],
            "quantity": [Decimal("6901234567892"), Decimal(1)],
            "unit_price": [Decimal(99), Decimal(99)],
        },
        schema_overrides={"quantity": pl.Decimal(18, 4), "unit_price": pl.Decimal(18, 4)},
    )
    folder = shop.folder()
    typed.write_parquet(folder / "transactions.parquet")
    report = ingest(folder, shop.lake, time_zone="UTC", now=NOW, is_increment=True)
    assert report.exit_code == 0
    assert shop.column("order_id") == ["b"]
    assert [(row["line"], row["column"], row["rule"]) for row in report.refused] == [
        (1, "quantity", "range")
    ]
    assert shop.quarantine == []  # who keeps the rows is told, and keeps them


def test_a_row_that_is_refused_again_is_told_again(shop) -> None:
    row = "order_id,product_id,ts,quantity,unit_price\na,p,2026-05-01,6901234567892,99\n"
    for _ in range(2):
        folder = shop.folder(transactions=row)
        report = ingest(folder, shop.lake, time_zone="UTC", now=NOW, is_increment=True)
        assert [row["rule"] for row in report.refused] == ["range"]


def test_events_may_come_before_the_first_sale(shop) -> None:
    folder = shop.folder(interactions="interaction_id,customer_id,ts,mode\ni,c1,2026-05-01,none\n")
    ingest(folder, shop.lake, time_zone="UTC", now=NOW, is_increment=True)
    assert shop.lake.rows("interactions") == 1
