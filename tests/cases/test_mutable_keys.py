"""Mutable keys: a correction replaces what it corrects, and one sale is one line."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from tests.cases.conftest import NOW

from nba.jobs.outbox import drain_outbox
from nba.stores.operational import OperationalStore
from nba.stores.outbox import Event

if TYPE_CHECKING:
    from nba.wiring import Wiring

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


def test_an_id_of_another_customers_row_is_refused_by_itself(shop) -> None:
    head = "interaction_id,customer_id,ts,mode\n"
    shop.load_folder(
        shop.folder(
            transactions="order_id,product_id,ts,quantity\na,p,2026-05-01,1\n",
            interactions=f"{head}i1,c1,2026-05-01,none\n",
            responses="response_id,interaction_id,ts,kind\nr1,i1,2026-05-02,read\n",
        )
    )
    with closing(OperationalStore(f"sqlite:///{shop.root / 'operations.db'}")) as store:
        contact = {"ts": NOW, "mode": "none"}
        answer = {"ts": NOW, "kind": "blocked"}
        store.accept(
            [
                Event("interactions", {"interaction_id": "i1", "customer_id": "c2", **contact}),
                Event("interactions", {"interaction_id": "i2", "customer_id": "c2", **contact}),
                Event("responses", {"response_id": "r1", "customer_id": "c2", **answer}),
                Event("responses", {"response_id": "r2", "customer_id": "c2", **answer}),
            ]
        )
        done = drain_outbox(
            cast(
                "Wiring",
                SimpleNamespace(
                    plan_store=store,
                    lake=shop.lake,
                    settings=SimpleNamespace(time_zone="UTC"),
                    project=SimpleNamespace(secret=lambda: b""),
                ),
            )
        )
        rows = store.open_rows()
    assert (done["events"], done["refused"]) == (2, 2)
    assert {(one["state"], one["refusal"]["value"]) for one in rows} == {
        ("refused", "i1"),
        ("refused", "r1"),
    }
    assert "another customer's row" in rows[0]["refusal"]["reason"]
    kept = shop.lake.polars("interactions").sort("interaction_id")
    assert kept["customer_id"].to_list() == ["c1", "c2"]
