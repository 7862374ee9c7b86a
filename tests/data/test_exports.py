"""Exports of known systems load by their header alone, and their money is there to the cent."""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data import exported

from nba.data.exports.kinds import export_kinds, reference
from nba.data.exports.recognise import recognise
from nba.data.folder import open_folder
from nba.data.lake import Lake, connect
from nba.data.report import LoadRefusedError


def cents(lake: Lake, fallback: str) -> Counter[str]:
    """What the lake's lines come to in cents, by currency; `attr_…` where it is another one."""
    lines = lake.polars("transactions")
    if "attr_currency" not in lines.columns:
        lines = lines.with_columns(
            pl.lit(fallback).alias("attr_currency"),
            *(pl.lit(None, pl.Utf8).alias(f"attr_{name}") for name in ("unit_price", "discount")),
        )
    found: Counter[str] = Counter()
    for row in lines.iter_rows(named=True):
        price, off = row["unit_price"], row["discount"]
        if price is None:
            price, off = Decimal(row["attr_unit_price"]), Decimal(row["attr_discount"] or 0)
        found[row["attr_currency"]] += int(100 * (row["quantity"] * price - (off or 0)))
    return found


@pytest.mark.parametrize("name", exported.LINE_EXPORTS)
def test_two_hundred_lines_without_a_mapping(load, lake: Lake, name: str) -> None:
    columns, make = exported.LINE_EXPORTS[name]
    rows, sums = make(200)
    report = load({"an export.csv": exported.write(columns, rows)})
    assert report.committed
    assert report.recognised[0].endswith(f"({len(columns)} of {len(columns)} columns known)")
    table = report.tables["transactions"]
    assert table.quarantined.rows == 0
    assert cents(lake, next(iter(sums))) == sums
    again = load({"an export.csv": exported.write(columns, rows)})
    assert not again.changed


@pytest.mark.parametrize("name", exported.LINE_EXPORTS)
def test_columns_renamed_dropped_added_and_reordered(
    load, lake: Lake, name: str, tmp_path: Path
) -> None:
    kind = next(one for one in export_kinds() if one.name == name)
    columns, make = exported.LINE_EXPORTS[name]
    rows, sums = make(60)
    mixed = [*columns, "Loyalty Level"]
    random.Random(9).shuffle(mixed)
    report = load({"export.csv": exported.write(mixed, rows)})
    assert cents(lake, next(iter(sums))) == sums
    (unknown,) = [check for check in report.checks if check.name == "unknown_columns"]
    assert "Loyalty Level" in unknown.message
    for plain in kind.required:
        header = next(one for one in columns if one.lower().replace(" ", "_") == plain)
        others = [one for one in columns if one != header]
        changed = tmp_path / "changed"
        changed.mkdir(exist_ok=True)
        (changed / "export.csv").write_text(exported.write([*others, f"New {header}"], []))
        with connect() as connection:
            ((one,), unreadable) = recognise(
                connection, open_folder(changed, tmp_path / "opened"), tmp_path
            )
        assert not unreadable
        assert one.problem.startswith(f"export.csv looks like {kind.title}, but lacks {plain}")
        assert f"not known of it: New {header}\n" in one.problem
    with pytest.raises(LoadRefusedError, match="looks like"):
        load({"export.csv": exported.write(others, [])})
    print(
        f"{name}: {len(mixed)} columns in another order, one of them added: told, the same money; "
        f"each of {len(kind.required)} renamed or dropped: refused by its name"
    )


@pytest.mark.parametrize("name", exported.PEOPLE_EXPORTS)
def test_two_hundred_people_without_a_mapping(load, lake: Lake, lines: str, name: str) -> None:
    columns, make, table = exported.PEOPLE_EXPORTS[name]
    mixed = [*columns, "Loyalty Level"]
    random.Random(9).shuffle(mixed)
    for header in (columns, mixed):
        report = load({"transactions.csv": lines, "people.csv": exported.write(header, make(200))})
        assert report.committed
        assert report.recognised[0].endswith(f"({len(columns)} of {len(header)} columns known)")
        assert report.tables[table].quarantined.rows == 0
    assert not report.changed
    rows = 50 if table == "interactions" else 200
    assert lake.polars(table).height == rows
    kind = next(one for one in export_kinds() if one.name == name)
    for plain in kind.required:
        header = next(one for one in columns if one.lower().replace(" ", "_") == plain)
        others = [one for one in columns if one != header]
        with pytest.raises(LoadRefusedError, match=f"looks like .*, but lacks {plain}"):
            load({"people.csv": exported.write([*others, f"New {header}"], [])})
    print(
        f"{name}: {len(mixed)} columns in another order, one of them added: told, the same rows; "
        f"each of {len(kind.required)} renamed or dropped: refused by its name"
    )


def loaded(load, files: dict[str, tuple[list[str], list[exported.Row]]], **options):
    return load({name: exported.write(*content) for name, content in files.items()}, **options)


def test_orders_and_customers_of_shopify_are_joined_by_mail_and_phone(load, lake: Lake) -> None:
    rows, _ = exported.shopify_orders(300)
    files = {
        "orders_export_1.csv": (exported.SHOPIFY_ORDERS, rows),
        "customers_export.csv": (exported.SHOPIFY_CUSTOMERS, exported.shopify_customers()),
    }
    report = loaded(load, files)
    assert report.recognised == [
        "customers_export.csv: Shopify customers (20 of 20 columns known)",
        "orders_export_1.csv: Shopify orders (79 of 79 columns known)",
    ]
    lines = lake.polars("transactions")
    assert set(lines["customer_id"]) <= {f"shopify:{7_000_000_000 + n}" for n in range(1, 61)}
    assert lines["customer_id"].null_count() == 0
    first = lines.filter(order_id="#1000", line_no="1").row(0, named=True)
    assert first["ts"].isoformat() == "2025-03-01T13:30:00+00:00"  # 09:30 at -04:00
    assert lake.polars("customers").height == 60
    identities = lake.polars("identities")
    assert set(identities["kind"]) == {"shopify", "email", "phone"}
    assert all(len(value) == 64 for value in identities["value"])
    assert "anna" not in str(identities.to_dicts()).lower()


def test_orders_alone_and_customers_later(load, lake: Lake) -> None:
    rows, _ = exported.shopify_orders(100)
    orders = {"orders.csv": (exported.SHOPIFY_ORDERS, rows)}
    loaded(load, orders)
    before = set(lake.polars("transactions")["customer_id"])
    assert all(one.startswith("guest:") for one in before)
    loaded(load, {"customers.csv": (exported.SHOPIFY_CUSTOMERS, exported.shopify_customers())})
    # who was known keeps the id under which the past stands
    assert before <= set(lake.polars("customers")["customer_id"])
    loaded(load, orders)
    assert set(lake.polars("transactions")["customer_id"]) == before


def test_a_phone_of_two_customers_joins_nobody(load, lake: Lake) -> None:
    people = exported.shopify_customers(3)
    for one in people[:2]:
        one["Phone"] = "+1 555 999 0000"
    order = exported.shopify_orders(1)[0][0] | {"Email": "", "Phone": "1 (555) 999-0000"}
    files = {
        "customers_export.csv": (exported.SHOPIFY_CUSTOMERS, people),
        "orders.csv": (exported.SHOPIFY_ORDERS, [order]),
    }
    report = loaded(load, files)
    (check,) = [one for one in report.checks if one.name == "identities.shared"]
    assert check.count == 1
    assert lake.polars("customers").height == 3
    assert lake.polars("transactions")["customer_id"].to_list() == [None]
    nobody = lake.polars("identities").filter(pl.col("customer_id").is_null())
    assert nobody["kind"].to_list() == ["phone"]


def test_two_systems_know_one_customer(load, lake: Lake) -> None:
    people = exported.shopify_customers(30)
    orders, _ = exported.woocommerce_orders(60)
    report = loaded(
        load,
        {
            "customers_export.csv": (exported.SHOPIFY_CUSTOMERS, people),
            "woo.csv": (exported.WOO_ITEMS, orders),
        },
    )
    (joined,) = [one for one in report.checks if one.name == "identities.joined"]
    mails = {one["Email"] for one in people} & {one["billing_email"] for one in orders}
    assert joined.count == len(mails - {""})
    ids = set(lake.polars("transactions")["customer_id"])
    assert {one.partition(":")[0] for one in ids} == {"shopify", "woocommerce", "guest"}


def test_keys_that_would_join_two_ids_of_one_system_are_only_told(load, lake: Lake) -> None:
    people = exported.shopify_customers(2)
    bridge = exported.woocommerce_orders(1)[0][0] | {
        "customer_id": "77", "billing_email": people[0]["Email"],
        "billing_phone": people[1]["Phone"].removeprefix("'"), "status": "completed",
    }  # fmt: skip
    report = loaded(
        load,
        {
            "customers_export.csv": (exported.SHOPIFY_CUSTOMERS, people),
            "woo.csv": (exported.WOO_ITEMS, [bridge]),
        },
    )
    assert [one.count for one in report.checks if one.name == "identities.conflicts"] == [1]
    assert {"shopify:7000000001", "shopify:7000000002"} <= set(
        lake.polars("customers")["customer_id"]
    )


def test_overlapping_exports_count_an_order_once(load, lake: Lake) -> None:
    rows, sums = exported.shopify_orders(200, currencies="USD")
    files = {
        "orders_1.csv": (exported.SHOPIFY_ORDERS, rows[:150]),
        "orders_2.csv": (exported.SHOPIFY_ORDERS, rows),
    }
    loaded(load, files)
    assert cents(lake, "USD") == sums


def test_tips_and_gift_cards_are_services(load, lake: Lake) -> None:
    order = exported.shopify_orders(1, seed=4)[0][0] | {
        "Lineitem quantity": "1", "Lineitem price": "20.00", "Lineitem discount": "0.00",
        "Subtotal": "70.00", "Financial Status": "paid", "Refunded Amount": "0.00",
    }  # fmt: skip
    plain = {"Name": order["Name"], "Lineitem quantity": "1", "Lineitem discount": "0.00"}
    tip = plain | {"Lineitem name": "Tip", "Lineitem price": "3.00"}
    card = plain | {
        "Lineitem name": "Gift Card", "Lineitem price": "50.00", "Lineitem sku": "GC",
        "Lineitem requires shipping": "false",
    }  # fmt: skip
    loaded(load, {"orders.csv": (exported.SHOPIFY_ORDERS, [order, tip, card])})
    lines = lake.polars("transactions").sort("line_no")
    assert lines["attr_product_category"].to_list() == [None, "service", "service"]
    assert lines["discount"].to_list() == [0, 0, 0]


def test_segment_events_are_purchases_and_behaviour(load, lake: Lake) -> None:
    text, sums = exported.segment_events(200)
    report = load({"events.jsonl": text + "{broken\n"})
    assert report.recognised[0].startswith("events.jsonl: Segment events")
    assert cents(lake, "USD") == sums
    behaviour = lake.polars("behaviour")
    assert set(behaviour["kind"]) == {"view", "search", "cart"}
    assert set(behaviour.filter(kind="search")["value"]) == {"tea"}
    # an id of a browser leads to the user who signed in with it
    assert all(one.startswith("segment:u") for one in behaviour["customer_id"])
    assert report.tables["transactions"].quarantined.rows == 1


def test_members_of_segment_renamed_dropped_added_and_reordered(load, lake: Lake) -> None:
    text, sums = exported.segment_events(60)
    events = [json.loads(line) for line in text.splitlines()]
    mixed = [dict(reversed([*event.items(), ("loyaltyLevel", "gold")])) for event in events]
    report = load({"events.jsonl": lines_of(mixed)})
    assert cents(lake, "USD") == sums
    (unknown,) = [check for check in report.checks if check.name == "unknown_columns"]
    assert "loyaltyLevel" in unknown.message
    for name in ("event", "properties", "timestamp"):
        renamed = [{key + "2" * (key == name): one for key, one in e.items()} for e in events]
        dropped = [{key: one for key, one in event.items() if key != name} for event in events]
        for changed in (renamed, dropped):
            with pytest.raises(LoadRefusedError, match=f"looks like .*, but lacks {name}"):
                load({"events.jsonl": lines_of(changed)})
    print(
        "segment_events: members in another order, one of them added: told, the same money; "
        "each of 3 renamed or dropped: refused by its name"
    )


def lines_of(events: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def test_tables_of_mochat(load, lake: Lake, lines: str) -> None:
    report = load(
        {
            "transactions.csv": lines,
            "mc_work_contact_employee.csv": exported.write(
                exported.MOCHAT_CONTACTS, exported.mochat_contacts()
            ),
            "mc_contact_message_batch_send_result.csv": exported.write(
                exported.MOCHAT_RESULTS, exported.mochat_results()
            ),
        }
    )
    assert len(report.recognised) == 2
    assert report.tables["transactions"].accepted.rows == 4
    friends = lake.polars("friendships")
    assert friends.height == 200
    assert friends["ended_at"].drop_nulls().len() == 14
    sent = lake.polars("interactions")
    assert sent.height == 50
    # the contact's friendship and the message to them are of one customer
    assert set(sent["customer_id"]) <= set(friends["customer_id"])
    told = {one.message for one in report.checks if one.name == "note.mochat_results"}
    assert len(told) == 3
    assert any("cap held back" in text for text in told)


def test_customers_of_linkwechat_in_three_encodings(load, tmp_path: Path) -> None:
    people = exported.write(exported.LINKWECHAT_CUSTOMERS, exported.linkwechat_customers())
    orders = exported.write(exported.LINKWECHAT_ORDERS, exported.linkwechat_orders(50)[0])
    found = []
    for encoding in ("utf-8-sig", "gb18030", "utf-16"):
        into = Lake(tmp_path / encoding)
        load(
            {"we_customer.csv": people.encode(encoding), "order.csv": orders.encode(encoding)},
            into=into,
        )
        found.append(into.polars("transactions").drop("loaded_at").sort("order_id").to_dicts())
        customers = into.polars("customers")
        assert customers.height == 50
        assert set(customers["gender"]) == {"male", "female", None}
    assert found[0] == found[1] == found[2]


def test_what_cannot_be_used_says_what_to_export(load) -> None:
    header = "Date,Order #,N. Revenue (formatted),Status,Customer,Customer type,Product(s),"
    header += "Items sold,Coupon(s),Net Sales,Attribution\n"
    with pytest.raises(LoadRefusedError, match="one row per line item"):
        load({"orders.csv": header})


LEFT_OUT = {
    "lightspeed_sales": (exported.LIGHTSPEED, lambda: exported.lightspeed_sales(9)[0],
                         {"Line Type": "Return Line"}, "lines of other types"),
    "linkwechat_tags": (exported.LINKWECHAT_TAGS, exported.linkwechat_tags,
                        {"del_flag": "2"}, "taken from their customers"),
    "linkwechat_members": (exported.LINKWECHAT_MEMBERS, exported.linkwechat_members,
                           {"type": "1"}, "shop's own people"),
    "mochat_results": (exported.MOCHAT_RESULTS, exported.mochat_results,
                       {"status": "9"}, "another status"),
    "linkwechat_customers": (exported.LINKWECHAT_CUSTOMERS, exported.linkwechat_customers,
                             {"external_userid": ""}, "without an external_userid"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_lines_that_are_left_out_are_told(load, lines: str, name: str) -> None:
    columns, make, says, words = LEFT_OUT[name]
    rows = make()
    files = {"export.csv": exported.write(columns, [*rows, *[{**rows[1], **says}] * 2])}
    report = load({**files, **({} if name == "lightspeed_sales" else {"transactions.csv": lines})})
    assert [one.count for one in report.checks if words in one.message] == [2]


def test_a_deleted_contact_of_linkwechat_is_no_friend(load, lake: Lake, lines: str) -> None:
    rows = [
        {**one, "add_time": "2025-03-01 10:00:00", "add_user_id": "Mo", "del_flag": deleted}
        for one, deleted in zip(exported.linkwechat_customers(2), "01", strict=True)
    ]
    columns = [*exported.LINKWECHAT_CUSTOMERS, "add_time", "add_user_id", "del_flag"]
    load({"we_customer.csv": exported.write(columns, rows), "transactions.csv": lines})
    found = lake.polars("customers").sort("customer_id")
    assert found["friend_since"].is_null().to_list() == [False, True]
    assert found["clerk_id"].to_list() == ["Mo", None]


def test_files_of_the_contract_stay_what_they_are(load, lake: Lake, lines: str) -> None:
    report = load({"transactions.csv": lines})
    assert report.mapping == "canonical"
    assert report.recognised == []


def test_the_page_lists_every_export() -> None:
    page = Path("docs/exports.md").read_text(encoding="utf-8")
    assert reference() in page


CONTRACT = {
    "transactions.csv": "order_id,customer_id,product_id,ts,quantity,unit_price\n"
    "o1,C1,p1,2025-03-01 10:00:00,1,2.00\n",
    "customers.csv": "customer_id,external_id,email,phone\n"
    "C1,wm0001,Bo@Example.com,\nC2,wm0002,,+1 555 010 0002\nC3,,cy@example.com,\n",
}
LINKWECHAT = {
    "we_customer.csv": exported.write(
        exported.LINKWECHAT_CUSTOMERS, exported.linkwechat_customers(3)
    ),
}


@pytest.mark.parametrize("at_once", [False, True])
def test_exports_join_the_customers_of_the_contract(load, lake: Lake, at_once: bool) -> None:
    shopify = exported.shopify_customers(2)
    shopify[0]["Email"] = "BO@example.com"
    exports = {
        **LINKWECHAT,
        "customers_export.csv": exported.write(exported.SHOPIFY_CUSTOMERS, shopify),
    }
    for files in [{**CONTRACT, **exports}] if at_once else [CONTRACT, exports]:
        load(files)
    found = {row["customer_id"]: row for row in lake.polars("customers").to_dicts()}
    assert set(found) == {"C1", "C2", "C3", "wecom:wm0003"}
    keys = lake.polars("identities")
    assert keys.group_by("customer_id", "kind").len().sort("customer_id", "kind").rows() == [
        ("C1", "email", 1), ("C1", "external_id", 1), ("C1", "phone", 1), ("C1", "shopify", 1),
        ("C1", "unionid", 1), ("C2", "email", 1), ("C2", "external_id", 1), ("C2", "phone", 1),
        ("C2", "shopify", 1), ("C2", "unionid", 1), ("C3", "email", 1),
        ("wecom:wm0003", "external_id", 1), ("wecom:wm0003", "unionid", 1),
    ]  # fmt: skip
    # no address or number is kept as it is
    assert {"email", "phone"}.isdisjoint(lake.polars("customers").columns)
    again = load({**CONTRACT, **exports})
    assert lake.polars("identities").equals(keys)
    assert "identities" not in again.tables


def test_a_join_of_the_contract_is_undone_by_a_table(load, lake: Lake) -> None:
    load(CONTRACT)
    load(LINKWECHAT)
    keys = lake.polars("identities").filter(pl.col("customer_id") == "C1")
    undone = "".join(
        f"{row['kind']},{row['value']},\n" for row in keys.filter(kind="external_id").to_dicts()
    )
    load({**CONTRACT, "identities.csv": "kind,value,customer_id\n" + undone})
    after = lake.polars("identities").filter(kind="external_id")
    assert after.filter(pl.col("customer_id").is_null()).height == 1
    assert not load(CONTRACT).changed


def test_a_key_of_two_customers_of_the_contract_joins_nobody(load, lake: Lake) -> None:
    people = "customer_id,external_id,email\nC1,wm0001,a@b.example\nC2,wm0001,A@B.example \n"
    report = load({**CONTRACT, "customers.csv": people})
    (check,) = [one for one in report.checks if one.name == "keys.shared"]
    assert check.count == 1
    assert lake.polars("identities")["customer_id"].to_list() == [None]
    load(LINKWECHAT)
    assert "wecom:wm0001" in set(lake.polars("customers")["customer_id"])
    load({**CONTRACT, "customers.csv": "customer_id,email\nC9,a@b.example\n"})
    assert lake.polars("identities").filter(kind="email")["customer_id"].to_list() == [None]


def test_a_join_is_undone_by_a_table(load, lake: Lake) -> None:
    order = exported.shopify_orders(1)[0][0] | {"Email": "", "Phone": "+1 555 010 0001"}
    files = {
        "customers_export.csv": exported.write(
            exported.SHOPIFY_CUSTOMERS, exported.shopify_customers(1)
        ),
        "orders.csv": exported.write(exported.SHOPIFY_ORDERS, [order]),
    }
    load(files)
    assert lake.polars("transactions")["customer_id"].to_list() == ["shopify:7000000001"]
    (key,) = lake.polars("identities").filter(kind="phone").to_dicts()
    load({**files, "identities.csv": f"kind,value,customer_id\nphone,{key['value']},\n"})
    load(files)
    assert lake.polars("transactions")["customer_id"].to_list() == [None]
