"""Outcomes of assignments: hand-worked windows, and what counts as an assignment."""

from datetime import datetime, timedelta

import ibis
import polars as pl
import pytest

from nba.models.mode.assignments.exposure import purchase_days, with_before, with_exposure
from nba.models.mode.assignments.outcomes import friends_of, with_outcomes
from nba.models.mode.assignments.records import (
    decision_rows,
    engine_assignments,
    recorded_assignments,
    sampled_moments,
    thinned,
)

DAY = datetime(2026, 1, 10)


def at(days: float) -> datetime:
    return DAY + timedelta(days=days)


def interactions(**columns: object) -> pl.DataFrame:
    base = {
        "interaction_id": ["i1", "i2", "i3", "i4"],
        "customer_id": ["a", "a", "b", "c"],
        "ts": [at(0.4), at(3), at(0), at(1)],
        "mode": ["private_partner", "none", "topic_expert", "topic_expert"],
        "propensity": [0.2, 0.4, None, 0.9],
        "action_id": [None, None, None, "x1"],
    }
    schema = {"propensity": pl.Float64, "action_id": pl.String, "group_id": pl.String}
    schema = {name: kind for name, kind in schema.items() if name in {**base, **columns}}
    return pl.DataFrame({**base, **columns}, schema_overrides=schema)


def test_recorded_rows_are_logged_or_history_and_engine_rows_are_left_to_its_log() -> None:
    rows = recorded_assignments(interactions())
    assert rows["assignment_id"].to_list() == ["i1", "i2", "i3"]
    assert rows["source"].to_list() == ["logged", "logged", "history"]
    assert rows["sent"].to_list() == [True, False, True]


def test_an_engine_assignment_counts_whether_it_was_sent_or_not() -> None:
    log = pl.DataFrame(
        {
            "as_of": [DAY, DAY, DAY],
            "customer_id": ["c", "d", "e"],
            "mode": ["topic_expert", "topic_expert", "none"],
            "propensity": [0.3, 0.3, 0.5],
            "action_id": ["x1", "x2", None],
        }
    )
    rows = engine_assignments(log, interactions())
    assert rows["sent"].to_list() == [True, False, False]
    assert rows["propensity"].to_list() == [0.3, 0.3, 0.5]


def test_a_decision_log_gives_the_propensity_of_the_drawn_mode() -> None:
    def options(*pairs: tuple[str, float]) -> list[dict[str, object]]:
        return [{"mode": mode, "probability": chance} for mode, chance in pairs]

    log = pl.DataFrame(
        {
            "as_of": [DAY] * 4,
            "customer_id": ["a", "b", "c", "d"],
            "arm": ["engine", "engine", "holdout", "random"],
            "mode": ["topic_expert", "none", "none", "none"],
            "alternatives": [
                options(("topic_expert", 0.25), ("topic_expert", 0.5), ("none", 0.25)),
                options(("none", 1.0)),
                options(("none", 1.0)),
                options(("topic_expert", 0.5), ("none", 0.5)),
            ],
        }
    )
    actions = pl.DataFrame(
        {"customer_id": ["a", "c"], "mode": ["topic_expert", "none"], "action_id": ["x1", "h"]}
    )
    rows = decision_rows(log, actions)
    assert rows.select("customer_id", "propensity", "action_id").rows() == [
        ("a", 0.75, "x1"),
        ("d", 0.5, None),
    ]
    assert rows.select("p_none", "p_topic_expert", "p_private_partner").row(0) == (0.25, 0.75, 0.0)
    assert engine_assignments(rows, interactions())["sent"].to_list() == [True, False]


def test_margins_and_losses_fall_into_their_windows() -> None:
    rows = recorded_assignments(interactions())
    sales = pl.DataFrame(
        {
            "customer_id": ["a", "a", "a", "a", "b"],
            "ts": [at(0.3), at(0.4), at(14.4), at(20), at(2)],
            "margin": [100.0, 7.0, 11.0, -5.0, 3.0],
        }
    )
    losses = pl.DataFrame({"customer_id": ["a", "b"], "ts": [at(16), at(30)]})
    found = with_outcomes(rows, sales, losses, as_of=at(60)).to_dicts()
    # i1 at day 0.4: its own moment counts, day 14.4 does not; by day 28.4 everything but day 0.3
    assert (found[0]["margin_amount"], found[0]["margin_check_amount"]) == (7.0, 13.0)
    assert (found[1]["margin_amount"], found[1]["margin_check_amount"]) == (11.0, 6.0)
    assert (found[2]["margin_amount"], found[2]["margin_check_amount"]) == (3.0, 3.0)
    assert [row["is_lost"] for row in found] == [False, True, False]
    # a day counts from its first purchase: day 0 began before i1
    assert [row["purchase_days"] for row in found] == [0.0, 1.0, 1.0]
    twice = pl.concat([losses, pl.DataFrame({"customer_id": ["a"], "ts": [at(-3)]})])
    assert with_outcomes(rows, sales, twice, as_of=at(60))["is_lost"].to_list()[1]


def test_an_open_outcome_window_is_not_used_and_an_open_check_window_is_unknown() -> None:
    rows = recorded_assignments(interactions())
    nothing = pl.DataFrame(schema={"customer_id": pl.String, "ts": pl.Datetime("us")})
    sales = nothing.with_columns(margin=pl.lit(None, pl.Float64))
    found = with_outcomes(rows, sales, nothing, as_of=at(28.5))
    assert dict(found.select("assignment_id", "margin_check_amount").iter_rows()) == {
        "i1": 0.0,
        "i2": None,
        "i3": 0.0,
    }
    early = with_outcomes(rows, sales, nothing, as_of=at(14.5))
    assert early["assignment_id"].to_list() == ["i1", "i3"]


def befriended(spans: dict[str, tuple[datetime | None, datetime | None]]) -> pl.DataFrame:
    time = pl.Datetime("us")
    return pl.DataFrame(
        {
            "customer_id": list(spans),
            "friend_since": [since for since, _ in spans.values()],
            "friend_until": [until for _, until in spans.values()],
        },
        schema_overrides={"friend_since": time, "friend_until": time},
    )


def test_only_who_was_a_friend_at_the_moment_is_a_control() -> None:
    friends = befriended({"never": (None, None), "left": (at(-90), at(10)), "stays": (at(5), None)})
    drawn = sampled_moments(
        friends, interactions(), begin=at(-5), end=at(40), per_customer=60, clear_days=0, seed=1
    )
    of = {key[0]: rows["ts"] for key, rows in drawn.group_by("customer_id")}
    assert set(of) == {"left", "stays"}
    assert of["left"].max() < at(10)  # type: ignore[operator]
    assert of["stays"].min() > at(5)  # type: ignore[operator]


def test_friendship_comes_from_the_record_the_friendship_or_the_first_contact() -> None:
    time = pl.Datetime("us")
    frames = {
        "customers": pl.DataFrame(
            {
                "customer_id": ["a", "b", "c", "d", "e"],
                "friend_since": [at(1), None, None, None, at(1)],
            },
            schema_overrides={"friend_since": time},
        ),
        "friendships": pl.DataFrame(
            {
                "customer_id": ["b", "b", "e", "e"],
                "since": [at(2), at(3), at(1), at(2)],
                "ended_at": [None, at(4), at(6), at(8)],
                "ended_by": [None, "clerk", "clerk", "clerk"],
            },
            schema_overrides={"ended_at": time},
        ),
        "interactions": interactions(group_id=[None] * 4, clerk_id=["k"] * 4, channel=["chat"] * 4),
        "responses": pl.DataFrame(
            {
                "response_id": ["r"],
                "interaction_id": ["i1"],
                "customer_id": ["a"],
                "clerk_id": ["k"],
                "ts": [at(7)],
                "kind": ["blocked"],
            }
        ),
    }
    found = friends_of({name: ibis.memtable(frame) for name, frame in frames.items()}, at(30))
    assert found.rows() == [
        ("a", at(1), at(7)),
        ("b", at(2), None),
        ("c", at(1), None),
        ("e", at(1), at(8)),
    ]


def test_sampled_moments_stay_clear_of_contacts_and_before_friendship() -> None:
    friends = befriended({"a": (at(-90), None), "b": (at(-90), None), "z": (at(500), None)})
    drawn = sampled_moments(
        friends, interactions(), begin=at(-5), end=at(40), per_customer=60, clear_days=10, seed=1
    )
    assert set(drawn["customer_id"]) == {"a", "b"}
    assert drawn["propensity"].is_null().all()
    gap = {"a": at(0.4), "b": at(0)}
    for row in drawn.to_dicts():
        contact = gap[row["customer_id"]]
        same_day = row["ts"].date() == contact.date()
        assert not same_day
        assert row["ts"] < contact or row["ts"] > contact + timedelta(days=10)


def test_a_post_a_day_leaves_moments_without_a_contact() -> None:
    friends = befriended({"a": (at(-90), None)})
    posts = pl.DataFrame(
        {
            "customer_id": ["a"] * 40,
            "ts": [at(day + 0.5) for day in range(40)],
            "mode": ["shopping_assistant"] * 40,
            "propensity": [None] * 38 + [0.2, None],
            "action_id": [None] * 39 + ["listed"],
            "channel": ["moments"] * 40,
        }
    )

    def drawn(made: pl.DataFrame) -> pl.DataFrame:
        return sampled_moments(
            friends, made, begin=at(0), end=at(40), per_customer=400, clear_days=0, seed=1
        )

    assert drawn(posts)["ts"].to_list() == [at(day + 0.5) for day in range(38)]
    assert drawn(posts.with_columns(channel=pl.lit("chat"))).is_empty()


@pytest.mark.parametrize("days", [0, -3])
def test_no_time_means_no_moments(days: int) -> None:
    friends = befriended({"a": (at(-90), None)})
    drawn = sampled_moments(
        friends, interactions(), begin=DAY, end=at(days), per_customer=3, clear_days=5, seed=1
    )
    assert drawn.height == 0


def test_posts_to_many_are_no_assignments_unless_they_were_drawn() -> None:
    posted = interactions(channel=["moments", "chat", "group", "chat"])
    assert recorded_assignments(posted)["assignment_id"].to_list() == ["i1", "i2"]


def test_what_was_read_and_known_comes_from_answers_and_earlier_purchases() -> None:
    rows = recorded_assignments(interactions())
    brought = pl.DataFrame(
        {"interaction_id": ["i1", "i3"], "product_ids": [["p1", "p2"], ["p3"]]},
    )
    responses = pl.DataFrame(
        {
            "interaction_id": ["i1", "i3", None, "i3"],
            "ts": [at(1), at(1), at(1), at(20)],
            "kind": ["clicked", "purchased", "read", "read"],
        }
    )
    sales = pl.DataFrame(
        {
            "customer_id": ["a", "b", None],
            "product_id": ["p2", "p3", "p3"],
            "ts": [at(0.1), at(0.1), at(-9)],
            "quantity": [1.0, 1.0, 1.0],
        }
    )
    found = with_exposure(rows, brought, responses, sales)
    # a purchase is the outcome, no sign of reading, and weeks later is too late; i3 brought what
    # b bought only later
    assert found.select("is_read", "is_known").rows() == [
        (True, True),
        (False, None),
        (False, False),
    ]


def test_what_went_before_is_counted_to_the_moment() -> None:
    rows = recorded_assignments(interactions())
    sales = pl.DataFrame(
        {
            "customer_id": ["a", "a", "a", "b"],
            "ts": [at(-20), at(-20), at(0.2), at(1)],
            "quantity": [1.0, 2.0, 1.0, 1.0],
        }
    )
    found = with_before(rows, purchase_days(sales)).to_dicts()
    assert found[0]["before_days_since"] == pytest.approx(0.2)
    assert [found[0][f"before_purchases_{n}d"] for n in (14, 28, 90)] == [1.0, 2.0, 2.0]
    assert found[2]["before_days_since"] is None


def test_a_thinned_log_keeps_what_was_listed_and_the_propensities_of_what_is_left() -> None:
    rng_rows = 4000
    log = pl.DataFrame(
        {
            "as_of": [DAY] * rng_rows,
            "customer_id": [f"c{i:05d}" for i in range(rng_rows)],
            "mode": ["topic_expert" if i % 10 == 0 else "none" for i in range(rng_rows)],
            "propensity": [0.1 if i % 10 == 0 else 0.9 for i in range(rng_rows)],
            "p_none": [0.9] * rng_rows,
            "p_shopping_assistant": [0.0] * rng_rows,
            "p_topic_expert": [0.1] * rng_rows,
            "p_private_partner": [0.0] * rng_rows,
        }
    )
    few = thinned(log, per_listed=2.0, seed=1)
    listed = few.filter(pl.col("mode") != "none")
    assert listed.height == 400
    assert few.height - 400 == pytest.approx(800, rel=0.15)
    assert few.height == pytest.approx((1 / few["propensity"]).sum() / 2, rel=0.1)
    assert listed["propensity"].to_list() == pytest.approx(listed["p_topic_expert"].to_list())
    assert listed["propensity"][0] == pytest.approx(1 / 3, rel=0.01)
    assert thinned(log, per_listed=20.0, seed=1).equals(log)
