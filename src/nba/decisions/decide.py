"""`decide`: from feature and score tables to a plan, its log and the clerks' ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl

from nba.arrays import Ints
from nba.decisions.allocation import Programme
from nba.decisions.assignment import Day, assign
from nba.decisions.candidates import MODES
from nba.decisions.catalogue import Catalogue
from nba.decisions.cover import propose_handovers, with_cover
from nba.decisions.fairness import lent_minutes, pooled_bound, store_places
from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.log import clerk_report, decision_log
from nba.decisions.plan import Plan
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.pool import Pool, Rules, evaluate
from nba.decisions.settings import DecisionSettings
from nba.decisions.when import reachable_hours
from nba.decisions.writing import Stamp, write_actions
from nba.schema.words import Arm


def decide(
    inputs: Mapping[str, pl.DataFrame],
    catalogue: Catalogue,
    policy: ContactPolicy,
    levers: Levers,
    *,
    as_of: datetime,
    settings: DecisionSettings,
    policy_version: str = "",
    model_versions: str = "",
) -> Plan:
    """Decide whom each clerk contacts on the day of `as_of`, with what, when and why.

    Parameters
    ----------
    inputs : mapping of str to polars.DataFrame
        `customer_state` and `clerk` at least; see `nba.decisions.inputs` for all tables
        and columns. What is absent counts as empty.
    catalogue, policy, levers
        As read by `nba.decisions.load_decision_files`.
    as_of : datetime
        00:00 of the plan's day in the project's time zone; the plan sees what is earlier.
    settings : DecisionSettings
    policy_version : str
        The digest of the three files.
    model_versions : str
        Recorded with every action.

    Notes
    -----
    The same input gives the same plan, whatever the order of the rows. A propensity is the
    probability over both draws (shortlist and plan) within the customer's arm; the arm
    itself is fixed by hash.
    """
    tables = with_cover(conform_inputs(inputs))
    rules = Rules(catalogue.enabled, policy, levers, settings, as_of)
    pool = evaluate(tables, rules)
    working = working_clerks(tables, policy)
    day, rows = _day(pool, working, rules)
    assigned = assign(day, settings)
    log = decision_log(pool, assigned, rows, rules.actions, as_of=as_of).with_columns(
        policy_version=pl.lit(policy_version), model_versions=pl.lit(model_versions)
    )
    stamp = Stamp(as_of, policy_version, model_versions)
    actions = write_actions(tables, _listed(log), catalogue, policy, stamp, settings)
    names = np.array([str(mode) for mode in MODES], dtype=object)
    preferred = pool.people.select("customer_id").with_columns(
        mode=pl.Series(names[pool.preferred], dtype=pl.String)
    )
    return Plan(
        log=log,
        actions=actions,
        clerks=clerk_report(working, day.programme, assigned).with_columns(
            value_pooled=pl.Series(pooled_bound(day.programme, store_places(working)))
        ),
        preferred_mode=preferred,
        handovers=propose_handovers(tables, as_of=as_of, policy=policy),
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


def _day(pool: Pool, working: pl.DataFrame, rules: Rules) -> tuple[Day, Ints]:
    """Return the programme of the arms that are planned, and their rows in the pool."""
    people = pool.people.join(
        working.select("clerk_id", "at"), on="clerk_id", how="left", maintain_order="left"
    )
    clerk = people["at"].fill_null(-1).to_numpy()
    arm = people["arm"]
    planned = ((arm == str(Arm.ENGINE)) | (arm == str(Arm.RANDOM))).to_numpy()
    rows = np.flatnonzero((clerk >= 0) & planned)
    rows = rows[np.argsort(clerk[rows], kind="stable")]
    programme = Programme(
        clerk=clerk[rows],
        value=pool.value[rows],
        minutes=pool.minutes(rules.actions)[rows],
        open=pool.action[rows] >= 0,
        budget=working["minutes_per_day"].to_numpy().astype(np.float64),
    )
    if rules.settings.lend_share:
        lent = lent_minutes(programme, store_places(working), rules.settings.lend_share)
        programme = replace(programme, budget=lent)
    day = Day(
        programme,
        (arm == str(Arm.RANDOM)).to_numpy()[rows],
        people["customer_id"][rows],
        working["clerk_id"],
        f"{rules.settings.seed}/{rules.as_of.date().isoformat()}",
    )
    return day, rows


def _listed(log: pl.DataFrame) -> pl.DataFrame:
    """Return the drawn contacts, and the customers held out."""
    return log.filter(
        pl.col("action_type").is_not_null() | (pl.col("arm") == str(Arm.HOLDOUT))
    ).drop("alternatives")
