"""A day's plan from end to end: what is listed, logged and kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, DecisionSettings, Plan, decide
from nba.decisions.writing import ACTION_SCHEMA
from nba.errors import InputRefusedError

Make = Callable[..., dict[str, pl.DataFrame]]


def plan_of(
    inputs: dict[str, pl.DataFrame], files: DecisionFiles, world: Any, **settings: Any
) -> Plan:
    rules = files.rules(DecisionSettings(**settings), model_versions="mode:3")
    return decide(inputs, rules, as_of=world.AS_OF)


@pytest.fixture(scope="module")
def inputs(make_inputs: Make) -> dict[str, pl.DataFrame]:
    return make_inputs(1200, 6, seed=3)


@pytest.fixture(scope="module")
def plan(inputs: dict[str, pl.DataFrame], files: DecisionFiles, world: Any) -> Plan:
    return plan_of(inputs, files, world)


def test_actions_have_the_columns_of_the_export(plan: Plan) -> None:
    assert plan.actions.schema == pl.Schema(dict(ACTION_SCHEMA))
    contacts = plan.actions.filter(pl.col("mode") != "none")
    assert contacts.height > 20
    for name in ACTION_SCHEMA:
        if name not in ("content_id", "p_repurchase_30d"):
            assert contacts[name].null_count() == 0, name


def test_only_reachable_customers_are_listed(plan: Plan, inputs: dict[str, pl.DataFrame]) -> None:
    listed = plan.actions.join(
        inputs["customer_state"].drop("clerk_id"), on="customer_id", how="left"
    )
    assert listed["is_friend"].all()
    assert listed["consent_contact"].all()
    assert not listed["is_blocked"].any()
    assert plan.actions["customer_id"].is_unique().all()


def test_minutes_are_kept_and_only_working_clerks_get_actions(
    plan: Plan, inputs: dict[str, pl.DataFrame]
) -> None:
    clerks = inputs["clerk"].filter("works_today")
    contacts = plan.actions.filter(pl.col("mode") != "none")
    spent = contacts.group_by("clerk_id").agg(pl.col("minutes").sum())
    joined = spent.join(clerks, on="clerk_id", how="left")
    assert (joined["minutes"] <= joined["minutes_per_day"]).all()
    assert joined["minutes_per_day"].null_count() == 0


def test_every_eligible_customer_is_logged_with_all_probabilities(
    plan: Plan, inputs: dict[str, pl.DataFrame]
) -> None:
    eligible = inputs["customer_state"].filter(
        pl.col("is_friend") & pl.col("consent_contact") & ~pl.col("is_blocked")
    )
    assert plan.log["customer_id"].to_list() == sorted(eligible["customer_id"])
    rows = plan.log.select("customer_id", "alternatives").explode("alternatives")
    rows = rows.unnest("alternatives")
    total = rows.group_by("customer_id").agg(
        pl.col("probability").sum(), (pl.col("mode") == "none").sum().alias("nones")
    )
    assert (total["probability"] - 1).abs().max() < 1e-9
    assert (total["nones"] == 1).all()
    drawn = plan.log.select("customer_id", pl.col("mode").alias("drawn"), "propensity")
    chosen = rows.join(drawn, on="customer_id").filter(pl.col("mode") == pl.col("drawn"))
    assert chosen.height == plan.log.height
    assert (chosen["probability"] - chosen["propensity"]).abs().max() < 1e-12


def test_holdout_is_shown_and_left_alone(plan: Plan) -> None:
    held = plan.log.filter(pl.col("arm") == "holdout")
    assert 0.05 < held.height / plan.log.height < 0.15
    assert (held["mode"] == "none").mean() > 0.9
    assert set(held["action_type"].drop_nulls()) <= {"resolve_complaint"}  # see test_own_cases
    rows = plan.actions.filter(pl.col("arm") == "holdout")
    assert sorted(rows["customer_id"]) == sorted(held["customer_id"])
    assert sorted(rows["mode"]) == sorted(held["mode"])


def test_windows_lie_in_shift_and_out_of_quiet_hours(
    plan: Plan, inputs: dict[str, pl.DataFrame], files: DecisionFiles
) -> None:
    rows = plan.actions.filter(pl.col("mode") != "none").join(inputs["clerk"], on="clerk_id")
    start = rows["contact_from"].dt.to_string("%H:%M")
    end = rows["contact_to"].dt.to_string("%H:%M")
    assert (start >= rows["shift_start"]).all()
    assert (end <= rows["shift_end"]).all()
    assert (start >= files.policy.quiet_hours.end.strftime("%H:%M")).all()
    assert (end <= files.policy.quiet_hours.start.strftime("%H:%M")).all()


def test_reasons_and_talking_point(plan: Plan) -> None:
    for row in plan.actions.filter(pl.col("mode") != "none").iter_rows(named=True):
        kinds = [reason["kind"] for reason in row["reasons"]]
        assert 1 <= kinds.count("reason") <= 3
        assert kinds.count("caution") == 1
        assert kinds.count("change") == 1
        assert row["talking_point"]
        assert "{" not in row["talking_point"]
        assert "None" not in row["talking_point"]


def test_same_input_same_plan_and_row_order_does_not_matter(
    plan: Plan, inputs: dict[str, pl.DataFrame], files: DecisionFiles, world: Any
) -> None:
    shuffled = {
        name: table.sample(fraction=1.0, shuffle=True, seed=5) for name, table in inputs.items()
    }
    again = plan_of(shuffled, files, world)
    assert again.actions.equals(plan.actions)
    assert again.log.equals(plan.log)


def test_empty_inputs_give_an_empty_plan(files: DecisionFiles, world: Any) -> None:
    empty = plan_of(
        {
            "customer_state": pl.DataFrame(schema={"customer_id": pl.String}),
            "clerk": pl.DataFrame(schema={"clerk_id": pl.String}),
        },
        files,
        world,
    )
    assert empty.actions.height == 0
    assert empty.log.height == 0


def test_a_catalogue_that_is_switched_off_lists_nobody_and_logs_everybody(
    plan: Plan, inputs: dict[str, pl.DataFrame], files: DecisionFiles, world: Any
) -> None:
    off = tuple(action.model_copy(update={"enabled": False}) for action in files.catalogue.actions)
    rules = files.rules(DecisionSettings())
    rules = rules.model_copy(
        update={"catalogue": files.catalogue.model_copy(update={"actions": off})}
    )
    silent = decide(inputs, rules, as_of=world.AS_OF)
    assert (silent.actions["mode"] == "none").all()
    assert set(silent.log["customer_id"]) == set(plan.log["customer_id"])
    assert (silent.log["closed"] == "not_eligible").all()


def test_the_list_is_ranked_by_value_and_service_comes_first(
    plan: Plan, files: DecisionFiles
) -> None:
    service = [action.action_type for action in files.catalogue.actions if action.service]
    contacts = plan.actions.filter(pl.col("mode") != "none").sort("clerk_id", "rank")
    for _, rows in contacts.group_by("clerk_id", maintain_order=True):
        assert rows["rank"].to_list() == list(range(1, rows.height + 1))
        keys = list(zip(rows["action_type"].is_in(service), rows["value"], strict=True))
        assert keys == sorted(keys, reverse=True)


@pytest.mark.parametrize("name", ["customer_state", "timing", "clerk", "product"])
def test_a_repeated_id_is_refused(
    inputs: dict[str, pl.DataFrame], files: DecisionFiles, world: Any, name: str
) -> None:
    twice = {**inputs, name: pl.concat([inputs[name], inputs[name].head(1)])}
    with pytest.raises(InputRefusedError, match=f"{name}.*more than once"):
        plan_of(twice, files, world)


def test_a_missing_table_is_named(files: DecisionFiles, world: Any) -> None:
    with pytest.raises(InputRefusedError, match="customer_state"):
        plan_of({}, files, world)


def test_content_that_meets_the_customer_comes_first_unless_they_refused(
    inputs: dict[str, pl.DataFrame], files: DecisionFiles, world: Any
) -> None:
    """What meets tags and lists is brought; who refused profiling gets what is newest."""
    told = dict(inputs)
    told["content"] = inputs["content"].with_columns(
        valid_from=pl.Series([world.AS_OF - timedelta(days=d) for d in (9, 3, 3)])
    )
    told["offers"] = inputs["offers"].with_columns(
        offer_id=pl.when(pl.col("kind") == "content").then(pl.lit("t1")).otherwise("offer_id")
    )
    told["interactions"] = inputs["interactions"].clear()
    half = pl.int_range(pl.len()) % 2 == 0
    told["customer_state"] = inputs["customer_state"].with_columns(consent_profiling=half)
    post = [action for action in files.catalogue.actions if action.action_type == "topic_post"]
    only = files.catalogue.model_copy(update={"actions": tuple(post)})
    rules = files.rules(DecisionSettings(fatigue_slope=0))
    plan = decide(told, rules.model_copy(update={"catalogue": only}), as_of=world.AS_OF)
    consent = told["customer_state"].select("customer_id", "consent_profiling")
    posts = plan.actions.filter(pl.col("action_type") == "topic_post")
    posts = posts.join(consent, on="customer_id")
    brought = {key[0]: set(rows["content_id"]) for key, rows in posts.group_by("consent_profiling")}
    assert brought == {True: {"t1"}, False: {"t2"}}
