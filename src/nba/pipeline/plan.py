"""Decide for every eligible customer, and keep what the decision stood on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from nba.decisions.audience import decide_audiences
from nba.decisions.decide import decide
from nba.decisions.inputs import conform_inputs
from nba.decisions.modes import Averages
from nba.decisions.outlook import outlook
from nba.decisions.plan import Plan
from nba.decisions.replacement import shift_ends, write_reserve
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import UnitDraw
from nba.decisions.substitution import stand_ins, with_substitutes
from nba.decisions.talking import SAME_TEXT_DAYS
from nba.decisions.when import quiet_shifts
from nba.features.product import store_stock
from nba.models.affinity.offers import offers
from nba.models.base import ModelInputs
from nba.pipeline.arms import ArmChange, model_versions_text, score_arms, with_arms_of_test
from nba.pipeline.consents import with_consents
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import STATE
from nba.pipeline.score import read_scores
from nba.schema.zones import minutes_ahead
from nba.settings import PolicyShares

GROUP: Final = "plan"
INPUTS: Final = "inputs"
RULES: Final = "rules.json"
#: In the report of a step: what it warns of, a line each.
WARNINGS: Final = "warnings"
#: Where a store's clocks differ from the project's; kept with the plan.
CLOCKS: Final = "clocks"
#: The tables of a plan that are kept.
PLAN_TABLES: Final = ("log", "actions", "clerks", "preferred_mode", "handovers")
#: Reports of a plan: posts of groups and moments, whom they reach, the days ahead.
POSTS: Final = "posts"
POST_MEMBERS: Final = "post_members"
OUTLOOK: Final = "outlook"
#: What the day needs beside the plan: who takes a free place, when shifts end, who stands in.
RESERVE: Final = "reserve"
SHIFTS: Final = "shifts"
STAND_INS: Final = "stand_ins"
#: Days of contacts and responses that the contact policy looks back on.
POLICY_DAYS: Final = 92
#: So many days without any sale are worth a warning.
DAYS_WITHOUT_SALE: Final = 7.0
_WHOLE = ("content", "events", "benefits", "service_cases", "groups", "memberships", "friendships")
#: What a customer is called by: read for texts alone, kept with the plan, erased with the person.
_NAMES = ("customer_id", "name", "alias", "gender")
_RECENT = ("interactions", "responses")


def plan(context: RunContext, rules: DecisionRules) -> dict[str, Any]:
    """Decide, and keep the decision log, the actions, the clerks' budgets and the plan reports."""
    decided = make_plan(context, rules)
    contacts = decided.actions.filter(pl.col("mode") != "none").height
    return plan_report(context, rules, eligible=decided.log.height, actions=contacts)


def rules_of_day(
    context: RunContext,
    policies: PolicyShares | None = None,
    arms: Mapping[str, ArmChange] | None = None,
    by_units: UnitDraw | None = None,
) -> DecisionRules:
    """Return the rules of the run.

    Parameters
    ----------
    context : RunContext
    policies : PolicyShares, optional
        In place of the configured shares of simple lists.
    arms : mapping of str to ArmChange, optional
        Arms that plan by rules of their own.
    by_units : UnitDraw, optional
        Who draws these arms for all their customers.
    """
    rules = context.ports.decision_rules(model_versions_text(context.manifest))
    if policies is not None:
        rules = rules.with_policies(policies)
    return with_arms_of_test(context.ports, rules, arms, by_units) if arms else rules


def plan_report(
    context: RunContext, rules: DecisionRules, *, eligible: int, actions: int
) -> dict[str, Any]:
    """Return what the step says of its plan.

    Parameters
    ----------
    context : RunContext
    rules : DecisionRules
    eligible, actions : int
        Customers who were decided on, and contacts that were drawn.
    """
    clerks, products = (
        context.ports.feature_store.snapshot(view, context.as_of) for view in ("clerk", "product")
    )
    return {
        "eligible": eligible,
        "actions": actions,
        "policy_version": rules.policy_version,
        WARNINGS: [*silent_shifts(clerks, rules), *old_sales(products)],
    }


def old_sales(products: pl.DataFrame) -> list[str]:
    """Return a warning where no sale is recent: the tables have stopped, or the day is wrong.

    Whoever bought since seems overdue, and is written to as if they had stayed away.
    """
    days = products["days_since_sale"].min()
    if not isinstance(days, float) or days <= DAYS_WITHOUT_SALE:
        return []
    return [
        f"WARN old tables: the newest sale is {days:.0f} days before the plan's day; whoever "
        "bought since seems overdue: bring newer tables in, or plan for another day"
    ]


def silent_shifts(clerks: pl.DataFrame, rules: DecisionRules) -> list[str]:
    """Return a warning where shifts lie in quiet hours: those clerks get no list."""
    silent = quiet_shifts(clerks, rules.policy)
    if silent.is_empty():
        return []
    clerk_id, start, end = silent.row(0)
    quiet = rules.policy.quiet_hours
    return [
        f"WARN shift in quiet hours: {silent.height} of {clerks.height} clerks get no list, e.g. "
        f"{clerk_id} ({start}-{end}; quiet from {quiet.start:%H:%M} to {quiet.end:%H:%M})"
    ]


def plan_stands(context: RunContext) -> bool:
    """Return whether the plan is kept, with the rules under which it was made."""
    is_kept = all(context.folder.has(f"{GROUP}/{name}") for name in PLAN_TABLES)
    return is_kept and context.folder.read_text(RULES) is not None


def make_plan(context: RunContext, rules: DecisionRules) -> Plan:
    """Decide for every eligible customer at the run's `as_of`, and keep what it stood on.

    Feature snapshots and scores are kept by their own steps; what comes from the lake, the
    quota ledger and the plan before is kept with the plan, so that it can be replayed, and so
    is which content and events meet each customer's tags, lists and store.
    """
    scores, read = read_scores(context.folder), plan_inputs(context, context.tables)
    given = ModelInputs({**context.inputs, **read})
    read["offers"] = offers(given, scores.affinity, as_of=context.as_of)
    for name, table in read.items():
        context.folder.write(f"{INPUTS}/{name}", table)
    keep_rules(context, rules)
    own = score_arms(context, rules, given)
    inputs = {**context.inputs, **scores.items(), **read, **own}
    decided = decide(inputs, rules, as_of=context.as_of)
    tables = {
        **{name: getattr(decided, name) for name in PLAN_TABLES},
        **plan_reports(decided, rules, inputs, context.as_of),
    }
    if context.ports.is_served:
        tables |= day_tables(decided, rules, inputs, context.as_of)
    for name, table in tables.items():
        context.folder.write(f"{GROUP}/{name}", table)
    return decided


def plan_inputs(context: RunContext, tables: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Return what a plan reads beside features and scores, of all customers.

    `tables` are the lake's as the run sees them.
    """
    return {
        **decision_tables(context, tables),
        CLOCKS: store_clocks(context),
        "preferred_mode": preferred_modes(context),
        STATE: consented_state(context, tables),
    }


def keep_rules(context: RunContext, rules: DecisionRules) -> None:
    """Keep the rules under which the plan is made."""
    context.folder.write_text(RULES, rules.model_dump_json())


def plan_reports(
    decided: Plan, rules: DecisionRules, inputs: Mapping[str, pl.DataFrame], as_of: datetime
) -> dict[str, pl.DataFrame]:
    """Return the day's posts, whom they reach, and the best day of each customer ahead.

    Parameters
    ----------
    decided : Plan
    rules : DecisionRules
    inputs : mapping of str to polars.DataFrame
        Facts, scores and the lake's tables, as `decide` reads them.
    as_of : datetime
    """
    posts = post_tables(decided.clerks, rules, inputs, as_of)
    return {**posts, OUTLOOK: outlook(inputs, rules, as_of=as_of)}


def post_tables(
    clerks: pl.DataFrame,
    rules: DecisionRules,
    inputs: Mapping[str, pl.DataFrame],
    as_of: datetime,
) -> dict[str, pl.DataFrame]:
    """Return the day's posts and whom they reach.

    Parameters
    ----------
    clerks : DataFrame
        The clerks' ledger of the plan.
    rules : DecisionRules
    inputs : mapping of str to polars.DataFrame
        Of `plan_reports`; of the scores mode and timing.
    as_of : datetime
    """
    audiences = decide_audiences(inputs, rules, as_of=as_of, clerks=clerks)
    return {POSTS: audiences.posts, POST_MEMBERS: audiences.members}


def day_tables(
    decided: Plan,
    rules: DecisionRules,
    inputs: Mapping[str, pl.DataFrame],
    as_of: datetime,
    averages: Averages | None = None,
) -> dict[str, pl.DataFrame]:
    """Return what the plan's day needs so that nothing has to be worked out in a request.

    Parameters
    ----------
    decided : Plan
    rules : DecisionRules
        Under which it was made.
    inputs : mapping of str to DataFrame
        What it stood on.
    as_of : datetime
    averages : Averages, optional
        Of the whole shop, where the plan is that of a part of it.
    """
    tables = with_substitutes(conform_inputs(inputs))
    reserve = write_reserve(
        inputs, decided.log, decided.clerks, rules, as_of=as_of, averages=averages
    )
    return {
        RESERVE: reserve,
        SHIFTS: shift_ends(tables, rules.policy, as_of=as_of),
        STAND_INS: stand_ins(tables),
    }


def store_clocks(context: RunContext) -> pl.DataFrame:
    """Return the clerks whose store has a time zone of its own: clerk_id, timezone, ahead_minutes.

    `ahead_minutes` are those by which the store's clocks are ahead of the project's at the
    store's noon of the plan's day.
    """
    here = ZoneInfo(context.settings.time_zone)
    noon = context.as_of + timedelta(hours=12)
    stores = context.inputs["store"].select("store_id", "timezone").drop_nulls()
    ahead = {name: minutes_ahead(name, here, noon) for name in stores["timezone"].unique()}
    return (
        context.inputs["clerk"]
        .select("clerk_id", "store_id")
        .join(stores, on="store_id")
        .select(
            "clerk_id",
            "timezone",
            ahead_minutes=pl.col("timezone").replace_strict(ahead, return_dtype=pl.Float64),
        )
        .sort("clerk_id")
    )


def decision_tables(context: RunContext, tables: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Return the lake's `tables` that decisions read, contacts confined to the recent ones."""
    lake, as_of = context.ports.tables, context.as_of
    read = {name: lake.collect(tables[name]) for name in _WHOLE}
    since = as_of - timedelta(days=POLICY_DAYS)
    for name in _RECENT:
        read[name] = lake.collect(tables[name].filter(tables[name].ts >= since))
    read["categories"] = lake.collect(tables["categories"].select("category", "name"))
    read["names"] = lake.collect(tables["customers"].select(*_NAMES))
    read["store_stock"] = lake.collect(store_stock(tables, as_of)).sort("store_id", "product_id")
    store, day = context.ports.plan_store, as_of.date()
    read["quota"] = store.quota_frame(day)
    read["snoozes"] = _snoozes(context)
    read["said"] = store.talking_points(day - timedelta(days=SAME_TEXT_DAYS), day)
    return read


def _snoozes(context: RunContext) -> pl.DataFrame:
    """Return whom clerks set aside beyond the plan's day: customer_id, until (local)."""
    zone = ZoneInfo(context.settings.time_zone)
    day_ends = (context.as_of + timedelta(days=1)).replace(tzinfo=zone)
    snoozed = context.ports.plan_store.snoozed(day_ends - timedelta(seconds=1))
    local = pl.col("until").dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
    return snoozed.with_columns(local)


def consented_state(context: RunContext, tables: Mapping[str, Any]) -> pl.DataFrame:
    """Return the state of customers who were not erased, with what they said over the API."""
    lake, store = context.ports.tables, context.ports.plan_store
    state = context.ports.feature_store.snapshot(STATE, context.as_of)
    erased = store.erased_among(state["customer_id"].to_list())
    state = state.filter(~pl.col("customer_id").is_in(sorted(erased)))
    customers = tables["customers"].select("customer_id", "consent_at")
    consents = store.consents().with_columns(
        pl.col("consent_at")
        .dt.convert_time_zone(context.settings.time_zone)
        .dt.replace_time_zone(None)
    )
    return with_consents(state, lake.collect(customers), consents, context.as_of)


def preferred_modes(context: RunContext) -> pl.DataFrame:
    """Return each customer's preferred mode as the latest plan before `as_of` left it."""
    runs, name = context.ports.runs, f"{GROUP}/preferred_mode"
    days = [day for day in runs.planned_days() if day < context.as_of.date()]
    before = [day for day in days if runs.of(day).has(name)]
    return runs.of(before[-1]).read(name) if before else pl.DataFrame()
