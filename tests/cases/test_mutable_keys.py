"""Mutable keys: a correction replaces what it corrects, and one sale is one line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

HEADER = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
NUMBERED = "order_id,line_no,customer_id,product_id,ts,quantity,unit_price\n"
WHOLE: dict[str, Any] = {
    "tables": {"transactions": {"source": "transactions", "whole_orders": True}}
}


def line(
    order: str, product: str, quantity: float, price: float = 10, day: str = "2026-05-04"
) -> str:
    return f"{order},c1,{product},{day} 10:00:00,{quantity},{price}\n"


def money(shop) -> Decimal:
    rows = shop.lines
    return (rows["quantity"] * rows["unit_price"]).sum()


def test_an_edited_order_replaces_its_lines(shop, warned) -> None:
    shop.load(
        WHOLE, transactions=HEADER + line("A", "p1", 3) + line("A", "p2", 1) + line("B", "p1", 1)
    )
    report = shop.load(WHOLE, transactions=HEADER + line("A", "p1", 1) + line("A", "p2", 1))
    assert warned(report)["known_orders"] == (1, "order A")
    assert money(shop) == 30
    again = shop.load(WHOLE, transactions=HEADER + line("A", "p1", 1) + line("A", "p2", 1))
    assert not again.changed


def test_without_the_word_nothing_leaves_and_it_is_said(shop, warned) -> None:
    shop.load(transactions=HEADER + line("A", "p1", 3))
    report = shop.load(transactions=HEADER + line("A", "p1", 1))
    assert warned(report)["known_orders"] == (1, "order A")
    assert money(shop) == 40


def test_a_corrected_moment_moves_the_order_to_its_month(shop) -> None:
    shop.load(WHOLE, transactions=HEADER + line("A", "p1", 3, day="2026-05-31"))
    shop.load(WHOLE, transactions=HEADER + line("A", "p1", 3, day="2026-06-01"))
    assert shop.column("quantity") == [3]
    assert str(shop.column("ts")[0]) == "2026-06-01 02:00:00"


def test_orders_that_do_not_come_stay(shop) -> None:
    shop.load(WHOLE, transactions=HEADER + line("A", "p1", 1) + line("B", "p1", 1))
    shop.load(WHOLE, transactions=HEADER + line("C", "p1", 1))
    assert shop.column("order_id") == ["A", "B", "C"]


def test_the_same_sale_by_the_till_and_by_a_file_is_one_line(shop, warned) -> None:
    numbered = NUMBERED + "A,1,c1,p1,2026-05-04 10:00:00,2,10\nA,2,c1,p1,2026-05-04 10:00:00,2,10\n"
    for first, second in ((numbered, None), (None, numbered)):
        plain = HEADER + line("A", "p1", 2) + line("A", "p1", 2)
        shop.load(transactions=first or plain)
        report = shop.load(transactions=second or plain)
        assert warned(report).get("twins", (0, ""))[0] in (0, 2)
        assert money(shop) == 40


def test_a_part_of_an_order_that_comes_later_is_kept_beside_it(shop) -> None:
    shop.load(transactions=HEADER + line("A", "p1", 1))
    shop.load(transactions=HEADER + line("A", "p2", 1))
    assert shop.column("product_id") == ["p1", "p2"]
