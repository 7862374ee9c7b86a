"""Over random catalogues, policies and histories nothing that is promised is ever broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nba.decisions import (
    Catalogue,
    ContactPolicy,
    DecisionFiles,
    DecisionRules,
    DecisionSettings,
    Levers,
    Plan,
    decide,
)
from nba.schema.words import CONTACT_MODES

Make = Callable[..., dict[str, pl.DataFrame]]
MODES = [str(mode) for mode in CONTACT_MODES]
RULES = [
    "True",
    "purchase_days >= 2",
    "overdue_ratio > 1",
    "open_complaints == 0",
    "price_tier > 3",
]
SHARES = [(0.1, 0, 0, 0.9), (0.0, 0.0, 0.0, 1.0), (0.2, 0.2, 0.1, 0.5), (1.0, 0, 0, 0)]


@st.composite
def catalogues(draw: Any) -> Catalogue:
    count = draw(st.integers(1, 6))
    return Catalogue.model_validate(
        {
            "actions": [
                {
                    "action_type": f"type_{i}",
                    "name": {"zh": "甲", "en": "a"},
                    "mode": draw(st.sampled_from(MODES)),
                    "channel": draw(
                        st.sampled_from(["chat", "phone", "store", "mini_program", "moments"])
                    ),
                    "minutes": draw(st.sampled_from([0.5, 1, 2.5, 7, 40])),
                    "enabled": draw(st.booleans()) or i == 0,
                    "service": draw(st.booleans()),
                    "profiling": False,
                    "eligible": draw(st.sampled_from(["True", "is_friend"])),
                    "applicable": draw(st.sampled_from(RULES)),
                    "worth": draw(st.sampled_from([0, 5])),
                    "wait_days": draw(st.integers(0, 30)),
                    "talking_point": {"zh": "{customer}", "en": "{customer}"},
                }
                for i in range(count)
            ]
        }
    )


@st.composite
def policies(draw: Any) -> ContactPolicy:
    rest = st.integers(0, 20)
    return ContactPolicy.model_validate(
        {
            "caps": {
                "per_day": draw(st.integers(0, 2)),
                "per_week": draw(st.integers(0, 3)),
                "per_month": draw(st.integers(0, 6)),
            },
            "cool_down": {
                mode: {"any_mode": draw(rest), "same_mode": draw(rest)} for mode in MODES
            },
            "pause": {"negative_responses": draw(st.integers(1, 2)), "days": draw(rest)},
            "quiet_hours": {
                "start": draw(st.sampled_from(["17:30", "21:00"])),
                "end": draw(st.sampled_from(["07:00", "11:15"])),
            },
            "holidays": draw(st.sampled_from([[], [date(2026, 3, 2)]])),
            "window_hours": draw(st.sampled_from([0.5, 2, 12])),
        }
    )


def quotas(ids: list[str], seed: int) -> pl.DataFrame:
    some = ids[seed % 7 :: 7]
    return pl.DataFrame(
        {"customer_id": some, "channel": ["chat"] * len(some), "remaining": [seed % 2] * len(some)},
        schema={"customer_id": pl.String, "channel": pl.String, "remaining": pl.Int64},
    )


@st.composite
def days(draw: Any) -> dict[str, Any]:
    """A catalogue, a policy, a history and settings, all at random."""
    return {
        "seed": draw(st.integers(0, 100_000)),
        "customers": draw(st.integers(1, 50)),
        "catalogue": draw(catalogues()),
        "policy": draw(policies()),
        "shares": draw(st.sampled_from(SHARES)),
        "rounding": draw(st.sampled_from(["strict", "strict", "expected"])),
        "floor": draw(st.sampled_from([0.0, 0.01, 0.05])),
    }


@settings(max_examples=40, deadline=None)
@given(day=days())
def test_nothing_promised_is_ever_broken(make_inputs: Make, world: Any, day: Any) -> None:
    check_day(make_inputs, world, **day)


@pytest.mark.proof
@settings(max_examples=2500, deadline=None)
@given(day=days())
def test_nothing_promised_is_broken_in_thousands_of_days(
    make_inputs: Make, world: Any, day: Any
) -> None:
    check_day(make_inputs, world, **day)


def check_day(
    make_inputs: Make,
    world: Any,
    *,
    seed: int,
    customers: int,
    catalogue: Catalogue,
    policy: ContactPolicy,
    shares: tuple[float, ...],
    rounding: str,
    floor: float,
) -> None:
    inputs = make_inputs(customers, 3, seed=seed)
    inputs["quota"] = quotas(inputs["customer_state"]["customer_id"].to_list(), seed)
    names = ("holdout", "random", "business_as_usual")
    rest = max(1.0 - sum(shares[:3]), 0.0)
    chosen = DecisionSettings.model_validate(
        {
            "arms": dict(zip(names, shares[:3], strict=True)),
            "rounding": rounding,
            "exploration_floor": floor,
            "seed": seed,
            "policies": {"due_worth": rest / 2, "most_overdue": rest / 4},
        }
    )
    rules = DecisionRules(catalogue=catalogue, policy=policy, levers=Levers(), settings=chosen)
    plan, again = (decide(inputs, rules, as_of=world.AS_OF) for _ in range(2))
    assert plan.actions.equals(again.actions)
    assert plan.log.equals(again.log)
    service = [action.action_type for action in rules.actions if action.service]
    check_log(plan.log, service)
    contacts = plan.actions.filter(pl.col("mode") != "none")
    treated = contacts.filter(~pl.col("action_type").is_in(service))
    assert set(treated["arm"]) <= {"engine", "random", "due_worth", "most_overdue"}
    assert plan.actions["customer_id"].is_unique().all()
    check_minutes(contacts, inputs, rounding)
    check_consent(contacts, inputs, catalogue)
    check_windows(contacts, inputs, policy, world.AS_OF)
    check_history(contacts, inputs, policy, catalogue, world.AS_OF)


def check_log(log: pl.DataFrame, service: list[str]) -> None:
    rows = log.select("customer_id", "alternatives").explode("alternatives", empty_as_null=False)
    rows = rows.unnest("alternatives")
    if rows.height:
        assert rows["probability"].min() >= 0
        totals = rows.group_by("customer_id").agg(pl.col("probability").sum())["probability"]
        assert (totals - 1).abs().max() < 1e-9
        assert log["propensity"].min() > 0
    habit = log.filter(pl.col("arm") == "business_as_usual")
    assert (habit["mode"] == "none").all()
    held = log.filter(pl.col("arm") == "holdout")
    assert set(held["action_type"].drop_nulls()) <= set(service)
    offered = held.explode("alternatives", empty_as_null=False).unnest(
        "alternatives", separator="."
    )
    waits = offered.filter(pl.col("alternatives.action_type").is_in(service))[
        "customer_id"
    ].implode()
    left = pl.concat([habit, held.filter(~pl.col("customer_id").is_in(waits))])
    assert (left["propensity"] == 1).all()


def check_minutes(contacts: pl.DataFrame, inputs: dict[str, pl.DataFrame], rounding: str) -> None:
    used = contacts.group_by("clerk_id").agg(
        pl.col("minutes").sum().alias("used"), pl.col("minutes").max().alias("longest")
    )
    used = used.join(inputs["clerk"], on="clerk_id", how="left")
    assert used["works_today"].all()
    slack = 0.0 if rounding == "strict" else 40.0
    assert (used["used"] <= used["minutes_per_day"] + slack + 1e-9).all()


def check_consent(
    contacts: pl.DataFrame, inputs: dict[str, pl.DataFrame], catalogue: Catalogue
) -> None:
    rows = contacts.join(inputs["customer_state"].drop("clerk_id"), on="customer_id", how="left")
    assert rows["consent_contact"].all()
    assert not rows["is_blocked"].any()
    chat = rows.filter(pl.col("channel").is_in(["chat", "moments", "group"]))
    assert chat["is_friend"].all()
    assert set(rows["action_type"]) <= {action.action_type for action in catalogue.enabled}


def check_windows(
    contacts: pl.DataFrame, inputs: dict[str, pl.DataFrame], policy: ContactPolicy, as_of: Any
) -> None:
    rows = contacts.join(inputs["clerk"], on="clerk_id", how="left")
    start = rows["contact_from"].dt.to_string("%H:%M")
    end = rows["contact_to"].dt.to_string("%H:%M")
    assert (rows["contact_from"].dt.date() == as_of.date()).all()
    assert (rows["contact_from"] <= rows["contact_to"]).all()
    assert (start >= rows["shift_start"]).all()
    assert (end <= rows["shift_end"]).all()
    assert (start >= policy.quiet_hours.end.strftime("%H:%M")).all()
    assert (end <= policy.quiet_hours.start.strftime("%H:%M")).all()


def check_history(
    contacts: pl.DataFrame,
    inputs: dict[str, pl.DataFrame],
    policy: ContactPolicy,
    catalogue: Catalogue,
    as_of: Any,
) -> None:
    """Walk each listed customer's history by hand, as slowly and plainly as can be."""
    assert not (contacts.height and (as_of.date() in policy.holidays or policy.caps.per_day < 1))
    spent = set(inputs["quota"].filter(pl.col("remaining") < 1)["customer_id"])
    history: dict[str, list[dict[str, Any]]] = {}
    owner = {}
    for row in inputs["interactions"].iter_rows(named=True):
        owner[row["interaction_id"]] = row["customer_id"]
        if row["mode"] != "none":
            history.setdefault(row["customer_id"], []).append(row)
    complaints: dict[str, list[Any]] = {}
    for row in inputs["responses"].iter_rows(named=True):
        if row["kind"] == "complained":
            complaints.setdefault(owner[row["interaction_id"]], []).append(row["ts"])
    for action in contacts.iter_rows(named=True):
        customer, mode = action["customer_id"], action["mode"]
        assert not (action["channel"] == "chat" and customer in spent)
        past = history.get(customer, [])
        ages = [(as_of.date() - row["ts"].date()).days for row in past]
        wait = catalogue[action["action_type"]].wait_days
        for row, age in zip(past, ages, strict=True):
            assert row["action_type"] != action["action_type"] or age > wait
        if catalogue[action["action_type"]].service:
            continue  # who asked is answered, however many contacts there were
        assert sum(age < 7 for age in ages) + 1 <= policy.caps.per_week
        assert sum(age < 30 for age in ages) + 1 <= policy.caps.per_month
        for row, age in zip(past, ages, strict=True):
            assert age > policy.cool_down[row["mode"]].any_mode
            assert row["mode"] != mode or age > policy.cool_down[row["mode"]].same_mode
        recent = [ts for ts in complaints.get(customer, []) if ts >= as_of - timedelta(days=90)]
        if len(recent) >= policy.pause.negative_responses:
            assert max(recent) < as_of - timedelta(days=policy.pause.days)


def test_same_product_and_content_are_not_repeated(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(1500, 6, seed=11)
    plan = decide(inputs, files.rules(DecisionSettings()), as_of=world.AS_OF)
    past = inputs["interactions"].filter(pl.col("mode") != "none")
    contacts = plan.actions.filter(pl.col("mode") != "none")
    brought = contacts.select("customer_id", "product_ids").explode(
        "product_ids", empty_as_null=False
    )
    assert brought.height > 20
    recent = past.filter(
        pl.col("ts") >= world.AS_OF - timedelta(days=files.policy.same_product_days)
    ).explode("product_ids")
    assert brought.join(recent, on=["customer_id", "product_ids"], how="semi").height == 0
    since = world.AS_OF - timedelta(days=files.policy.same_content_days)
    seen = past.filter(pl.col("ts") >= since)
    assert contacts.join(seen, on=["customer_id", "content_id"], how="semi").height == 0


def test_a_refused_profile_changes_nothing_when_it_is_permuted(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    """Shuffle everything learned about the customers who refused: the plan is the same."""
    inputs = make_inputs(1500, 6, seed=12)
    ids = inputs["customer_state"]["customer_id"]
    inputs["preferred_mode"] = pl.DataFrame(
        {"customer_id": ids, "mode": [MODES[at % 3] for at in range(len(ids))]}
    )
    inputs["contributions"] = pl.DataFrame(
        {"customer_id": ids, "feature": "response_rate", "contribution": range(len(ids))}
    )
    refused = inputs["customer_state"].filter(~pl.col("consent_profiling"))["customer_id"]
    assert len(refused) > 50
    mixed = dict(zip(refused, refused.sample(fraction=1.0, shuffle=True, seed=3), strict=True))
    permuted = dict(inputs)
    for name in (
        "customer_behaviour", "timing", "timing_category", "affinity", "mode", "customer_tags",
        "offers", "preferred_mode", "contributions",
    ):  # fmt: skip
        permuted[name] = inputs[name].with_columns(
            pl.col("customer_id").replace(list(mixed), list(mixed.values()))
        )
    habits = ["response_rate", "response_hour_peak", "responses_90d", "contacts_30d"]
    contact = inputs["customer_contact"]
    other = contact.with_columns(
        pl.col("customer_id").replace(list(mixed), list(mixed.values()))
    ).select("customer_id", *habits)
    permuted["customer_contact"] = contact.drop(habits).join(other, on="customer_id")
    rules = files.rules(DecisionSettings())
    plans = [decide(tables, rules, as_of=world.AS_OF) for tables in (inputs, permuted)]
    for name in (field.name for field in fields(Plan)):
        assert getattr(plans[0], name).equals(getattr(plans[1], name)), name
    listed = plans[0].actions.filter(
        pl.col("customer_id").is_in(refused.implode()) & (pl.col("mode") != "none")
    )
    assert listed.height > 0
    free = {a.action_type for a in files.catalogue.actions if not a.profiling}
    assert set(listed["action_type"]) <= free
    assert listed["product_ids"].list.len().sum() == 0


def test_a_no_that_names_its_interaction_only_counts(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    """A block or a complaint counts, whether it names the customer or the interaction."""
    inputs = make_inputs(400, 3, seed=4)
    certain = files.rules(DecisionSettings(exploration_floor=0))
    contacts = decide(inputs, certain, as_of=world.AS_OF).actions.filter(pl.col("mode") != "none")
    services = [action.action_type for action in files.catalogue.actions if action.service]
    contacts = contacts.filter(~pl.col("action_type").is_in(services))
    listed = contacts["customer_id"]
    old = world.AS_OF - timedelta(days=29)
    contact = inputs["interactions"].head(1).with_columns(
        customer_id=pl.lit(listed[0]), interaction_id=pl.lit("old"), ts=pl.lit(old)
    )  # fmt: skip
    for kind in ("complained", "blocked"):
        no = inputs["responses"].head(1).with_columns(
            interaction_id=pl.lit("old"), ts=pl.lit(old), kind=pl.lit(kind)
        )  # fmt: skip
        told = {
            **inputs,
            "interactions": pl.concat([inputs["interactions"], contact]),
            "responses": pl.concat([inputs["responses"], no]),
            "customer_state": inputs["customer_state"].with_columns(
                friend_since=pl.lit(old - timedelta(days=9))
            ),
        }
        plan = decide(told, files.rules(DecisionSettings()), as_of=world.AS_OF)
        log = plan.log.filter(pl.col("customer_id") == listed[0])
        reason = {"complained": "pause_after_no", "blocked": "blocked_response"}[kind]
        assert log["closed"].to_list() == [reason]
