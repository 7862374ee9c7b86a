"""Content and events reach those whose tags, lists and store they meet."""

from datetime import datetime

import polars as pl
import pytest

from nba.models.affinity.offers import OFFER_SCHEMA, offers
from nba.models.affinity.scores import SCORE_SCHEMA
from nba.models.base import ModelInputs

AS_OF = datetime(2026, 1, 1)
SCORES = pl.DataFrame(
    [
        ("ann", 1, "p1", "tea", 1.0, 0.5, "repeat", 1, 1.0, None),
        ("ann", 2, "p2", "tea", 0.9, 0.4, "repeat", 1, 1.0, None),
        ("bob", 1, "p3", "toys", 1.0, 0.5, "popular", 0, None, None),
    ],
    schema=SCORE_SCHEMA,
    orient="row",
)
CONTENT = pl.DataFrame(
    {
        "content_id": ["brewing", "bricks", "old", "p2-story"],
        "category": ["tea", "toys", "tea", None],
        "theme": [None, "parent", None, None],
        "product_ids": [None, None, None, ["p2"]],
        "valid_from": [None, None, None, datetime(2025, 1, 1)],
        "valid_to": [None, None, datetime(2025, 6, 1), None],
    },
    schema_overrides={"product_ids": pl.List(pl.String)},
)
EVENTS = pl.DataFrame(
    {
        "event_id": ["tasting", "far", "past"],
        "topic": ["tea", "tea", "tea"],
        "store_id": ["s1", "s2", "s1"],
        "starts_at": [datetime(2026, 1, 9), datetime(2026, 1, 9), datetime(2025, 1, 9)],
    }
)
TAGS = pl.DataFrame({"customer_id": ["ann", "eve"], "tag": ["parent", "tea"]})
STATE = pl.DataFrame({"customer_id": ["ann", "bob", "eve"], "store_id": ["s1", "s1", "s2"]})
ALL = {"content": CONTENT, "events": EVENTS, "customer_tags": TAGS, "customer_state": STATE}


def found(**tables: pl.DataFrame) -> dict[tuple[str, str], list[str]]:
    frame = offers(ModelInputs(tables), SCORES, as_of=AS_OF)
    assert dict(frame.schema) == OFFER_SCHEMA
    grouped = frame.group_by("customer_id", "kind", maintain_order=True).agg("offer_id")
    return {(who, kind): ids for who, kind, ids in grouped.rows()}


def test_tags_lists_and_stores_decide() -> None:
    assert found(**ALL) == {
        ("ann", "content"): ["bricks", "brewing", "p2-story"],
        ("ann", "event"): ["tasting"],
        ("bob", "content"): ["bricks"],
        ("eve", "event"): ["far"],
    }


def test_what_matched_is_told() -> None:
    frame = offers(ModelInputs(ALL), SCORES, as_of=AS_OF)
    row = frame.row(by_predicate=pl.col("offer_id") == "p2-story", named=True)
    assert (row["reason"], row["matched"], row["score"]) == ("product", "p2", pytest.approx(0.5))


def test_nothing_to_bring_is_fine() -> None:
    assert found() == {}
    assert found(customer_tags=TAGS) == {}
