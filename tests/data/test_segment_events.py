"""Segment's calls as they come: other types among the events, refunds, cancellations, changes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import polars as pl
import pytest
from tests.data.test_exports import lines_of

from nba.data.lake import Lake
from nba.data.report import IngestReport, LoadRefusedError

ORDERED = {"type": "track", "event": "Order Completed", "userId": "u1", "anonymousId": "a",
           "messageId": "m1", "timestamp": "2025-03-01T09:30:00Z", "properties": {
               "order_id": "O1", "products": [{"product_id": "p1", "price": 10, "quantity": 1},
                                              {"product_id": "p2", "price": 20, "quantity": 1}]},
           }  # fmt: skip


def acted(event: str, message: str, day: int = 2, **properties: Any) -> dict[str, Any]:
    """An event of the order `ORDERED`."""
    moment = f"2025-03-{day:02d}T09:30:00Z"
    return {
        **ORDERED, "event": event, "messageId": message, "timestamp": moment,
        "properties": {"order_id": "O1", **properties},
    }  # fmt: skip


def net(lake: Lake) -> float:
    """What all orders come to."""
    lines = lake.polars("transactions")
    off = pl.col("discount").fill_null(0)
    return float(lines.select((pl.col("quantity") * pl.col("unit_price") - off).sum()).item())


def told(report: IngestReport, words: str) -> int:
    """The number of the one note of an export that has these words; 0 without one."""
    found = [one for one in report.checks if one.name.startswith("note.") and words in one.message]
    return sum(one.count for one in found)


@pytest.mark.parametrize("kind", ["identify", "page"])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "json"])
def test_calls_beside_events_are_counted(load, lake: Lake, kind: str, suffix: str) -> None:
    beside = {"type": kind, "userId": "u1", "traits": {"plan": "gold"}}
    events = [beside, ORDERED, beside]
    text = json.dumps(events, indent=1) if suffix == "json" else lines_of(events)
    content = gzip.compress(text.encode()) if suffix.endswith("gz") else text
    report = load({f"events.{suffix}": content})
    assert net(lake) == 30
    assert told(report, "calls of other types") == 2
    # a file of nothing else keeps no other from being loaded
    beside |= {"messageId": "m", "timestamp": "2025-03-01T09:30:00Z", "anonymousId": "a"}
    report = load({"events.jsonl": lines_of([beside] * 3), "more.jsonl": lines_of([ORDERED])})
    assert told(report, "calls of other types") == 3


def test_a_refusal_of_an_export_says_what_to_do(load) -> None:
    with pytest.raises(LoadRefusedError) as error:
        load({"more.jsonl": lines_of([{**ORDERED, "event": None, "properties": None} | {"x": 1}])
              .replace('"event"', '"evnt"')})  # fmt: skip
    for word in ("expected: all of event", "found: ", "not known of it: evnt", "what to do: "):
        assert word in str(error.value)


P1, P2 = ORDERED["properties"]["products"]
REFUND = "Order Refunded"
BACK = {
    "a refund without products": [acted(REFUND, "r1", total=30)],
    "a refund that names nothing": [acted(REFUND, "r1")],
    "a refund each": [acted(REFUND, "r1", products=[P1]), acted(REFUND, "r2", 3, products=[P2])],
    "one of each, then the rest": [
        acted(REFUND, "r1", products=[P1]), acted(REFUND, "r2", 3, total=20),
    ],
    "parts that come to all": [acted(REFUND, "r1", total=18), acted(REFUND, "r2", 3, total=12)],
    "the same twice": [acted(REFUND, "r1", products=[P1, P2])] * 2,
    "the same under other ids": [acted(REFUND, m, products=[P1, P2]) for m in ("r1", "r2")],
    "without prices": [acted(REFUND, "r1", products=[{"product_id": p} for p in ("p1", "p2")])],
    "cancelled": [acted("Order Cancelled", "c1", total=30)],
    "refunded and cancelled": [acted(REFUND, "r1"), acted("Order Cancelled", "c1", 3)],
}  # fmt: skip


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("what", BACK)
def test_orders_that_come_back_come_to_nothing(load, lake: Lake, what: str, at_once: bool) -> None:
    events = [ORDERED, *BACK[what]]
    for part in [events[::-1]] if at_once else [[event] for event in events]:
        report = load({"e.jsonl": lines_of(part)})
    if what == "parts that come to all" and not at_once:
        assert net(lake) == 30  # each part alone is told
        assert told(report, "load the events of these orders again") == 1
        report = load({"e.jsonl": lines_of(events)})
    lines = lake.polars("transactions")
    if "cancelled" in what and at_once:
        assert lines.is_empty()
        assert told(report, "cancelled were left out") == 1
        return
    assert net(lake) == 0
    assert set(lines["customer_id"]) == {"segment:u1"}
    load({"e.jsonl": lines_of(events)})
    assert net(lake) == 0
    assert lake.polars("transactions").height == lines.height


def test_what_a_refund_takes_off_is_that_of_its_lines(load, lake: Lake) -> None:
    properties = {**ORDERED["properties"], "discount": 3}
    load({"e.jsonl": lines_of([{**ORDERED, "properties": properties},
                               acted(REFUND, "r1", products=[P2])])})  # fmt: skip
    assert net(lake) == 9
    anonymous = {**acted(REFUND, "r2", 3), "userId": None, "anonymousId": None}
    report = load({"e.jsonl": lines_of([anonymous])})
    assert net(lake) == 0
    assert told(report, "came back whole") == 1
    assert set(lake.polars("transactions")["customer_id"]) == {"segment:u1"}


def test_a_part_of_an_order_refunded_is_a_discount(load, lake: Lake) -> None:
    report = load({"e.jsonl": lines_of([ORDERED, acted(REFUND, "r1", total=6)])})
    assert told(report, "a part was refunded without products had it") == 1
    assert lake.polars("transactions").sort("line_no")["discount"].to_list() == [2, 4]


def test_events_of_orders_that_nobody_knows_are_told(load, lake: Lake) -> None:
    other = {"order_id": "O9", "products": []}
    events = [
        ORDERED,
        acted(REFUND, "r1", order_id="O7"),
        acted("Order Cancelled", "c1", order_id="O8"),
        acted("Order Completed", "m9", **other),
        acted("Order Updated", "m10", order_id="O6", products=[P1]),
        acted(REFUND, "r2", products=[P1, P1], total=3),
        acted("Signed Up", "s1"),
        {**acted("Product Viewed", "v1"), "userId": None, "anonymousId": "nobody"},
    ]
    report = load({"e.jsonl": lines_of(events)})
    assert net(lake) == 20
    for words, count in {
        "that are not known were cancelled or refunded": 2,
        "completed without products": 1,
        "were updated that are not completed": 1,
        "more pieces than the order had left": 1,
        "worth more than their total": 1,
        "events of other names": 1,
        "of nobody known": 1,
    }.items():
        assert told(report, words) == count, words


def test_an_order_counts_as_it_was_last_updated(load, lake: Lake) -> None:
    events = [
        acted("Order Updated", "u0", 1, products=[P1, P1, P2]), ORDERED | {"messageId": "m0"},
        acted("Order Updated", "u1", 3, products=[{**P2, "quantity": 3}]), ORDERED,
    ]  # fmt: skip
    load({"e.jsonl": lines_of(events)})
    (line,) = lake.polars("transactions").to_dicts()
    assert (line["product_id"], line["quantity"], line["ts"].day) == ("p2", 3, 1)


def test_orders_without_an_id_are_set_aside_one_by_one(load) -> None:
    bare = [{**ORDERED, "messageId": m, "properties": {"products": [P1]}} for m in ("x", "y")]
    report = load({"e.jsonl": lines_of([ORDERED, *bare])})
    assert report.tables["transactions"].quarantined.rows == 2


def test_lines_of_one_product_come_back_to_the_cent(load, lake: Lake) -> None:
    products = [{**P1, "quantity": 2}, P1, {**P2, "price": 9.99}]
    sold = {**ORDERED, "properties": {"order_id": "O1", "discount": 1, "products": products}}
    parts = [[sold], [acted(REFUND, "r1", products=[P1])], [acted(REFUND, "r2", 3)]]
    for part in parts:
        load({"e.jsonl": lines_of(part)})
    for part in parts:
        assert net(lake) == 0
        load({"e.jsonl": lines_of(part)})
    assert net(lake) == 0
