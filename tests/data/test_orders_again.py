"""Orders of exports that come again: called off, edited, in parts, overlapping, of two shops."""

from __future__ import annotations

from decimal import Decimal

import pytest

from nba.data.lake import Lake
from nba.data.report import IngestReport, LoadRefusedError

WOO = (
    "Order ID,Order Number,Date,Status,Order Currency,Customer ID,Billing Email,Item ID,Item Name,"
    "Item SKU,Item Quantity,Item Subtotal,Item Total\n"
)
SHOPIFY = (
    "Name,Email,Financial Status,Currency,Subtotal,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem sku,Cancelled at,Refunded Amount\n"
)
SQUARE = (
    "Date,Time,Time Zone,Item,Qty,Price Point Name,SKU,Gross Sales,Discounts,Net Sales,"
    "Transaction ID,Event Type,Location,Customer ID\n"
)
LIGHTSPEED = (
    "Date,Receipt Number,Line Type,Customer Code,Customer Name,Quantity,Subtotal,Discount,Total,"
    "Details,Register,User,Status,Sku\n"
)
LINKWECHAT = (
    "id,order_no,mch_no,order_state,total_fee,pay_time,product_id,product_num,contact,phone,"
    "address,external_userid,external_name,external_avatar,external_type,we_user_id,we_user_name,"
    "del_flag,total_refund_fee\n"
)


def woo(order: int, status: str = "processing", item: int = 1, sku: str = "MUG", paid: int = 50):
    return (
        f"{order},{order},2024-05-01 10:00:00,{status},CNY,{order},u{order}@x.test,{item},{sku},"
        f"{sku},1,{paid}.00,{paid}.00\n"
    )


def shopify(
    name: str, status: str = "paid", price: int = 10, mail: str = "a@x.test", **said: object
) -> str:
    return (
        f"{name},{mail},{status},CNY,{said.get('subtotal', price)},"
        f"2024-05-{said.get('day', 14)} 10:00:00 +0800,1,A,{price},S{price},"
        f"{said.get('cancelled', '')},{said.get('back', 0)}\n"
    )


def square(sku: str, paid: int, order: str = "T1", event: str = "Payment", time: str = "10:15:00"):
    return (
        f"2024-05-01,{time},Eastern Time (US & Canada),{sku},{1 if paid > 0 else -1},Regular,"
        f"{sku},{paid},0,{paid},{order},{event},Main,C1\n"
    )


def lightspeed(receipt: str, status: str) -> str:
    return (
        f"2024-05-01 10:00:00,{receipt},Sale,C1,Bo,,,,,,Till,Mo,{status},\n"
        f"2024-05-01 10:00:00,{receipt},Sale Line,,,1,10.00,0,,Tea,,,,TEA\n"
    )


def linkwechat(order: str, deleted: int = 0, back: str = "0.00") -> str:
    return f"1,{order},M,1,10.50,2024-05-11 10:00:00,P1,1,,,,wm1,,,1,U1,x,{deleted},{back}\n"


def sales(lake: Lake) -> dict[str, Decimal]:
    """What each order comes to."""
    found: dict[str, Decimal] = {}
    for row in lake.polars("transactions").iter_rows(named=True):
        net = row["quantity"] * row["unit_price"] - (row["discount"] or 0)
        found[row["order_id"]] = found.get(row["order_id"], Decimal(0)) + net
    return found


def told(report: IngestReport, name: str) -> list[str]:
    return [one.message for one in report.checks if one.name == name]


KEPT = woo(99, "completed", 99)
EXPORTS = {
    "WooCommerce": (WOO, woo(11), woo(11, "cancelled"), "11"),
    "Shopify": (SHOPIFY, shopify("#2", "authorized"), shopify("#2", "voided"), "#2"),
    "Lightspeed": (LIGHTSPEED, lightspeed("R1", "Closed"), lightspeed("R1", "Voided"), "R1"),
    "LinkWeChat": (LINKWECHAT, linkwechat("N1"), linkwechat("N1", deleted=1), "N1"),
}


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("at_once", [True, False])
def test_an_order_called_off_later_leaves(load, lake: Lake, name: str, at_once: bool) -> None:
    header, before, after, order = EXPORTS[name]
    files = {"w.csv": WOO + KEPT, "1.csv": header + before}
    if at_once:
        load({**files, "2.csv": header + after})
    else:
        load(files)
        assert order in sales(lake)
        report = load({"1.csv": header + after})
        (line,) = told(report, "withdrawn")
        assert line.startswith("1 lines of 1 orders known before left the lake")
        assert not load({"1.csv": header + after}).changed
    assert sales(lake) == {"99": 50}


def test_unpaid_and_cancelled_orders_are_no_sales(load, lake: Lake) -> None:
    states = [
        ("pending", "2024-05-15 10:00:00 +0800"), ("authorized", "2024-05-15 10:00:00 +0800"),
        ("unpaid", ""), ("voided", ""), ("expired", ""), ("pending", ""), ("authorized", ""),
        ("paid", "2024-05-15 10:00:00 +0800"),
    ]  # fmt: skip
    rows = [
        shopify(f"#{place}", state, cancelled=cancelled)
        for place, (state, cancelled) in enumerate(states)
    ]
    report = load({"orders.csv": SHOPIFY + "".join(rows)})
    assert sorted(sales(lake)) == ["#5", "#6", "#7"]
    left_out, unpaid = told(report, "note.shopify_orders")
    assert left_out.startswith("5 lines of orders that were voided, cancelled before payment")
    assert unpaid.startswith("2 orders are not paid yet")


def test_woocommerce_states_by_name_and_label(load, lake: Lake) -> None:
    states = [
        "wc-cancelled", "Cancelled", "on-hold", "On hold", "Pending payment", "draft", "auto-draft",
        "checkout-draft", "Failed", "trash", "processing", "wc-completed", "Completed",
    ]  # fmt: skip
    rows = [woo(place, state, place) for place, state in enumerate(states)]
    report = load({"woo.csv": WOO + "".join(rows)})
    assert sorted(sales(lake)) == ["10", "11", "12"]
    (line,) = told(report, "note.woocommerce_orders")
    assert line.startswith("10 lines of orders")


def test_an_edited_order_and_a_refund_undone_are_replaced_whole(load, lake: Lake) -> None:
    load({"w.csv": WOO + woo(11, item=1) + woo(11, item=2, sku="CUP", paid=20)})
    load({"w.csv": WOO + woo(11, item=2, sku="CUP", paid=20)})
    load({"s.csv": SHOPIFY + shopify("#1", "refunded", back=10)})
    assert sales(lake) == {"11": 20, "#1": 0}
    report = load({"s.csv": SHOPIFY + shopify("#1")})
    assert sales(lake) == {"11": 20, "#1": 10}
    assert told(report, "withdrawn")


def test_a_line_set_aside_keeps_what_was_known_of_it(load, lake: Lake) -> None:
    both = woo(11, item=1) + woo(11, item=2, sku="CUP", paid=20)
    load({"w.csv": WOO + both})
    report = load({"w.csv": WOO + both.replace("CUP,1,", "CUP,many,") + KEPT})
    assert report.tables["transactions"].quarantined.rows == 1
    assert sales(lake)["11"] == 70


def test_an_order_called_off_in_another_shop_takes_nothing_back(load, lake: Lake) -> None:
    load({"hk.csv": SHOPIFY + shopify("#1001")})
    us = shopify("#1001", "voided", 20, "b@x.test", day=20)
    load({"us.csv": SHOPIFY + us + shopify("#1002", mail="b@x.test", day=20)})
    assert sales(lake) == {"#1001": 10, "#1002": 10}


@pytest.mark.parametrize("at_once", [True, False])
def test_one_number_of_two_shops_is_refused(load, lake: Lake, at_once: bool) -> None:
    hk = {"hk/orders_export.csv": SHOPIFY + shopify("#1001")}
    us = {"us/orders_export.csv": SHOPIFY + shopify("#1001", price=20, mail="b@x.test", day=20)}
    if not at_once:
        load(hk)
    with pytest.raises(LoadRefusedError, match=r"(?s)#1001.*two shops.*project of its own"):
        load({**hk, **us} if at_once else us)
    assert at_once or sales(lake) == {"#1001": 10}


def test_numbers_of_two_shops_that_name_nobody(load, lake: Lake) -> None:
    hk = {"hk/orders_export.csv": SHOPIFY + shopify("#1001", mail="")}
    us = {"us/orders_export.csv": SHOPIFY + shopify("#1001", price=20, mail="", day=20)}
    load(hk)
    with pytest.raises(LoadRefusedError, match="#1001"):
        load(us)
    # called off, it takes nothing from the other shop
    load({"o.csv": SHOPIFY + shopify("#1001", "voided", 20, "", day=20) + shopify("#1", mail="")})
    assert sales(lake) == {"#1001": 10, "#1": 10}
    # but an order and its return leave by their own
    load(
        {
            "o.csv": SHOPIFY
            + shopify("#1", "refunded", mail="", cancelled="2024-05-20 10:00:00 +0800")
        }
    )
    report = load({"o.csv": SHOPIFY + shopify("#1", "voided", mail="")})
    assert told(report, "withdrawn")
    assert sales(lake) == {"#1001": 10}
    (line,) = told(load({**hk, **us}, into=Lake(lake.root.parent / "other")), "other_times")
    assert line.startswith("1 orders of Shopify orders have another time in an earlier file")


def test_an_order_goes_on_in_the_next_part(load, lake: Lake) -> None:
    tail = "#1,,,,,,1,B,20,SB,,\n"
    part = {"orders_export_9.csv": SHOPIFY + shopify("#1", subtotal=30)}
    load({**part, "orders_export_10.csv": SHOPIFY + tail + shopify("#2", mail="b@x.test")})
    assert sales(lake) == {"#1": 30, "#2": 10}
    lines = lake.polars("transactions").filter(order_id="#1").sort("line_no")
    assert lines["product_id"].to_list() == ["S10", "SB"]
    assert lines["customer_id"].n_unique() == 1
    # alone, the next part has no order to which its first line belongs
    report = load({"orders_export_10.csv": SHOPIFY + tail + shopify("#2", mail="b@x.test")})
    (line,) = told(report, "torn_orders")
    assert line.startswith("1 orders of Shopify orders go on in a file in which they do not begin")
    assert sales(lake) == {"#1": 30, "#2": 10}


def test_the_last_file_is_that_of_the_highest_number(load, lake: Lake) -> None:
    load(
        {
            "orders_export_9.csv": SHOPIFY + shopify("#1"),
            "orders_export_10.csv": SHOPIFY + shopify("#1", "refunded", back=10),
        }
    )
    assert sales(lake) == {"#1": 0}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_refund_of_square_stands_beside_its_sale(load, lake: Lake, at_once: bool) -> None:
    sale = {"items-04.csv": SQUARE + square("OOL", 18)}
    refund = {"items-05.csv": SQUARE + square("OOL", -9, event="Refund", time="12:00:00")}
    for files in [{**sale, **refund}] if at_once else [sale, refund]:
        load(files)
    assert sales(lake) == {"T1": 9}


def test_a_part_of_a_sale_of_square_comes_again(load, lake: Lake) -> None:
    cakes = square("CAKE", 5) + square("CAKE", 5)
    load({"a.csv": SQUARE + square("OOL", 20) + cakes, "b.csv": SQUARE + cakes})
    assert sales(lake) == {"T1": 30}
    load({"c.csv": SQUARE + cakes})
    assert sales(lake) == {"T1": 30}
