"""Arms with rules of their own: planned apart within a day, and explained as planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from nba.decisions import DecisionFiles, DecisionSettings, decide
from nba.decisions.compare import replay
from nba.decisions.explain import explain
from nba.decisions.next_actions import OpenBook, next_actions, why_not
from nba.decisions.replacement import draw_replacements, write_reserve
from nba.decisions.rules import DecisionRules
from nba.schema.words import SIMPLE_ARMS, Arm
from nba.settings import ArmShares, PolicyShares

Make = Callable[..., dict[str, pl.DataFrame]]
SETTINGS = DecisionSettings(
    arms=ArmShares(holdout=0.1, random=0.1), policies=PolicyShares(due_worth=0.1)
)


@pytest.fixture
def tested(files: DecisionFiles) -> DecisionRules:
    """Rules with an arm whose contacts are half as long."""
    short = [one.model_copy(update={"minutes": one.minutes / 2}) for one in files.catalogue.actions]
    catalogue = files.catalogue.model_copy(update={"actions": tuple(short)})
    draft = replace(files, catalogue=catalogue, version="draft")
    return files.rules(SETTINGS).with_variants({"short": draft.rules(SETTINGS)}, {"short": 0.4})


def test_an_arm_is_planned_by_its_own_rules_and_the_others_by_theirs(
    make_inputs: Make, files: DecisionFiles, tested: DecisionRules, world: Any
) -> None:
    inputs = make_inputs(400, 3, seed=5)
    plan = decide(inputs, tested, as_of=world.AS_OF)
    plain = decide(inputs, files.rules(SETTINGS), as_of=world.AS_OF)
    before = dict(plain.log.select("customer_id", "arm").iter_rows())
    now = dict(plan.log.select("customer_id", "arm").iter_rows())
    assert before.keys() == now.keys()
    moved = {one for one in now if now[one] != before[one]}
    assert {(before[one], now[one]) for one in moved} == {("engine", "short")}
    assert 0.3 < len(moved) / len(now) < 0.5
    minutes = {one.action_type: one.minutes for one in files.catalogue.actions}
    for arm, factor, version in (("short", 0.5, "draft"), ("engine", 1.0, files.version)):
        rows = plan.log.filter((pl.col("arm") == arm) & pl.col("action_type").is_not_null())
        assert rows.height > 3
        assert set(rows["policy_version"]) == {version}
        expected = [minutes[name] * factor for name in rows["action_type"]]
        assert rows["minutes"].to_list() == pytest.approx(expected)


def test_the_day_stays_within_the_minutes_and_probabilities_add_up(
    make_inputs: Make, tested: DecisionRules, world: Any
) -> None:
    inputs = make_inputs(400, 3, seed=5)
    plan = decide(inputs, tested, as_of=world.AS_OF)
    own = dict(inputs["clerk"].select("clerk_id", "minutes_per_day").iter_rows())
    for row in plan.clerks.iter_rows(named=True):
        assert row["minutes_own"] == pytest.approx(own[row["clerk_id"]])
        assert row["minutes_planned"] <= own[row["clerk_id"]] + 1e-6
    spent = plan.log.group_by("clerk_id").agg(pl.col("minutes").sum())
    assert all(total <= own[clerk] + 1e-6 for clerk, total in spent.drop_nulls().iter_rows())
    total = plan.log["alternatives"].list.eval(pl.element().struct.field("probability")).list.sum()
    assert np.allclose(total.to_numpy(), 1.0)
    listed = plan.actions.filter(pl.col("rank").is_not_null())
    for (_,), rows in listed.group_by("clerk_id"):
        assert sorted(rows["rank"]) == list(range(1, rows.height + 1))


def test_a_decision_of_the_arm_repeats_and_is_explained_by_its_rules(
    make_inputs: Make, tested: DecisionRules, world: Any
) -> None:
    inputs = make_inputs(400, 3, seed=5)
    plan = decide(inputs, tested, as_of=world.AS_OF)
    action = plan.actions.filter(pl.col("arm") == "short").row(0, named=True)
    kept = DecisionRules.model_validate_json(tested.model_dump_json())
    again = replay(inputs, kept, action_id=action["action_id"], as_of=world.AS_OF, plan=plan)
    assert again.same
    found = explain(inputs, kept, customer_id=action["customer_id"], as_of=world.AS_OF, plan=plan)
    drawn = found.candidates.filter(pl.col("drawn")).row(0, named=True)
    assert found.arm == "short"
    assert drawn["minutes"] == pytest.approx(action["minutes"])
    assert drawn["value"] == pytest.approx(action["value"])


@pytest.mark.parametrize("arm", SIMPLE_ARMS)
def test_customers_of_simple_lists_are_explained_by_their_list(
    make_inputs: Make, files: DecisionFiles, world: Any, arm: str
) -> None:
    inputs = make_inputs(300, 3, seed=5)
    settings = DecisionSettings(policies=PolicyShares.model_validate({arm: 0.7}))
    rules = files.rules(settings)
    plan = decide(inputs, rules, as_of=world.AS_OF)
    book = OpenBook.of(inputs, plan.clerks)
    is_listed = (pl.col("arm") == arm) & pl.col("need_id").is_not_null()
    for entry in plan.log.filter(is_listed).head(2).to_dicts():
        customer = entry["customer_id"]
        found = explain(inputs, rules, customer_id=customer, as_of=world.AS_OF, plan=plan)
        assert found.arm == arm
        drawn = found.candidates.filter("drawn").row(0, named=True)
        assert drawn["need"] == entry["need_id"]
        assert drawn["probability"] == entry["propensity"]
        assert drawn["uplift"] * drawn["relevance_factor"] == pytest.approx(entry["uplift"])
        scored = drawn["value"] if arm == Arm.DUE_WORTH else drawn["score"]
        assert scored == pytest.approx(entry["value"])
        now = why_not(book, customer, rules, as_of=world.AS_OF)
        same = now.filter(pl.col("action_type") == entry["action_type"])
        assert same["need"].to_list() == [entry["need_id"]]
    assert plan.log.filter(is_listed).height


def test_what_is_decided_during_the_day_follows_the_arm(
    make_inputs: Make, tested: DecisionRules, world: Any
) -> None:
    inputs = make_inputs(400, 3, seed=5)
    plan = decide(inputs, tested, as_of=world.AS_OF)
    book = OpenBook.of(inputs, plan.clerks)
    ids = plan.log.filter(pl.col("arm").is_in(["short", "engine"]))["customer_id"].to_list()[:60]
    now = next_actions(book, ids, tested, as_of=world.AS_OF)
    assert set(now["arm"]) == {"short", "engine"}
    assert set(now.filter(pl.col("arm") == "short")["policy_version"]) == {"draft"}
    mine = next(one for one in ids if one in now.filter(pl.col("arm") == "short")["customer_id"])
    reasons = why_not(book, mine, tested, as_of=world.AS_OF)
    assert reasons["minutes"].min() == min(one.minutes for one in tested.actions) / 2
    reserve = write_reserve(inputs, plan.log, plan.clerks, tested, as_of=world.AS_OF)
    assert "short" in set(reserve["arm"])
    options = reserve.filter(pl.col("clerk_id") == reserve["clerk_id"][0])
    draw = draw_replacements(
        options.select("customer_id", "arm", "mode", "value", "minutes"), 10.0, tested.settings,
        seed="1",
    )  # fmt: skip
    assert {"short", "engine"} <= set(draw.decided["arm"])
    assert draw.drawn.join(options, on=["customer_id", "mode"])["minutes"].sum() <= 10.0


def test_scores_of_an_arms_own_models_count_for_it_alone(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(400, 3, seed=5)
    rules = files.rules(SETTINGS)
    own = rules.with_variants({"other": rules}, {"other": 0.4})
    nothing = inputs["mode"].with_columns(pl.col("uplift_amount", "uplift_lower") * 0.0 - 1.0)
    given = {**inputs, "arms/other/mode": nothing}
    plan = decide(given, own, as_of=world.AS_OF)
    same = decide(inputs, own, as_of=world.AS_OF)
    engine = pl.col("arm") == "engine"
    assert plan.log.filter(engine).equals(same.log.filter(engine))
    values = [log.filter(pl.col("arm") == "other")["value"].sum() for log in (plan.log, same.log)]
    assert values[0] < values[1]
    book = OpenBook.of(given, plan.clerks)
    ids = plan.log.filter(pl.col("arm") == "other")["customer_id"].to_list()
    assert next_actions(book, ids, own, as_of=world.AS_OF)["value"].sum() < (
        next_actions(OpenBook.of(inputs, plan.clerks), ids, own, as_of=world.AS_OF)["value"].sum()
    )


def test_arms_that_leave_nothing_or_take_a_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="more than 1"):
        DecisionSettings(variants={"short": 0.95})
    with pytest.raises(ValidationError, match="cannot be called holdout"):
        DecisionSettings(variants={"holdout": 0.1})
