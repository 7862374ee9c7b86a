"""Exports as people really have them: zipped, saved from a spreadsheet, in other regions' signs."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from openpyxl import Workbook
from tests.data import exported

from nba.data.lake import Lake
from nba.data.report import LoadRefusedError

ORDERS, SUMS = exported.shopify_orders(40, currencies="USD")
ITEMS, ITEM_SUMS = exported.square_items(40)
MONEY = [
    "Subtotal", "Shipping", "Taxes", "Total", "Discount Amount", "Lineitem price",
    "Lineitem discount", "Refunded Amount",
]  # fmt: skip


def text(
    columns: list[str], rows: list[exported.Row], delimiter: str = ",", end: str = "\n"
) -> str:  # fmt: skip
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def changed(rows: list[exported.Row], change: Callable[[str], str], *names: str):
    return [
        {name: change(value) if name in names and value else value for name, value in row.items()}
        for row in rows
    ]


SHOPIFY = text(exported.SHOPIFY_ORDERS, ORDERS)
SQUARE = text(exported.SQUARE_ITEMS, ITEMS)
COMMAS = text(
    exported.SHOPIFY_ORDERS,
    changed(ORDERS, lambda v: f"{float(v):,.2f}".translate({44: ".", 46: ","}), *MONEY),
    ";",
    "\r\n",
)


def zipped(name: str, content: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
        archive.writestr("__MACOSX/._x.csv", "x")
        archive.writestr("read me.md", "x")
    return stream.getvalue()


def workbook(content: str) -> bytes:
    book, stream = Workbook(), io.BytesIO()
    for row in csv.reader(io.StringIO(content)):
        cells = [Decimal(cell) if cell.replace(".", "", 1).isdigit() else cell for cell in row]
        book.active.append(cells)  # type: ignore[union-attr]
    book.create_sheet("Notes").append(["Made by Bo"])
    book.save(stream)
    return stream.getvalue()


def cents(lake: Lake) -> int:
    lines = lake.polars("transactions")
    off = pl.col("discount").fill_null(0)
    return int(lines.select((100 * (pl.col("quantity") * pl.col("unit_price") - off)).sum()).item())


WHOLE = {
    "decimal comma, points for thousands": {"orders.csv": COMMAS},
    "points, commas for thousands": {
        "orders.csv": text(
            exported.SHOPIFY_ORDERS, changed(ORDERS, lambda v: f"{float(v):,.2f}", *MONEY)
        )
    },
    "what spreadsheets write of the separator": {"orders.csv": "sep=;\n" + COMMAS},
    "a spreadsheet's text": {
        "orders.txt": text(exported.SHOPIFY_ORDERS, ORDERS, "\t", "\r\n").encode("utf-16")
    },
    "tabs": {"orders.tsv": text(exported.SHOPIFY_ORDERS, ORDERS, "\t")},
    "a name in capitals": {"ORDERS.CSV": SHOPIFY},
    "zipped": {"orders.zip": zipped("all/orders_export_1.csv", SHOPIFY)},
    "a workbook": {"orders.xlsx": workbook(SHOPIFY)},
    "a zipped workbook": {"orders.zip": zipped("orders.txt", SHOPIFY)},
    "two files end to end": {"orders.csv": SHOPIFY + SHOPIFY.partition("\n")[0] + "\n"},
    "blank lines": {"orders.csv": SHOPIFY + "\n" + "," * 78 + "\n\n"},
}


@pytest.mark.parametrize("what", WHOLE)
def test_orders_come_in_whole(load, lake: Lake, what: str) -> None:
    report = load(WHOLE[what])
    assert report.recognised[0].endswith("Shopify orders (79 of 79 columns known)")
    assert report.tables["transactions"].quarantined.rows == 0
    assert cents(lake) == SUMS["USD"]


@pytest.mark.parametrize(
    "content",
    [
        "Item sales\n2025-01-01 to 2025-12-31\n\n" + SQUARE,
        SQUARE.replace("\n", "\r"),
        text(
            exported.SQUARE_ITEMS,
            changed(ITEMS, lambda v: f"({v[1:]})" if v[0] == "-" else v, "Net Sales", "Discounts"),
        ),
    ],
    ids=["a title above", "old ends of lines", "parentheses for minus"],
)
def test_items_come_in_whole(load, lake: Lake, content: str) -> None:
    report = load({"items.csv": content})
    assert report.tables["transactions"].quarantined.rows == 0
    assert cents(lake) == ITEM_SUMS[""]


def test_a_line_of_totals_is_set_aside(load, lake: Lake) -> None:
    total = text(exported.SQUARE_ITEMS, [{"Date": "Total", "Qty": "80", "Net Sales": "$9,000.00"}])
    report = load({"items.csv": "Item sales\n" + SQUARE + total.partition("\n")[2]})
    assert report.tables["transactions"].quarantined.rows == 1
    assert cents(lake) == ITEM_SUMS[""]
    told = [one.line() for one in report.checks if "quarantined" in one.message]
    assert any("line 43" in line for line in told)


def test_what_says_nothing_is_told(load) -> None:
    header = SHOPIFY.partition("\n")[0] + "\n"
    report = load({"orders.csv": SHOPIFY + header + "," * 78 + "\n", "none.csv": header})
    told = {one.name: one.message for one in report.checks if one.table == "input"}
    assert told["repeated_header"] == "1 lines repeat the header, in orders.csv"
    assert told["blank_lines"] == "1 lines are blank, in orders.csv"
    assert told["no_rows"] == "none.csv has a header and no rows"


def test_dates_of_two_readings_are_asked_for(load, lake: Lake) -> None:
    american = text(
        exported.SQUARE_ITEMS, changed(ITEMS, lambda v: f"{v[5:7]}/{v[8:]}/{v[2:4]}", "Date")
    )
    with pytest.raises(LoadRefusedError, match=r"(?s)nobody can tell.*--dates"):
        load({"items.csv": american})
    load({"items.csv": american}, dates="month_first")
    assert str(lake.polars("transactions")["ts"].min())[:10] == "2025-03-01"


def test_an_encoding_that_nobody_can_tell_is_asked_for(load, lake: Lake) -> None:
    western = SHOPIFY.replace("Green tea", "Thé vert").encode("windows-1252")
    with pytest.raises(LoadRefusedError, match=r"(?s)vert.*as windows-1252.*--encoding"):
        load({"orders.csv": western})
    load({"orders.csv": western}, encoding="windows-1252")
    assert "Thé vert" in set(lake.polars("transactions")["attr_product_name"])
    assert cents(lake) == SUMS["USD"]


def test_numbers_that_a_spreadsheet_cut_join_nobody(load, lake: Lake) -> None:
    rows = changed(ORDERS, lambda _: "1.55501E+10", "Phone")
    report = load({"orders.csv": text(exported.SHOPIFY_ORDERS, rows)})
    (check,) = [one for one in report.checks if one.name == "cut_numbers"]
    assert check.count == sum("Phone" in row for row in ORDERS)
    mails = {row["Email"].lower() for row in ORDERS if row.get("Email")}
    assert lake.polars("transactions")["customer_id"].drop_nulls().n_unique() == len(mails)


def test_what_cannot_be_opened_is_told(load) -> None:
    files = {"a.zip": b"PK", "b.xlsx": b"no", "c.xls": b"old", "d.csv": b"", "~$b.xlsx": b"x"}
    report = load({"orders.csv": SHOPIFY, **files})
    told = [one.message for one in report.checks if one.name == "unreadable"]
    assert [one.partition(":")[0] for one in told] == ["a.zip", "b.xlsx", "c.xls", "d.csv"]
    with pytest.raises(LoadRefusedError, match=r"d\.csv: an empty file"):
        load(files, into=Lake(Path(report.folder).parent / "another"))


def test_a_column_that_stands_twice_is_told(load, lake: Lake) -> None:
    twice = "\n".join(
        line + (",Tags" if place == 0 else ",") for place, line in enumerate(SQUARE.splitlines())
    ).replace("PAN Suffix", "Tags")
    report = load({"items.csv": twice})
    (check,) = [one for one in report.checks if one.name == "unknown_columns"]
    assert check.message.endswith("Tags, Tags (2)") or check.message.endswith("Tags (2), Tags")
    assert cents(lake) == ITEM_SUMS[""]


def test_events_in_one_array(load, lake: Lake) -> None:
    lines, sums = exported.segment_events(40)
    load({"events.json": "[\n" + ",\n".join(lines.splitlines()) + "\n]"})
    assert cents(lake) == sums["USD"]


def test_a_table_of_customers_and_an_export_are_put_together(load, lake: Lake) -> None:
    people = text(exported.SHOPIFY_CUSTOMERS, exported.shopify_customers(6))
    table = (
        "customer_id,clerk_id,city,consent_contact,email,friend_since\n"
        "C1,K1,Leeds,false,anna3@example.com,2024-06-01 12:00:00\n"
        "C2,K1,,,anna4@example.com,\n"
    )
    for name in ("a.csv", "z.csv"):  # whichever file comes last
        report = load({"items.csv": SQUARE, "customers.csv": table, name: people})
        (check,) = [one for one in report.checks if one.name == "put_together"]
        assert check.count == 2
        assert "repeated_keys" not in {one.name for one in report.checks}
        found = {row["customer_id"]: row for row in lake.polars("customers").to_dicts()}
        shown = [
            (row["clerk_id"], row["city"], row["name"], row["consent_contact"])
            for row in (found["C1"], found["C2"])
        ]
        assert shown == [("K1", "Leeds", "Anna 3 Li", False), ("K1", "Boston", "Anna 4 Li", None)]
        assert found["C1"]["friend_since"].year == 2024
        # the table says that this one is no friend; the export knows nothing of it
        assert found["C2"]["friend_since"] is None


def test_orders_of_two_kinds_of_files_are_told(load) -> None:
    table = "order_id,customer_id,product_id,ts,quantity\nT0,C1,p1,2025-03-01 10:00:00,1\n"
    report = load({"items.csv": SQUARE, "transactions.csv": table})
    (check,) = [one for one in report.checks if one.name == "orders_of_two"]
    assert check.count == 1
    assert "(T0)" in check.message


def test_names_of_web_shops_have_no_markup(load, lake: Lake) -> None:
    rows, _ = exported.woocommerce_orders(4)
    rows = [row | {"item_name": "Mug &amp; cup &#8211; Bo&#039;s", "item_sku": ""} for row in rows]
    load({"orders.csv": text(exported.WOO_ITEMS, rows)})
    assert set(lake.polars("transactions")["attr_product_name"]) == {"Mug & cup – Bo's"}


def test_a_file_that_ends_too_early_is_called_by_its_name(load, lake: Lake) -> None:
    report = load({"all.zip": zipped("orders.csv", SHOPIFY + '#9999,"never ends')})
    assert report.tables["transactions"].quarantined.rows == 1
    told = [one.first for one in report.checks if "rows quarantined" in one.message]
    assert told
    assert all("all.zip/orders.csv, line" in first for first in told)
    assert cents(lake) == SUMS["USD"]


def test_nulls_of_a_database_are_no_customer(load, lake: Lake) -> None:
    nulls = {
        "external_userid": "NULL",
        "phone": r"\N",
        "external_name": "NULL",
        "we_user_id": "null",
    }
    orders, _ = exported.linkwechat_orders(3)
    rows = [orders[0] | nulls, orders[1] | nulls | {"external_userid": r"\N"}, orders[2]]
    contacts = exported.mochat_contacts(2)
    contacts[0] |= {"remark": "NULL", "deleted_at": "NULL", "status": "2"}
    load(
        {
            "we_product_order.csv": text(exported.LINKWECHAT_ORDERS, rows),
            "contacts.csv": text(exported.MOCHAT_CONTACTS, contacts),
        }
    )
    lines = lake.polars("transactions").filter(~pl.col("line_no").str.ends_with("r"))
    assert lines.sort("order_id")["customer_id"].to_list()[:2] == [None, None]
    assert lines["customer_id"].drop_nulls().to_list() == [f"wecom:{rows[2]['external_userid']}"]
    assert lines["clerk_id"].null_count() == 2
    ended = lake.polars("friendships").sort("customer_id")["ended_at"].to_list()
    assert str(ended[0])[:10] == contacts[0]["updated_at"][:10]
    assert lake.polars("customers").sort("customer_id")["alias"].drop_nulls().to_list() == ["王1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {"Date": datetime.fromisoformat(row["Date"])},
        lambda row: {
            "Date": f"{datetime.fromisoformat(row['Date']):%m/%d/%Y}",
            "Time": f"{datetime.fromisoformat('2024-01-01 ' + row['Time']):%I:%M:%S %p}",
        },
    ],
    ids=["a cell of a day in a workbook", "saved again by a spreadsheet"],
)
def test_moments_of_square_as_spreadsheets_save_them(load, lake: Lake, tmp_path, change) -> None:
    load({"items.csv": SQUARE}, into=(plain := Lake(tmp_path / "plain")))
    rows = [row | change(row) for row in ITEMS]
    if isinstance(rows[0]["Date"], str):
        load({"items.csv": text(exported.SQUARE_ITEMS, rows)}, dates="month_first")
    else:
        book, stream = Workbook(), io.BytesIO()
        book.active.append(exported.SQUARE_ITEMS)  # type: ignore[union-attr]
        for row in rows:
            cells = [row.get(name, "") for name in exported.SQUARE_ITEMS]
            book.active.append(cells)  # type: ignore[union-attr]
        book.save(stream)
        load({"items.xlsx": stream.getvalue()})
    moments = [sorted(one.polars("transactions")["ts"].to_list()) for one in (plain, lake)]
    assert moments[0] == moments[1]


def test_amounts_that_may_be_thousands_are_told(load) -> None:
    def told(price: str, other: str) -> list[str]:
        rows = [
            ORDERS[0] | dict.fromkeys(MONEY, "") | {"Name": f"#{place}", "Lineitem price": value}
            for place, value in enumerate((price, other))
        ]
        report = load({"orders.csv": text(exported.SHOPIFY_ORDERS, rows, ";")})
        return [one.message for one in report.checks if one.name == "unclear_amounts"]

    (line,) = told("1.250", "990")
    assert line.startswith("1 amounts in orders.csv may be thousands")
    assert "1.250 is read as 1.25;" in line
    assert told("1.250", "990.50") == told("1.250", "990,50") == []
