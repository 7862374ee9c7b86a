"""What the model is fitted on stays bounded, and what was drawn keeps its chances."""

from __future__ import annotations

from datetime import datetime, timedelta

import ibis
import polars as pl
import pytest

from nba.models.contact_value.rows import History, _sampled, _with_answers
from nba.models.some_customers import some_customers


def assignments(drawn: int, chosen: int, moments: int) -> pl.DataFrame:
    """Return so many assignments that were drawn (a third of them contacts) and others."""
    parts = [("d", drawn, 0.25), ("k", chosen, None), ("m", moments, None)]
    return pl.concat(
        pl.DataFrame(
            {
                "assignment_id": [f"{name}{number:05d}" for number in range(count)],
                "mode": [
                    "none" if name == "m" or (name == "d" and number % 3) else "topic_expert"
                    for number in range(count)
                ],
                "propensity": pl.Series([propensity] * count, dtype=pl.Float64),
            }
        )
        for name, count, propensity in parts
    )


def test_few_assignments_all_count() -> None:
    few = assignments(30, 30, 30)
    assert _sampled(few, (100, 100), 1)["assignment_id"].to_list() == sorted(few["assignment_id"])


def test_what_was_drawn_comes_first_and_at_one_rate() -> None:
    found = _sampled(assignments(3_000, 5_000, 5_000), (2_000, 1_000), 1)
    kind = found.group_by(pl.col("assignment_id").str.head(1)).len().sort("assignment_id")
    assert kind.rows() == [("d", 2_000), ("k", 500), ("m", 1_000)]
    drawn = found.filter(pl.col("assignment_id").str.starts_with("d"))
    assert (drawn["mode"] == "none").mean() == pytest.approx(2 / 3, abs=0.04)
    few = _sampled(assignments(600, 5_000, 0), (2_000, 1_000), 1)
    assert few.height == 2_000


def test_large_shops_are_learned_from_every_nth_customer() -> None:
    ids = [f"c{number:04d}" for number in range(1_000)]
    made = pl.DataFrame({"interaction_id": [f"i-{one}" for one in ids], "customer_id": ids})
    said = pl.DataFrame(
        {
            "interaction_id": ["i-c0001", "i-c0002", None, None],
            "customer_id": [None, None, "c0003", "c0005"],
        },
        schema={"interaction_id": pl.String, "customer_id": pl.String},
    )
    tables = {
        "customers": ibis.memtable(pl.DataFrame({"customer_id": ids})),
        "interactions": ibis.memtable(made),
        "responses": ibis.memtable(said),
        "products": ibis.memtable(pl.DataFrame({"product_id": ["p"]})),
    }
    assert some_customers(tables, 1_000, seed=1) is tables
    fewer = some_customers(tables, 500, seed=1)
    drawn = fewer["customers"].to_polars()["customer_id"].sort()
    assert drawn.to_list() == ids[1::2]
    assert fewer["interactions"].count().execute() == 500
    assert fewer["products"] is tables["products"]
    kept = fewer["responses"].to_polars()
    assert kept.height == 3  # of c0001, c0003, c0005
    assert some_customers(tables, 300, seed=0)["customers"].count().execute() == 250


def answers_before(sent: list[tuple[str, str, int]], answered: dict[str, str]) -> dict[str, float]:
    """Return what rows say of a customer's contacts (id, channel, days ago), some of them read."""
    now = datetime(2026, 6, 1)
    made = pl.DataFrame(
        {
            "interaction_id": [name for name, _, _ in sent],
            "customer_id": ["a"] * len(sent),
            "ts": [now - timedelta(days=days) for _, _, days in sent],
            "mode": ["topic_expert"] * len(sent),
            "channel": pl.Series([channel or None for _, channel, _ in sent], dtype=pl.String),
        }
    )
    said = made.filter(pl.col("interaction_id").is_in(list(answered))).select(
        "interaction_id", "ts", kind=pl.col("interaction_id").replace_strict(answered)
    )
    empty = pl.DataFrame()
    history = History(empty, made, said, empty, empty)
    rows = _with_answers(pl.DataFrame({"customer_id": ["a"], "ts": [now]}), history)
    return rows.drop("customer_id", "ts").row(0, named=True)


def test_posts_in_a_feed_are_no_contacts_to_learn_habits_from() -> None:
    own = [("i1", "chat", 3), ("i2", "", 20), ("i3", "chat", 200)]
    alone = answers_before(own, {"i1": "read", "i3": "replied"})
    assert (alone["contacts_topic_expert"], alone["answered_topic_expert"]) == (3, 1)
    assert (alone["contacts_90d"], alone["reads_90d"]) == (2, 1)
    posts = [(f"m{day}", "moments", day) for day in range(1, 29)]
    with_posts = answers_before(own + posts, {"i1": "read", "i3": "replied", "m5": "read"})
    assert with_posts == pytest.approx(alone)
    # who answers a post is less tired, and answers no more of the contacts
    eased = answers_before(own + posts, {"i1": "read", "i3": "replied", "m5": "clicked"})
    assert eased.pop("fatigue") < alone.pop("fatigue")
    assert eased == pytest.approx(alone)
