"""Posts in a feed are seen or not: nobody is silent, tired or lately contacted by them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from nba.features import customer_contact
from nba.schema.words import FEED_CHANNELS

AS_OF = datetime(2025, 9, 1)
Make = Callable[..., Any]


def daily_posts(make_arrow: Make, customers: list[str], channel: str, days: int = 28) -> pa.Table:
    """Return a post a day to each customer, the last of them yesterday."""
    sent = [(who, day) for who in customers for day in range(1, days + 1)]
    return make_arrow(
        "interactions",
        {
            "interaction_id": [f"post-{who}-{day}" for who, day in sent],
            "customer_id": [who for who, _ in sent],
            "clerk_id": ["k0"] * len(sent),
            "ts": [AS_OF - timedelta(days=day) + timedelta(hours=12) for _, day in sent],
            "mode": ["shopping_assistant"] * len(sent),
            "channel": [channel] * len(sent),
        },
    )


def contact_of(tables: dict[str, Any], to_duckdb: Make) -> pl.DataFrame:
    built: pl.DataFrame = customer_contact.VIEW.build(to_duckdb(tables), AS_OF).to_polars()
    return built.sort("customer_id")


@pytest.mark.parametrize("channel", FEED_CHANNELS)
def test_a_post_a_day_is_no_contact(
    channel: str, make_tables: Make, make_arrow: Make, to_duckdb: Make
) -> None:
    tables = make_tables(11)
    before = contact_of(tables, to_duckdb)
    posts = daily_posts(make_arrow, before["customer_id"].to_list(), channel)
    posted = {**tables, "interactions": pa.concat_tables([tables["interactions"], posts])}
    assert_frame_equal(contact_of(posted, to_duckdb), before, check_exact=True)


def test_a_message_a_day_is_one(make_tables: Make, make_arrow: Make, to_duckdb: Make) -> None:
    tables = make_tables(11)
    ids = tables["customers"]["customer_id"].to_pylist()
    sent = daily_posts(make_arrow, ids, "chat")
    tables["interactions"] = pa.concat_tables([tables["interactions"], sent])
    told = contact_of(tables, to_duckdb)
    assert (told["days_since_contact"] == 1).all()
    assert told["contacts_30d"].min() == 28


def test_an_answer_to_a_post_ends_a_silence(
    make_tables: Make, make_arrow: Make, to_duckdb: Make
) -> None:
    tables = make_tables(11)
    own = daily_posts(make_arrow, ["c1"], "chat")
    posts = daily_posts(make_arrow, ["c1"], "moments")
    posts = posts.set_column(0, "interaction_id", pa.array([f"m{day}" for day in range(1, 29)]))
    tables["interactions"] = pa.concat_tables([own, posts])
    answer = {"response_id": ["r"], "interaction_id": ["m3"], "customer_id": [None]}
    when = {"ts": [AS_OF - timedelta(days=2, hours=11)], "kind": ["clicked"]}
    for answers, streak in (({}, 28), ({**answer, **when}, 2)):
        tables["responses"] = make_arrow("responses", answers)
        row = contact_of(tables, to_duckdb).row(
            by_predicate=pl.col("customer_id") == "c1", named=True
        )
        assert row["unanswered_streak"] == streak
        # a post that was answered is not among the contacts that were
        assert row["response_rate"] == pytest.approx(1 / (28 + 5))
