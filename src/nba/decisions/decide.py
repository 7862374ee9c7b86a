"""`decide`: from feature and score tables to a plan, its log and the clerks' ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.decisions.allocation import Programme, solve
from nba.decisions.assignment import Day, assign
from nba.decisions.floors import owed, owed_first
from nba.decisions.inputs import DecisionInputs
from nba.decisions.integer import appeal
from nba.decisions.lending import lent_minutes, pooled_bound, store_places
from nba.decisions.log import clerk_report, decision_log
from nba.decisions.modes import MODES, Averages
from nba.decisions.ordering import UNPRICED_ARMS, in_money
from nba.decisions.own_cases import with_own_cases
from nba.decisions.parts import Part, joined, parts_of
from nba.decisions.plan import Plan
from nba.decisions.policy import ContactPolicy
from nba.decisions.pool import Pool, evaluate, fatigue_cost
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import DecisionSettings
from nba.decisions.substitution import propose_handovers
from nba.decisions.when import reachable_hours
from nba.decisions.writing import write_actions
from nba.schema.words import Arm


def decide(
    inputs: Mapping[str, pl.DataFrame],
    rules: DecisionRules,
    *,
    as_of: datetime,
    averages: Averages | None = None,
) -> Plan:
    """Decide whom each clerk contacts on the day of `as_of`, with what, when and why.

    Parameters
    ----------
    inputs : mapping of str to polars.DataFrame
        `customer_state` and `clerk` at least; see `nba.decisions.inputs` for all tables
        and columns. What is absent counts as empty.
    rules : DecisionRules
        All that decides beside the tables.
    as_of : datetime
        00:00 of the plan's day in the project's time zone; the plan sees what is earlier.
    averages : Averages, optional
        Of the whole shop, where `inputs` are those of a part of it.

    Raises
    ------
    InputRefusedError
        When a required table is absent, or an id stands twice where it may stand once.

    Notes
    -----
    The same input gives the same plan, whatever the order of the rows. A propensity is the
    probability over both draws (shortlist and plan) within the customer's arm; the arm
    itself is fixed by hash. Arms with rules of their own are planned apart, each within its share
    of every clerk's minutes.
    """
    plans, services = [], []
    for part in parts_of(inputs, rules, averages, as_of=as_of):
        plans.append(_decide_part(part, as_of=as_of))
        services.append([one.action_type for one in part.rules.actions if one.service])
    return joined(plans, services)


def _decide_part(part: Part, *, as_of: datetime) -> Plan:
    """Decide for the customers whom one set of rules plans."""
    tables, rules = part.tables, part.rules
    pool = evaluate(tables, part.people, rules, part.averages, as_of=as_of)
    working = working_clerks(tables, rules.policy)
    pool, day, rows = _day(pool, working, rules, as_of=as_of)
    price = solve(owed_first(day.in_money(rules.settings)[0], day.owed)).price
    by_row = np.full(len(pool.value), np.inf)
    by_row[rows] = price[day.programme.clerk]
    pool = pool.charged(fatigue_cost(pool, by_row, rules))
    day = replace(day, programme=replace(day.programme, value=pool.value[rows]))
    assigned = assign(day, rules.settings)
    log = part.named(decision_log(pool, assigned, rows, rules, as_of=as_of))
    return Plan(
        log=log,
        actions=in_money(write_actions(tables, _listed(log), pool.facts, rules, as_of=as_of)),
        clerks=clerk_report(working, day.programme, assigned, day.is_money).with_columns(
            value_pooled=pl.Series(
                pooled_bound(day.in_money(rules.settings)[0], store_places(working))
            ),
            price_before_fatigue=pl.Series(price),
        ),
        preferred_mode=_preferred_mode(pool),
        handovers=propose_handovers(tables, as_of=as_of, policy=rules.policy),
    )


def working_clerks(tables: DecisionInputs, policy: ContactPolicy) -> pl.DataFrame:
    """Return the clerks who work today and can reach somebody, sorted by id."""
    hours = reachable_hours(tables["clerk"], policy).filter(pl.col("closes") > pl.col("opens"))
    return (
        tables["clerk"]
        .filter(pl.col("works_today") & (pl.col("minutes_per_day") > 0))
        .join(hours, on="clerk_id")
        .sort("clerk_id")
        .with_columns(at=pl.int_range(pl.len()))
    )


def _day(
    pool: Pool, working: pl.DataFrame, rules: DecisionRules, *, as_of: datetime
) -> tuple[Pool, Day, Ints]:
    """Return the pool with what is owed, the programme of the planned arms, their rows in it."""
    people = pool.people.join(
        working.select("clerk_id", "at"), on="clerk_id", how="left", maintain_order="left"
    )
    clerk = people["at"].fill_null(-1).to_numpy()
    pool, place = with_own_cases(pool, rules)
    rows = np.flatnonzero((clerk >= 0) & (place >= 0))
    rows = rows[np.argsort(clerk[rows], kind="stable")]
    settings = rules.settings
    seed = f"{settings.seed}/{as_of.date().isoformat()}"
    budget = working["minutes_per_day"].to_numpy().astype(np.float64)
    wide = _programme(pool, rows, clerk[rows], budget)
    of_modes, of_floors = (
        replace(
            wide, value=wide.value[:, part], minutes=wide.minutes[:, part], open=wide.open[:, part]
        )
        for part in (slice(len(MODES)), slice(len(MODES), None))
    )
    day = Day(of_modes, place[rows], people["customer_id"][rows], working["clerk_id"], seed)
    floor = np.full(len(pool.value), -1, dtype=np.int64)
    floor[rows] = owed(
        rules.policy.floors,
        of_floors,
        place[rows],
        working["clerk_id"],
        settings.shares,
        forgone=_forgone(day, settings),
        seed=seed,
    )
    modes = np.array([MODES.index(action.mode) for action in rules.actions], dtype=np.int64)
    pool = pool.serving(floor, modes)
    programme = _programme(pool, rows, clerk[rows], budget)
    day = replace(day, programme=programme, owed=floor[rows] >= 0)
    if settings.lend_share:
        money, share = day.in_money(settings)
        lent = lent_minutes(money, store_places(working), settings.lend_share) / share
        day = replace(day, programme=replace(programme, budget=lent))
    return pool, day, rows


def _forgone(day: Day, settings: DecisionSettings) -> Floats:
    """Return what each customer's best action would earn today beyond the price of its minutes.

    Where a simple list's scores are no money, minutes are priced in that list's own unit.
    """
    money, _ = day.in_money(settings)
    forgone = appeal(day.programme, solve(money).price)
    for arm in UNPRICED_ARMS:
        if (mine := day.is_of(arm)).any():
            share = settings.shares[arm]
            own = day.of_arm(arm, day.programme.budget * share).programme
            forgone = np.where(mine, appeal(day.programme, solve(own).price), forgone)
    return np.maximum(forgone, 0.0)


def _programme(pool: Pool, rows: Ints, clerk: Ints, budget: Floats) -> Programme:
    """Return the programme of some rows of the pool, with the clerk of each and all minutes."""
    return Programme(
        clerk=clerk,
        value=pool.value[rows],
        minutes=pool.minutes[rows],
        open=pool.action[rows] >= 0,
        budget=budget,
    )


def _listed(log: pl.DataFrame) -> pl.DataFrame:
    """Return the drawn contacts, and the customers held out."""
    return log.filter(
        pl.col("action_type").is_not_null() | (pl.col("arm") == str(Arm.HOLDOUT))
    ).drop("alternatives")


def _preferred_mode(pool: Pool) -> pl.DataFrame:
    names = np.array([str(mode) for mode in MODES], dtype=object)
    return pool.people.select("customer_id").with_columns(
        mode=pl.Series(names[pool.preferred], dtype=pl.String)
    )
