"""Every candidate action of one customer: each factor, and where it fell out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.decisions.candidates import Candidates, build_candidates
from nba.decisions.doors import door_of, text_of
from nba.decisions.funnel import Stage
from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.modes import MODES, mode_averages
from nba.decisions.needs import CustomerNeeds
from nba.decisions.parts import arm_of, arm_tables, people_of
from nba.decisions.plan import Plan
from nba.decisions.rules import DecisionRules
from nba.decisions.substitution import with_substitutes
from nba.errors import NotFoundError
from nba.models.needs.base import FACTORS
from nba.schema.words import SIMPLE_ARMS, Arm


@dataclass(frozen=True)
class Explanation:
    """Why a customer got what they got.

    Parameters
    ----------
    customer_id, clerk_id, arm, closed : str
        `closed` says why no action is open (empty: some is).
    candidates : DataFrame
        A row per action type: the stage it reached (`not_eligible`, `not_applicable`,
        `not_suitable`, `policy`, `open`), why it stopped there, the need that it serves with
        each factor of its value, its minutes, its probability and whether it was drawn; with a
        plan also what a contact takes from later ones, and the price of the clerk's minute. Of a
        simple list whose scores are no money, `score` in place of `value`.
    facts : mapping
        The facts that the rules read.
    """

    customer_id: str
    clerk_id: str
    arm: str
    closed: str
    candidates: pl.DataFrame
    facts: Mapping[str, object]


def explain(
    inputs: Mapping[str, pl.DataFrame],
    rules: DecisionRules,
    *,
    customer_id: str,
    as_of: datetime,
    plan: Plan | None = None,
) -> Explanation:
    """Explain one customer of the same inputs and rules that `decide` had.

    Parameters
    ----------
    inputs : mapping of str to polars.DataFrame
    rules : DecisionRules
    customer_id : str
    as_of : datetime
    plan : Plan, optional
        The day's plan, for arm, probabilities and what was drawn.

    Raises
    ------
    NotFoundError
        When the inputs do not know the customer.
    """
    tables = with_substitutes(conform_inputs(inputs))
    if customer_id not in tables["customer_state"]["customer_id"]:
        raise NotFoundError(
            f"customer {customer_id!r} is not known at {as_of:%Y-%m-%d}",
            expected="a customer_id of customer_state",
            found=customer_id,
            next_step="check the id, or ingest the customer",
        )
    arm = arm_of(tables, rules, customer_id, as_of=as_of)
    own = arm_tables(inputs, arm)
    if own:
        tables = with_substitutes(conform_inputs({**inputs, **own}))
    people = compared_with(tables, rules, arm, customer_id, as_of=as_of)
    rules = rules.of_arm(arm)
    candidates = build_candidates(
        tables.of_customers(people["customer_id"]),
        rules.catalogue.actions,
        mode_averages(tables),
        rules,
        as_of=as_of,
        arm=people["arm"],
    )
    at = int(people["customer_id"].index_of(customer_id) or 0)
    entry = {} if plan is None else _logged(plan, customer_id)
    return Explanation(
        customer_id=customer_id,
        clerk_id=candidates.facts["clerk_id"][at] or "",
        arm=entry.get("arm") or "",
        closed=entry.get("closed") or candidates.stopped_by[at] or "",
        candidates=_with_draw(candidate_rows(candidates, at), entry),
        facts=candidates.facts.row(at, named=True),
    )


def compared_with(
    tables: DecisionInputs,
    rules: DecisionRules,
    arm: str,
    customer_id: str,
    *,
    as_of: datetime,
) -> pl.DataFrame:
    """Return customer_id and arm of those whose scores the customer's depend on, sorted by id.

    A simple list may score by rank among all of its customers; elsewhere each stands alone.

    Parameters
    ----------
    tables : DecisionInputs
    rules : DecisionRules
        Of the day, with all arms.
    arm : str
        The arm of its own rules that plans the customer; empty: none of them.
    customer_id : str
    as_of : datetime
    """
    people = people_of(tables, rules, arm, as_of=as_of).select("customer_id", "arm")
    mine = people.filter(pl.col("customer_id") == customer_id)
    if mine.is_empty():
        return pl.DataFrame({"customer_id": [customer_id], "arm": [str(Arm.ENGINE)]})
    return people.filter(pl.col("arm") == mine["arm"][0]) if mine["arm"][0] in SIMPLE_ARMS else mine


def _logged(plan: Plan, customer_id: str) -> dict[str, Any]:
    """Return the customer's row of the decision log; empty where there is none."""
    prices = plan.clerks.select("clerk_id", "price_per_minute")
    rows = plan.log.filter(pl.col("customer_id") == customer_id)
    rows = rows.join(prices, on="clerk_id", how="left", maintain_order="left")
    return rows.row(0, named=True) if rows.height else {}


def candidate_rows(candidates: Candidates, row: int = 0) -> pl.DataFrame:
    """Return a row per candidate of one customer, the best of those that came furthest first.

    Parameters
    ----------
    candidates : Candidates
    row : int
        The customer's place among those of `candidates`.
    """
    actions, effects, needs = candidates.actions, candidates.effects, candidates.needs
    chosen = effects.need[row]
    modes = np.array([MODES.index(action.mode) for action in actions], dtype=np.int64)
    stages = [
        Stage(int(stage)) if action.enabled else Stage.NOT_ELIGIBLE
        for action, stage in zip(actions, candidates.stage[row], strict=True)
    ]
    minutes = np.array([action.minutes for action in actions])
    whys = [_why(candidates, at, stage, row) for at, stage in enumerate(stages)]
    table = pl.DataFrame(
        {
            "action_type": [action.action_type for action in actions],
            "mode": [str(action.mode) for action in actions],
            "stage": [stage.name.lower() for stage in stages],
            "why": pl.Series(whys, dtype=pl.String),
            "need": pl.Series(needs.names("need_id")[chosen].tolist(), dtype=pl.String),
            "category": pl.Series(needs.names("category")[chosen].tolist(), dtype=pl.String),
            **_need_columns(needs, chosen, modes),
            "uplift": effects.uplift[row],
            "uplift_drawn": effects.drawn[row],
            "relevance_factor": effects.relevance[row],
            "worth": effects.worth[row],
            "risk": effects.risk[row],
            "lost_share": effects.lost_share[row],
            "customer_value": np.full(len(actions), effects.customer_value[row]),
            "lever_factor": candidates.lever[row],
            "value": candidates.value[row],
            "risk_share": [action.risk_share for action in actions],
            "minutes": minutes,
            "value_per_minute": candidates.value[row] / minutes,
        }
    )
    if not effects.priced[row]:  # a simple list's score is no money
        none = dict.fromkeys(("uplift_drawn", "value_per_minute"), pl.lit(None, pl.Float64))
        table = table.with_columns(score="value", **none)
    reached = pl.Series([int(stage) for stage in stages])
    ordered = table.sort(reached, "value", descending=True, maintain_order=True)
    return ordered if effects.priced[row] else ordered.with_columns(value=pl.lit(None, pl.Float64))


def _need_columns(needs: CustomerNeeds, chosen: Ints, modes: Ints) -> dict[str, Floats]:
    """Return of each action's need how due it is, its margin, its chance, and every factor."""
    rows = needs.rows
    single = ["due", "order_margin", *(f"factor_{name}" for name in FACTORS)]
    columns = {
        name: np.append(rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy(), np.nan)
        for name in single
    }
    return {
        "chance": needs.worth("chance")[chosen, modes],
        **{name: values[chosen] for name, values in columns.items()},
    }


def _why(candidates: Candidates, at: int, stage: Stage, row: int) -> str:
    code = door_of(candidates, at, stage, row)
    return text_of(code, candidates.actions[at])["en"] if code else ""


def _with_draw(rows: pl.DataFrame, entry: Mapping[str, Any]) -> pl.DataFrame:
    """Add each candidate's probability and whether it was drawn, as the log has them."""
    alternatives = entry.get("alternatives") or []
    tires, price = entry.get("fatigue_cost") or 0.0, entry.get("price_per_minute")
    cost = tires * pl.col("risk_share")
    value = pl.col("value") - cost * pl.col("lever_factor")
    propensities = {_served(item): item["probability"] for item in alternatives}
    names = list(map(_served, rows.select("action_type", need_id="need").iter_rows(named=True)))
    return rows.with_columns(
        fatigue_cost=cost,
        value=value,
        value_per_minute=value / pl.col("minutes"),
        price_per_minute=pl.lit(price, pl.Float64),
        probability=pl.Series([propensities.get(name, 0.0) for name in names], dtype=pl.Float64),
        drawn=pl.Series([name == _served(entry) for name in names], dtype=pl.Boolean),
    ).drop("risk_share")


def _served(item: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return what tells an alternative from others: the action, and the need that it serves."""
    return item.get("action_type"), item.get("need_id")
