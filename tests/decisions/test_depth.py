"""Cover, handover, explain, diff, replay, hysteresis, factors, fairness, outlook, audiences."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from experiments.allocation.run import bench_programme
from nba.decisions import (
    DecisionFiles,
    DecisionSettings,
    Factors,
    Levers,
    Plan,
    decide,
)
from nba.decisions.audience import decide_audiences
from nba.decisions.compare import diff_plans, replay
from nba.decisions.explain import explain
from nba.decisions.facts import days_since, days_to_birthday
from nba.decisions.hashing import draw_arms, uniform
from nba.decisions.lending import lent_minutes, pooled_bound
from nba.decisions.modes import preferred_now
from nba.decisions.outlook import outlook, purchase_probabilities
from nba.decisions.rules import DecisionRules
from nba.decisions.when import reachable_hours
from nba.errors import NotFoundError
from nba.settings import ArmShares, PolicyShares, arm_shares

Inputs = dict[str, pl.DataFrame]


def run(inputs: Inputs, files: DecisionFiles, world: Any, **settings: Any) -> Plan:
    return decide(inputs, files.rules(DecisionSettings(**settings)), as_of=world.AS_OF)


@pytest.fixture(scope="module")
def inputs(make_inputs: Callable[..., Inputs]) -> Inputs:
    made = make_inputs(900, 5, seed=21)
    made["clerk"] = made["clerk"].with_columns(works_today=pl.lit(True))
    return made


@pytest.fixture(scope="module")
def plan(inputs: Inputs, files: DecisionFiles, world: Any) -> Plan:
    return run(inputs, files, world)


def absent(inputs: Inputs, clerk: str) -> Inputs:
    away = pl.when(pl.col("clerk_id") == clerk).then(False).otherwise("works_today")
    return {**inputs, "clerk": inputs["clerk"].with_columns(works_today=away)}


def test_an_absent_clerk_is_covered_by_a_friend_among_the_colleagues(
    inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    own = inputs["customer_state"].filter(pl.col("clerk_id") == "k00001")["customer_id"]
    since = world.AS_OF - timedelta(days=200)
    friendships = pl.DataFrame(
        {
            "customer_id": [own[0], own[0], own[1], own[2]],
            "clerk_id": ["k00002", "k00003", "k00004", "k00002"],
            "since": [since, since - timedelta(days=9), since, since],
            "ended_at": [None, None, None, world.AS_OF - timedelta(days=1)],
        }
    )
    away = {**absent(inputs, "k00001"), "friendships": friendships}
    away["customer_state"] = away["customer_state"].with_columns(
        is_friend=True, is_blocked=False, consent_contact=True
    )
    log = run(away, files, world, arms=ArmShares(holdout=0)).log
    clerk = dict(log.select("customer_id", "clerk_id").iter_rows())
    assert clerk[own[0]] == "k00003"
    assert clerk[own[1]] == "k00004"
    assert clerk[own[2]] == "k00001"
    left = log.filter(pl.col("clerk_id") == "k00001")
    assert (left["mode"] == "none").all()
    assert left["closed"].null_count() == 0


def test_handovers_are_proposed_at_most_twice_in_90_days(
    inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    gone = absent(inputs, "k00001")
    gone["clerk"] = gone["clerk"].with_columns(
        store_id=pl.lit("s0"),
        left_at=pl.when(pl.col("clerk_id") == "k00001").then(world.AS_OF - timedelta(days=3)),
    )
    gone["customer_state"] = gone["customer_state"].with_columns(store_id=pl.lit("s0"))
    own = inputs["customer_state"].filter(
        (pl.col("clerk_id") == "k00001")
        & pl.col("is_friend") & pl.col("consent_contact") & ~pl.col("is_blocked")
    )["customer_id"]  # fmt: skip
    tired = own[0]
    gone["handovers"] = pl.DataFrame(
        {"customer_id": [tired, tired], "ts": [world.AS_OF - timedelta(days=d) for d in (5, 80)]}
    )
    proposals = run(gone, files, world).handovers
    assert set(proposals["customer_id"]) == set(own) - {tired}
    assert set(proposals["from_clerk_id"]) == {"k00001"}
    counts = proposals["to_clerk_id"].value_counts()["count"]
    assert "k00001" not in set(proposals["to_clerk_id"])
    assert counts.max() < 2.2 * counts.min()


def test_explain_shows_every_action_and_its_funnel(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    row = plan.actions.filter(pl.col("mode") != "none").row(0, named=True)
    told = explain(
        inputs, files.rules(DecisionSettings()),
        customer_id=row["customer_id"], as_of=world.AS_OF, plan=plan,
    )  # fmt: skip
    assert told.candidates.height == len(files.catalogue.actions)
    drawn = told.candidates.filter("drawn").row(0, named=True)
    assert drawn["action_type"] == row["action_type"]
    assert drawn["probability"] == row["propensity"]
    assert drawn["value"] == row["value"]
    worked = (
        drawn["uplift_drawn"] * drawn["relevance_factor"]
        + drawn["worth"]
        - drawn["risk"] * drawn["lost_share"] * drawn["customer_value"]
        - drawn["fatigue_cost"]
    ) * drawn["lever_factor"]
    assert worked == pytest.approx(row["value"])
    stopped = told.candidates.filter(pl.col("stage") != "open")
    assert (stopped["why"] != "").all()
    with pytest.raises(NotFoundError, match="nobody"):
        explain(
            inputs, files.rules(DecisionSettings()), customer_id="nobody", as_of=world.AS_OF
        )  # fmt: skip


def test_replay_gives_the_same_bytes_and_names_what_differs(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    row = plan.actions.filter(pl.col("mode") != "none").row(3, named=True)

    def again(tables: Inputs) -> Any:
        return replay(
            tables, files.rules(DecisionSettings()), action_id=row["action_id"],
            as_of=world.AS_OF, plan=plan,
        )  # fmt: skip

    assert again(inputs).same
    cheaper = {**inputs, "mode": inputs["mode"].with_columns(pl.col("uplift_amount") + 0.5)}
    changed = again(cheaper)
    assert not changed.same
    assert changed.differences


def test_diff_counts_what_moved(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    same = diff_plans(plan.actions, plan.actions)
    assert same.customers.height == 0
    assert same.value_before == same.value_after
    top = plan.actions["action_type"].drop_nulls().mode()[0]
    stopped = files.catalogue.model_copy(
        update={"actions": tuple(a for a in files.catalogue.actions if a.action_type != top)}
    )
    rules = files.rules(DecisionSettings()).model_copy(update={"catalogue": stopped})
    other = decide(inputs, rules, as_of=world.AS_OF)
    moved = diff_plans(plan.actions, other.actions)
    assert top in moved.vanished
    assert moved.summary()["removed"] + moved.summary()["changed"] > 0


def test_a_preferred_mode_yields_to_proof_only() -> None:
    uplift = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    lower = np.array([[0.0, 0.5, -1.0], [0.0, 1.5, -1.0], [0.0, 1.5, -1.0]])
    assert preferred_now(uplift, lower, np.array([0, 0, -1])).tolist() == [0, 1, 1]


def test_without_hysteresis_what_was_preferred_before_does_not_count(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    held = files.rules(DecisionSettings())
    free = held.model_copy(update={"policy": held.policy.model_copy(update={"hysteresis": False})})

    def preferred(before: str, rules: DecisionRules) -> pl.DataFrame:
        given = plan.preferred_mode.with_columns(mode=pl.lit(before))
        return decide({**inputs, "preferred_mode": given}, rules, as_of=world.AS_OF).preferred_mode

    modes = ("private_partner", "topic_expert")
    one, other = (preferred(mode, held) for mode in modes)
    assert not one.equals(other)
    one, other = (preferred(mode, free) for mode in modes)
    assert one.equals(other)


def with_draws(inputs: Inputs, drawn: pl.Expr) -> Inputs:
    return {**inputs, "mode": inputs["mode"].with_columns(uplift_drawn=drawn)}


def test_lists_follow_the_draw_and_show_what_is_expected(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    """A shop where the draw says that one mode alone is worth anything."""
    only = pl.when(pl.col("mode") == "topic_expert").then(20.0).otherwise(0.0)
    drawn = run(with_draws(inputs, only), files, world)
    listed = drawn.actions.filter(pl.col("mode") != "none")
    by_worth = drawn.log.filter(pl.col("action_type").is_not_null() & pl.col("floor").is_null())
    before = plan.actions.filter(pl.col("mode") != "none")
    assert (before["mode"] == "topic_expert").mean() < 0.6
    assert (by_worth["mode"] == "topic_expert").mean() > 0.7
    scores = inputs["mode"].select("customer_id", "mode", "uplift_amount")
    profiled = inputs["customer_state"].filter(pl.col("consent_profiling"))
    shown = listed.join(scores, on=["customer_id", "mode"])
    shown = shown.join(profiled, on="customer_id", how="semi")
    shown = shown.filter(pl.col("uplift") != 0)  # service is worth what the catalogue says
    share = shown["uplift"] / shown["uplift_amount"]  # how well it fits, and the action's share
    assert share.is_between(0.1, 1.0 + 1e-9).all()
    off = DecisionSettings(factors=Factors(draws=False))
    without = decide(with_draws(inputs, only), files.rules(off), as_of=world.AS_OF)
    assert without.actions.equals(plan.actions)


def test_who_may_not_be_profiled_is_listed_by_the_average_not_by_a_draw(
    inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    nobody = inputs["customer_state"].with_columns(
        consent_profiling=pl.int_range(pl.len()) % 2 == 0
    )
    told = {**inputs, "customer_state": nobody}
    refused = nobody.filter(~pl.col("consent_profiling")).select("customer_id")
    high = pl.when(pl.col("customer_id").is_in(refused["customer_id"].implode())).then(500.0)
    drawn = high.otherwise(pl.col("uplift_amount"))
    first, second = run(told, files, world), run(with_draws(told, drawn), files, world)
    assert first.actions.equals(second.actions)


def test_levers_add_and_factors_switch_off(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    levers = Levers.model_validate(
        {
            "issues": {"shopping_assistant": 20},
            "groups": {"repeat": 30},
            "actions": {"replenish_reminder": -10},
        }
    )
    customer = inputs["customer_state"].filter(
        pl.col("is_friend") & pl.col("consent_profiling") & pl.col("consent_contact")
    )["customer_id"][0]

    def table(given: Levers, **factors: bool) -> dict[str, dict[str, Any]]:
        rules = files.rules(DecisionSettings(factors=Factors(**factors)))
        told = explain(
            inputs, rules.model_copy(update={"levers": given}),
            customer_id=customer, as_of=world.AS_OF,
        )  # fmt: skip
        return {row["action_type"]: row for row in told.candidates.iter_rows(named=True)}

    moved = table(levers)
    assert moved["replenish_reminder"]["lever_factor"] == pytest.approx(1.4)
    assert moved["back_in_stock"]["lever_factor"] == pytest.approx(1.5)
    assert moved["care_call"]["lever_factor"] == pytest.approx(1.0)
    assert table(levers, levers=False)["replenish_reminder"]["lever_factor"] == 1.0
    assert {row["risk"] for row in table(levers, risk=False).values()} == {0.0}
    assert {r["relevance_factor"] for r in table(levers, relevance=False).values()} == {1.0}
    assert {row["worth"] for row in table(levers, worth=False).values()} == {0.0}
    # of whatever an action serves; nothing where there is nothing to serve
    assert len({row["uplift"] for row in table(levers, uplift=False).values()} - {0.0}) == 1


def test_lent_minutes_stay_in_the_store_and_raise_its_value() -> None:
    programme = bench_programme(2000, 8, minutes=60, seed=4)
    store = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    lent = lent_minutes(programme, store, 0.3)
    assert np.bincount(store, weights=lent) == pytest.approx([240, 180, 60])
    assert (np.abs(lent - 60) <= 18 + 1e-6).all()
    pooled = pooled_bound(programme, store)
    assert (pooled[:4] == pooled[0]).all()


def test_arms_keep_their_shares_and_stick() -> None:
    ids = pl.Series([f"c{i}" for i in range(50_000)])
    given = ArmShares(holdout=0.1, random=0.05, business_as_usual=0.15)
    shares = arm_shares(given, PolicyShares(due_worth=0.08, clerk_habit=0.02))

    def arms(day: date, salt: str = "s") -> pl.Series:
        return draw_arms(ids, salt=salt, day=day, shares=shares, period_days=100)

    first = arms(date(2026, 3, 2))
    for arm, share in shares.items():
        assert (first == str(arm)).mean() == pytest.approx(share, abs=0.007)
    period = (date(2026, 3, 2) - date(1970, 1, 1)).days // 100
    start = date(1970, 1, 1) + timedelta(days=period * 100)
    assert arms(start).equals(arms(start + timedelta(days=99)))
    assert 0.3 < (arms(start) == arms(start + timedelta(days=100))).mean() < 0.7
    assert not arms(start).equals(arms(start, salt="t"))


SET = {"holdout": 0.1, "random": 0.1, "business_as_usual": 0.1, "observe": 0.0, "due_worth": 0.15,
       "most_overdue": 0.1, "recency_spend": 0.0, "top_propensity": 0.0, "clerk_habit": 0.0,
       "engine": 0.45}  # fmt: skip


@pytest.mark.parametrize(
    "lists",
    [
        {"due_worth": 0.268, "most_overdue": 0.05},
        {"due_worth": 0.05, "most_overdue": 0.3},
        {"due_worth": 0.05, "most_overdue": 0.05},
        {"due_worth": 0.6, "most_overdue": 0.05},
        {"due_worth": 0.2, "most_overdue": 0.2},
    ],
)
def test_shares_that_move_change_no_more_arms_than_they_must(lists: dict[str, float]) -> None:
    ids = pl.Series([f"c{i}" for i in range(50_000)])
    moved = {**SET, **lists}
    moved["engine"] += sum(SET.values()) - sum(moved.values())

    def arms(moved: dict[str, float] | None) -> pl.Series:
        return draw_arms(
            ids, salt="s", day=date(2026, 3, 2), shares=SET, period_days=100, moved=moved
        )

    before, after = arms(None), arms(moved)
    assert before.equals(arms(SET))
    for arm, share in moved.items():
        assert (after == arm).mean() == pytest.approx(share, abs=0.007)
    changed = {*zip(before.filter(before != after), after.filter(before != after), strict=True)}
    grown = {arm for arm in SET if moved[arm] > SET[arm]}
    assert {arm for _, arm in changed} == grown
    assert grown.isdisjoint(arm for arm, _ in changed)
    assert {arm for pair in changed for arm in pair} <= {"engine", *lists}
    least = sum(max(moved[arm] - SET[arm], 0.0) for arm in SET)
    assert (before != after).mean() == pytest.approx(least, abs=0.007)
    again = {**moved, "due_worth": moved["due_worth"] + 0.02, "engine": moved["engine"] - 0.02}
    assert (arms(again) != after).mean() < 0.05


def test_hash_is_fixed_forever() -> None:
    """Values written down once: a change would move every customer to another arm."""
    drawn = uniform(pl.Series(["c1", "顾客", "", "a" * 300]), "salt")
    assert drawn.tolist() == pytest.approx(HASHES, abs=0)
    many = uniform(pl.Series([f"c{i}" for i in range(20_000)]), "x")
    counts = np.histogram(many, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 45


HASHES = [0.9672914368146469, 0.3233560168489411, 0.2863436239059516, 0.6868135886253549]


def test_members_of_a_group_share_their_arm(plan: Plan, inputs: Inputs) -> None:
    members = inputs["memberships"]["customer_id"]
    arms = plan.log.filter(pl.col("customer_id").is_in(members.implode()))["arm"]
    assert len(arms) > 50
    assert arms.n_unique() == 1


def test_birthdays() -> None:
    frame = pl.DataFrame({"b": ["1990-03-02", "03-01", "12-25", "02-29", "13-01", None]})
    days = frame.select(days_to_birthday(pl.col("b"), datetime(2026, 3, 2)))["b"].to_list()
    assert days == [0.0, 364.0, 298.0, 363.0, None, None]


def test_a_friend_of_the_evening_before_last_is_one_for_two_days() -> None:
    since = [datetime(2025, 8, 2, 20), datetime(2025, 8, 3, 20), datetime(2025, 8, 4), None]
    days = pl.DataFrame({"since": since}).select(
        days=days_since(pl.col("since"), datetime(2025, 8, 4))
    )
    assert days["days"].to_list() == [2.0, 1.0, 0.0, None]


def test_outlook_prefers_the_day_that_the_curve_says(
    inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    curve = np.ones(91)
    curve[20:] = 0.2
    timing = pl.DataFrame({"survival": [curve.tolist(), (0.99 ** np.arange(91)).tolist()]})
    chances = purchase_probabilities(timing, 7, 14)
    assert chances[0, 5] == 0.0
    assert chances[0, 6] == pytest.approx(0.8)
    assert chances[1] == pytest.approx(1 - 0.99**14)
    known = pl.DataFrame({f"p_purchase_{d}d": [1 - 0.98**d] for d in (7, 14, 30, 90)})
    assert purchase_probabilities(known, 7, 14)[0] == pytest.approx(1 - 0.98**14)
    table = outlook(inputs, files.rules(DecisionSettings()), as_of=world.AS_OF)
    assert table["best_day"].min() >= world.AS_OF.date()
    assert table["best_day"].max() < world.AS_OF.date() + timedelta(days=7)
    assert (table["p_purchase"] >= 0).all()


@pytest.mark.parametrize(
    ("limit", "day", "open_"),
    [
        ({"per_month": 3}, date(2026, 1, 1), "few"),
        ({"per_month": 3}, date(2027, 1, 1), "all"),
        ({"per_day": 0}, date(2026, 1, 1), "none"),
    ],
)
def test_a_platform_limit_counts_every_sender(
    inputs: Inputs, files: DecisionFiles, world: Any, limit: dict[str, int], day: date, open_: str
) -> None:
    given = {"name": "chat", "channels": ["chat"], "valid_from": day, "source": "test", **limit}
    policy = files.policy.model_validate(
        {**files.policy.model_dump(), "platform_limits": [given], "caps": {"per_month": 30}}
    )
    made = inputs["interactions"].filter(
        (pl.col("mode") != "none")
        & (pl.col("channel") == "chat")
        & (pl.col("ts").dt.date() > world.AS_OF.date() - timedelta(days=30))
    )
    full = set(made.group_by("customer_id").len().filter(pl.col("len") >= 3)["customer_id"])
    assert full
    rules = files.rules(DecisionSettings()).model_copy(update={"policy": policy})
    planned = decide(inputs, rules, as_of=world.AS_OF)
    chat = set(planned.actions.filter(pl.col("channel") == "chat")["customer_id"])
    assert bool(chat) is (open_ != "none")
    if open_ == "few":
        assert not chat & full


def test_audiences_are_decided_whole(inputs: Inputs, files: DecisionFiles, world: Any) -> None:
    done = decide_audiences(inputs, files.rules(DecisionSettings()), as_of=world.AS_OF)
    again = decide_audiences(inputs, files.rules(DecisionSettings()), as_of=world.AS_OF)
    assert done.members.equals(again.members)
    assert done.posts["audience"].is_unique().all()
    one = done.members.group_by("audience").agg(
        pl.col("content_id").n_unique(), pl.col("propensity").n_unique()
    )
    assert (one["content_id"] == 1).all()
    assert (one["propensity"] == 1).all()
    moments = done.members.filter(pl.col("channel") == "moments")
    assert not moments["interference"].any()
    assert set(done.posts.filter("posted")["audience"]) == set(done.members["audience"])
    hours = reachable_hours(inputs["clerk"], files.policy)
    when = done.posts.join(hours, on="clerk_id", how="left")
    start = when.select(pl.col("contact_from").dt.hour() + pl.col("contact_from").dt.minute() / 60)
    assert (start.to_series() >= when["opens"]).all()
    assert (start.to_series() < when["closes"]).all()
    floor = DecisionSettings().exploration_floor
    assert done.posts.filter("posted")["propensity"].is_in([floor, 1 - floor]).all()


def test_a_post_must_earn_more_than_its_minutes(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    rules = files.rules(DecisionSettings(exploration_floor=0))
    free = decide_audiences(inputs, rules, as_of=world.AS_OF)
    dear = plan.clerks.with_columns(price_per_minute=pl.lit(1e6))
    priced = decide_audiences(inputs, rules, as_of=world.AS_OF, clerks=dear)
    assert free.posts["posted"].any()
    assert not priced.posts["posted"].any()
    assert priced.members.height == 0


def test_reasons_follow_the_contributions(
    plan: Plan, inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    """General reasons that rest on the strongest feature come first, after the action's own."""
    contacts = plan.actions.filter(pl.col("mode") != "none")
    ids = contacts["customer_id"]
    told = run(
        {
            **inputs,
            "contributions": pl.DataFrame(
                {"customer_id": ids, "feature": ["response_rate"] * len(ids)}
            ).with_columns(contribution=-2.0),
        },
        files,
        world,
    )
    after = told.actions.filter(pl.col("mode") != "none")
    assert after["customer_id"].to_list() == ids.to_list()

    def shown(actions: pl.DataFrame) -> int:
        codes = actions["reasons"].explode().struct.field("code")
        return int((codes == "responsive").sum())

    assert shown(after) > shown(contacts)


def test_rules_kept_as_json_replay_to_the_same_bytes(
    inputs: Inputs, files: DecisionFiles, world: Any
) -> None:
    rules = files.rules(DecisionSettings(seed=5, shortlist_size=20), model_versions="mode:2")
    kept = DecisionRules.model_validate_json(rules.model_dump_json())
    assert kept == rules
    plans = [decide(inputs, given, as_of=world.AS_OF) for given in (rules, kept)]
    assert plans[0].actions.equals(plans[1].actions)
    assert plans[0].log.equals(plans[1].log)
