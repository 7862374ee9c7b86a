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
from nba.decisions.inputs import conform_inputs
from nba.decisions.modes import MODES, mode_averages
from nba.decisions.needs import CustomerNeeds
from nba.decisions.parts import arm_of, arm_tables
from nba.decisions.plan import Plan
from nba.decisions.rules import DecisionRules
from nba.decisions.substitution import with_substitutes
from nba.errors import NotFoundError
from nba.models.needs.base import FACTORS


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
        plan also what a contact takes from later ones, and the price of the clerk's minute.
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
    rules, own = rules.of_arm(arm), arm_tables(inputs, arm)
    if own:
        tables = with_substitutes(conform_inputs({**inputs, **own}))
    candidates = build_candidates(
        tables.of_customers(pl.Series([customer_id])),
        rules.catalogue.actions,
        mode_averages(tables),
        rules,
        as_of=as_of,
    )
    entry = {} if plan is None else _logged(plan, customer_id)
    return Explanation(
        customer_id=customer_id,
        clerk_id=candidates.facts["clerk_id"][0] or "",
        arm=entry.get("arm") or "",
        closed=entry.get("closed") or candidates.stopped_by[0] or "",
        candidates=_with_draw(candidate_rows(candidates), entry),
        facts=candidates.facts.row(0, named=True),
    )


def _logged(plan: Plan, customer_id: str) -> dict[str, Any]:
    """Return the customer's row of the decision log; empty where there is none."""
    prices = plan.clerks.select("clerk_id", "price_per_minute")
    rows = plan.log.filter(pl.col("customer_id") == customer_id)
    rows = rows.join(prices, on="clerk_id", how="left", maintain_order="left")
    return rows.row(0, named=True) if rows.height else {}


def candidate_rows(candidates: Candidates) -> pl.DataFrame:
    """Return a row per candidate, the best of those that came furthest first."""
    actions, effects, needs = candidates.actions, candidates.effects, candidates.needs
    chosen = effects.need[0]
    modes = np.array([MODES.index(action.mode) for action in actions], dtype=np.int64)
    stages = [
        Stage(int(stage)) if action.enabled else Stage.NOT_ELIGIBLE
        for action, stage in zip(actions, candidates.stage[0], strict=True)
    ]
    minutes = np.array([action.minutes for action in actions])
    whys = [_why(candidates, at, stage) for at, stage in enumerate(stages)]
    table = pl.DataFrame(
        {
            "action_type": [action.action_type for action in actions],
            "mode": [str(action.mode) for action in actions],
            "stage": [stage.name.lower() for stage in stages],
            "why": pl.Series(whys, dtype=pl.String),
            "need": pl.Series(needs.names("need_id")[chosen].tolist(), dtype=pl.String),
            "category": pl.Series(needs.names("category")[chosen].tolist(), dtype=pl.String),
            **_need_columns(needs, chosen, modes),
            "uplift": effects.uplift[0],
            "uplift_drawn": effects.drawn[0],
            "relevance_factor": effects.relevance[0],
            "worth": effects.worth[0],
            "risk": effects.risk[0],
            "lost_share": effects.lost_share[0],
            "customer_value": np.full(len(actions), effects.customer_value[0]),
            "lever_factor": candidates.lever[0],
            "value": candidates.value[0],
            "risk_share": [action.risk_share for action in actions],
            "minutes": minutes,
            "value_per_minute": candidates.value[0] / minutes,
        }
    )
    reached = pl.Series([int(stage) for stage in stages])
    return table.sort(reached, "value", descending=True, maintain_order=True)


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


def _why(candidates: Candidates, at: int, stage: Stage) -> str:
    code = door_of(candidates, at, stage)
    return text_of(code, candidates.actions[at])["en"] if code else ""


def _with_draw(rows: pl.DataFrame, entry: Mapping[str, Any]) -> pl.DataFrame:
    """Add each candidate's probability and whether it was drawn, as the log has them."""
    alternatives = entry.get("alternatives") or []
    tires, price = entry.get("fatigue_cost") or 0.0, entry.get("price_per_minute")
    cost = tires * pl.col("risk_share")
    value = pl.col("value") - cost * pl.col("lever_factor")
    propensities = {item["action_type"]: item["probability"] for item in alternatives}
    names = rows["action_type"].to_list()
    return rows.with_columns(
        fatigue_cost=cost,
        value=value,
        value_per_minute=value / pl.col("minutes"),
        price_per_minute=pl.lit(price, pl.Float64),
        probability=pl.Series([propensities.get(name, 0.0) for name in names], dtype=pl.Float64),
        drawn=pl.Series([name == entry.get("action_type") for name in names], dtype=pl.Boolean),
    ).drop("risk_share")
