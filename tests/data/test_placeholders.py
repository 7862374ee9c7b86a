"""Phone numbers and e-mail addresses that many people give make no one customer of them."""

from __future__ import annotations

import pytest
from tests.data import exported

from nba.data.lake import Lake
from nba.data.report import IngestReport

PEOPLE = range(1, 8)
PHONE = "9999999999"
FIRST = {
    "transactions.csv": "order_id,product_id,ts,quantity,unit_price\n"
    "first,p1,2025-03-01 10:00:00,1,2.00\n"
}


def orders(*keys: tuple[str, str]) -> dict[str, str]:
    """One order for each e-mail and phone."""
    head = exported.shopify_orders(1, currencies="USD")[0][0] | {"Financial Status": "paid"}
    rows = [
        head | {"Name": f"#{mail}{phone}", "Email": mail, "Phone": phone} for mail, phone in keys
    ]
    return {"orders.csv": exported.write(exported.SHOPIFY_ORDERS, rows)}


def mail(who: int) -> str:
    return f"u{who}@x.test"


def crowded(report: IngestReport) -> int:
    return sum(one.count for one in report.checks if one.name == "identities.crowded")


def customers(lake: Lake) -> dict[str, str]:
    return dict(lake.polars("transactions").select("order_id", "customer_id").iter_rows())


def test_a_placeholder_of_a_phone_joins_nobody(load, lake: Lake) -> None:
    files = orders(*((mail(who), PHONE) for who in PEOPLE), ("", PHONE))
    assert crowded(load(files)) == 1
    found = customers(lake)
    assert found.pop(f"#{PHONE}") is None
    assert len(set(found.values())) == len(PEOPLE)
    assert crowded(load(files)) == 1
    assert customers(lake) == found | {f"#{PHONE}": None}


def test_a_placeholder_of_an_address_joins_nobody(load, lake: Lake) -> None:
    report = load(orders(*(("guest@shop.test", f"1555010000{who}") for who in PEOPLE)))
    assert crowded(report) == 1
    assert len(set(customers(lake).values())) == len(PEOPLE)


def test_a_phone_of_a_few_addresses_joins_them(load, lake: Lake) -> None:
    report = load(orders(*((mail(who), PHONE) for who in range(3))))
    assert crowded(report) == 0
    assert len(set(customers(lake).values())) == 1


def test_a_phone_of_a_shop_joins_nobody_without_accounts(load, lake: Lake) -> None:
    rows = [
        exported.woocommerce_orders(1)[0][0] | {
            "order_id": str(who), "order_number": str(who), "customer_id": "0",
            "billing_email": mail(who), "billing_phone": "021-5555-1234",
        } for who in range(4)
    ]  # fmt: skip
    assert crowded(load({"w.csv": exported.write(exported.WOO_ITEMS, rows)})) == 1
    assert len(set(customers(lake).values())) == 4


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_a_placeholder_is_found_over_loads(load, lake: Lake, at_once: int) -> None:
    keys = [(mail(who), PHONE) for who in PEOPLE]
    told = [
        crowded(load(orders(*keys[place : place + at_once])))
        for place in range(0, len(keys), at_once)
    ]
    assert 1 in told
    found = customers(lake)
    # those of whom it could not be known stay as they were, everyone else is alone
    assert len(set(found.values())) >= len(PEOPLE) - 2
    load(orders(*keys))
    assert customers(lake) == found


def test_many_addresses_of_one_account_are_one_persons(load, lake: Lake) -> None:
    rows = [
        exported.woocommerce_orders(1)[0][0] | {
            "order_id": str(who), "order_number": str(who), "customer_id": "7",
            "billing_email": mail(who), "billing_phone": PHONE,
        } for who in PEOPLE
    ]  # fmt: skip
    files = {"w.csv": exported.write(exported.WOO_ITEMS, rows), **orders(("", PHONE))}
    assert crowded(load(files)) == 0
    assert set(customers(lake).values()) == {"woocommerce:7"}


@pytest.mark.parametrize("at_once", [False, True])
def test_the_address_of_an_account_may_have_many_phones(load, lake: Lake, at_once: bool) -> None:
    people = exported.shopify_customers(1)
    accounts = {"c.csv": exported.write(exported.SHOPIFY_CUSTOMERS, people)}
    gifts = orders(*((people[0]["Email"], f"1555020000{who}") for who in PEOPLE))
    for files in [{**accounts, **gifts}] if at_once else [accounts, gifts]:
        report = load({**files, **FIRST})
    assert crowded(report) == 0
    found = customers(lake)
    assert {found[name] for name in found if name != "first"} == {"shopify:7000000001"}
