"""Floors: minutes that are kept for what is owed, before what is worth most."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from nba.decisions import DecisionFiles, DecisionSettings, Plan, decide, load_decision_files
from nba.decisions.allocation import Programme
from nba.decisions.floors import best_of_floors, owed, owed_first
from nba.decisions.policy import ContactPolicy, Floor
from nba.errors import ConfigError
from nba.schema.words import LISTED_ARMS, Arm
from nba.settings import ArmShares, PolicyShares, arm_shares

Make = Callable[..., dict[str, pl.DataFrame]]
SERVING = Path(__file__).parents[2] / "serving"
ENGINE = arm_shares(ArmShares(holdout=0.0), PolicyShares())


def floor_of(*types: str, share: float = 0.1, duty: bool = True) -> Floor:
    return Floor(name="+".join(types), action_types=types, minutes_share=share, duty=duty)


def plan_with(
    inputs: dict[str, pl.DataFrame], files: DecisionFiles, world: Any, *floors: Floor
) -> Plan:
    rules = files.rules(DecisionSettings(exploration_floor=0))
    policy = rules.policy.model_copy(update={"floors": floors})
    return decide(inputs, rules.model_copy(update={"policy": policy}), as_of=world.AS_OF)


def test_the_best_per_minute_of_a_floor_is_taken(files: DecisionFiles) -> None:
    names = ("thank_you", "care_call")  # 1 and 10 minutes
    actions = [files.catalogue[name] for name in names]
    is_open = np.array([[True, True], [True, True], [False, True], [False, False]])
    value = np.array([[2.0, 10.0], [0.5, 10.0], [9.0, -1.0], [9.0, 9.0]])
    duty, choice = floor_of(*names), floor_of(*names, duty=False)
    found = best_of_floors(actions, is_open, value, [duty, choice])
    assert found.tolist() == [[0, 0], [1, 1], [1, -1], [-1, -1]]
    assert best_of_floors(actions, is_open, value, []).shape == (4, 0)


def test_a_floor_is_kept_on_average_and_the_least_is_forgone() -> None:
    people, clerks = 40, 300
    programme = Programme(
        clerk=np.repeat(np.arange(clerks), people),
        value=np.ones((people * clerks, 1)),
        minutes=np.full((people * clerks, 1), 10.0),
        open=np.ones((people * clerks, 1), dtype=bool),
        budget=np.full(clerks, 60.0),
    )
    forgone = np.tile(np.arange(people, dtype=float), clerks)
    arm = np.full(people * clerks, LISTED_ARMS.index(Arm.ENGINE))
    ids = pl.Series([f"k{i}" for i in range(clerks)])
    served = owed(
        [floor_of("care_call", share=0.25)], programme, arm, ids, ENGINE, forgone=forgone, seed="d"
    )
    per_clerk = np.bincount(programme.clerk[served == 0], minlength=clerks)
    assert set(per_clerk) == {1, 2}  # 15 minutes are one and a half calls
    assert abs(per_clerk.mean() - 1.5) < 0.1
    assert forgone[served == 0].max() <= 1
    lifted = owed_first(programme, served == 0)
    assert lifted.value[served == 0].min() > lifted.value[served < 0].max()


def test_a_birthday_is_not_crowded_out_by_goods_that_are_due(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(800, 4, seed=3)
    soon = f"1980-{world.AS_OF + timedelta(days=6):%m-%d}"
    inputs["customer_state"] = inputs["customer_state"].with_columns(birthday=pl.lit(soon))
    without = plan_with(inputs, files, world)
    floor = floor_of("birthday_gift", share=0.2)
    plan = plan_with(inputs, files, world, floor)
    kept = plan.log.filter(pl.col("floor") == floor.name)
    assert kept.height > 0
    assert set(kept["action_type"]) == {"birthday_gift"}
    assert kept["alternatives"].list.len().unique().to_list() == [2]  # it, or nothing
    count = [
        one.actions.filter(pl.col("action_type") == "birthday_gift").height
        for one in (without, plan)
    ]
    assert count[1] > count[0]
    minutes = kept.group_by("clerk_id").agg(pl.col("minutes").sum())
    budget = plan.clerks.select("clerk_id", budget="minutes")
    spent = minutes.join(budget, on="clerk_id")
    assert (spent["minutes"] <= 0.2 * spent["budget"] + 2).all()
    assert (plan.clerks["minutes_planned"] <= plan.clerks["minutes"] + 1e-9).all()
    assert (plan.clerks["value_expected"] <= plan.clerks["value_pooled"].sum() + 1e-6).all()
    assert without.log["floor"].null_count() == without.log.height


def test_the_answer_to_a_case_passes_caps_and_rests(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(300, 3, seed=5)
    state = inputs["customer_state"].with_columns(open_complaints=pl.lit(0.0))
    working = inputs["clerk"].filter("works_today")["clerk_id"].implode()
    may = state.filter(
        pl.col("is_friend") & ~pl.col("is_blocked") & pl.col("consent_contact")
    ).filter(pl.col("clerk_id").is_in(working))
    waiting = may["customer_id"][0]
    inputs["customer_state"] = state.with_columns(
        open_complaints=pl.when(pl.col("customer_id") == waiting).then(1.0).otherwise(0.0)
    )
    recent = inputs["interactions"].head(3).with_columns(
        customer_id=pl.lit(waiting),
        interaction_id=pl.Series(["r1", "r2", "r3"]),
        ts=pl.lit(world.AS_OF - timedelta(hours=5)),
        mode=pl.lit("private_partner"),
        action_type=pl.lit("personal_styling"),
    )  # fmt: skip
    others = inputs["interactions"].filter(pl.col("customer_id") != waiting)
    inputs["interactions"] = pl.concat([others, recent])
    rules = files.rules(DecisionSettings(exploration_floor=0, arms=ArmShares(holdout=0.0)))
    plan = decide(inputs, rules, as_of=world.AS_OF)
    listed = plan.actions.filter(pl.col("customer_id") == waiting)
    assert listed["action_type"].to_list() == ["resolve_complaint"]
    assert listed["rank"].to_list() == [1]


def test_floors_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="more than 1"):
        ContactPolicy(floors=(floor_of("a", share=0.6), floor_of("b", share=0.6)))
    for file in SERVING.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    policy = (tmp_path / "contact_policy.yaml").read_text(encoding="utf-8")
    changed = policy.replace("birthday_gift,", "birthday_gifts,")
    (tmp_path / "contact_policy.yaml").write_text(changed, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_decision_files(tmp_path)
    assert any("birthday_gifts" in line for line in refused.value.problems)


def test_the_shipped_catalogue_gets_used(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    """On one day of a shop in which nearly everything applies to somebody."""
    inputs = make_inputs(800, 4, seed=1)
    place, soon = pl.int_range(pl.len()), f"1980-{world.AS_OF + timedelta(days=4):%m-%d}"
    cases = ("open_complaints", "open_questions", "open_after_sales")
    inputs["customer_state"] = inputs["customer_state"].with_columns(
        *(
            pl.when(place % 80 == rest).then(1.0).otherwise(0.0).alias(name)
            for rest, name in enumerate(cases)
        ),
        birthday=pl.when(place % 20 == 3).then(pl.lit(soon)).otherwise("birthday"),
    )
    inputs["clerk"] = inputs["clerk"].with_columns(
        works_today=pl.lit(True), minutes_per_day=pl.lit(240.0)
    )
    stores = inputs["clerk"].select("store_id").unique().sort("store_id")
    events = inputs["events"].drop("store_id", "event_id").join(stores, how="cross")
    inputs["events"] = events.with_columns(event_id=pl.format("e-{}", "store_id"))
    plan = decide(inputs, files.rules(DecisionSettings()), as_of=world.AS_OF)
    assert plan.actions["action_type"].drop_nulls().n_unique() >= 15
