"""Doors that are closed to a customer: their names, and when waiting opens them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, DecisionSettings, Plan, decide
from nba.decisions.doors import DOORS, said_of_closed, text_of
from nba.decisions.explain import explain
from nba.decisions.next_actions import OpenBook, next_actions, why_not
from nba.decisions.replacement import RESERVE_SIZE, write_reserve
from nba.decisions.rules import DecisionRules

Make = Callable[..., dict[str, pl.DataFrame]]


@pytest.fixture(scope="module")
def inputs(make_inputs: Make) -> dict[str, pl.DataFrame]:
    return make_inputs(300, 3, seed=4)


@pytest.fixture(scope="module")
def rules(files: DecisionFiles) -> DecisionRules:
    return files.rules(DecisionSettings(seed=1), model_versions="mode:3")


@pytest.fixture(scope="module")
def plan(inputs: dict[str, pl.DataFrame], rules: DecisionRules, world: Any) -> Plan:
    return decide(inputs, rules, as_of=world.AS_OF)


def test_every_door_is_named_in_both_languages() -> None:
    assert all(set(texts) == {"zh", "en"} for texts in DOORS.values())


CODE = re.compile(r"[a-z]+_[a-z]+")
RULES = ("eligible", "applicable", "suitable")


@pytest.mark.parametrize("code", sorted(DOORS))
def test_doors_are_words(code: str, files: DecisionFiles) -> None:
    action = files.catalogue.actions[0].model_copy(update=dict.fromkeys(RULES, "True"))
    assert not CODE.search(text_of(code, action)["en"])
    assert not CODE.search(said_of_closed(code))


@pytest.mark.parametrize("code", ["not_eligible", "not_suitable"])
def test_a_rule_that_is_not_set_is_no_reason(code: str, files: DecisionFiles) -> None:
    action = files.catalogue.actions[0].model_copy(update={"eligible": "True", "suitable": "True"})
    assert "True" not in "".join(text_of(code, action).values())
    action = action.model_copy(update={"eligible": "orders > 3", "suitable": "orders > 3"})
    assert all("orders > 3" in text for text in text_of(code, action).values())


def test_where_nothing_can_be_brought_the_door_says_so(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    book = OpenBook.of(inputs, plan.clerks)
    ids = inputs["customer_state"]["customer_id"][:20]
    found = pl.concat([why_not(book, one, rules, as_of=world.AS_OF) for one in ids])
    texts = found.filter(pl.col("stage") == "not_applicable").select(
        "action_type", "door", "door_en"
    )
    bare = [one.action_type for one in rules.actions if one.applicable == "True"]
    of_bare = texts.filter(pl.col("action_type").is_in(bare))
    assert set(of_bare["door"]) == {"nothing_to_bring"}
    assert not texts["door_en"].str.contains("True").any()
    assert "not_applicable" in texts["door"]


def test_doors_say_what_the_explanation_of_the_night_says(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    book = OpenBook.of(inputs, plan.clerks)
    for customer in inputs["customer_state"]["customer_id"][:5]:
        found = why_not(book, customer, rules, as_of=world.AS_OF)
        told = explain(inputs, rules, customer_id=customer, as_of=world.AS_OF).candidates
        assert found["action_type"].to_list() == told["action_type"].to_list()
        assert found["door_en"].to_list() == told["why"].to_list()
        assert (found["door"] == "").to_list() == (found["stage"] == "open").to_list()
    assert why_not(book, "nobody", rules, as_of=world.AS_OF).is_empty()


def test_a_door_opens_on_the_day_that_it_says(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    book = OpenBook.of(inputs, plan.clerks)
    seen = 0
    for customer in inputs["customer_state"]["customer_id"]:
        found = why_not(book, customer, rules, as_of=world.AS_OF)
        waiting = found.filter(pl.col("opens_on").is_not_null())
        if waiting.is_empty():
            continue
        assert (waiting["stage"] == "policy").all()
        assert (waiting["opens_on"] > world.AS_OF.date()).all()
        seen += 1
        if seen == 3:
            return
    pytest.fail("nobody waits for a door")


@pytest.mark.parametrize(
    ("heard", "door"),
    [
        ({"mode": "private_partner", "channel": "chat"}, "cap_per_day"),
        ({"kind": "complained"}, "pause_after_no"),
    ],
)
def test_what_was_heard_today_closes_doors_today_and_not_in_the_nights_plan(
    inputs: dict[str, pl.DataFrame],
    rules: DecisionRules,
    plan: Plan,
    world: Any,
    heard: dict[str, str],
    door: str,
) -> None:
    book = OpenBook.of(inputs, plan.clerks)
    customer = next_actions(
        book, inputs["customer_state"]["customer_id"].to_list()[:50], rules, as_of=world.AS_OF
    )["customer_id"][0]
    ts = world.AS_OF + timedelta(hours=9)
    name = "responses" if "kind" in heard else "interactions"
    row = pl.DataFrame([{"customer_id": customer, "ts": ts, **heard}])
    row = row.with_columns(pl.col("ts").cast(pl.Datetime("us")))
    told = {name: pl.concat([book.tables[name], row], how="diagonal")}

    def asked(**until: datetime) -> pl.DataFrame:
        found = why_not(book, customer, rules, as_of=world.AS_OF, scores=told, **until)
        actions = next_actions(book, [customer], rules, as_of=world.AS_OF, scores=told, **until)
        services = [one.action_type for one in rules.actions if one.service]
        assert actions.is_empty() == found.filter(
            (pl.col("door") == "") & ~pl.col("action_type").is_in(services)
        ).is_empty()  # fmt: skip
        return found

    assert (asked()["door"] == "").any()
    assert asked(heard_until=ts).equals(asked())
    closed = asked(heard_until=ts + timedelta(minutes=1)).filter(pl.col("stage") == "policy")
    assert set(closed["door"]) == {door}
    assert (closed["opens_on"].drop_nulls() > world.AS_OF.date()).all()
    assert decide({**inputs, **told}, rules, as_of=world.AS_OF).log.equals(plan.log)


def test_the_reserve_holds_the_best_who_were_not_drawn(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    reserve = write_reserve(inputs, plan.log, plan.clerks, rules, as_of=world.AS_OF)
    assert reserve.height
    drawn = plan.log.filter(pl.col("action_type").is_not_null())
    assert reserve.join(drawn, on="customer_id", how="semi").is_empty()
    assert set(reserve["arm"]) <= {"engine", "random"}
    assert reserve["rank"].max() <= RESERVE_SIZE  # type: ignore[operator]
    per_customer = reserve.group_by("customer_id").agg(pl.col("rank").n_unique())
    assert (per_customer["rank"] == 1).all()
    assert reserve["action_id"].n_unique() == reserve.height
