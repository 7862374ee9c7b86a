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
