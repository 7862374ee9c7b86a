"""Every candidate action of one customer: each factor, and where it fell out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from nba.decisions.candidates import Candidates, Stage, build_candidates, mode_averages
from nba.decisions.catalogue import Catalogue
from nba.decisions.cover import with_cover
from nba.decisions.inputs import conform_inputs
from nba.decisions.plan import Plan
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.settings import DecisionSettings
from nba.errors import NotFoundError
from nba.schema.words import CHAT_CHANNELS


@dataclass(frozen=True)
class Explanation:
    """Why a customer got what they got.

    Parameters
    ----------
    customer_id, clerk_id, arm, closed : str
        `closed` says why no action is open (empty: some is).
    candidates : DataFrame
        A row per action type: the stage it reached (`not_eligible`, `not_applicable`,
        `not_suitable`, `policy`, `open`), why it stopped there, each factor of its value,
        its minutes, its probability and whether it was drawn.
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
    catalogue: Catalogue,
    policy: ContactPolicy,
    levers: Levers,
    *,
    customer_id: str,
    as_of: datetime,
    settings: DecisionSettings,
    plan: Plan | None = None,
) -> Explanation:
    """Explain one customer of the same inputs that `decide` had.

    Parameters
    ----------
    plan : Plan, optional
        The day's plan, for arm, probabilities and what was drawn.

    Raises
    ------
    NotFoundError
        When the inputs do not know the customer.
    """
    tables = with_cover(conform_inputs(inputs))
    if customer_id not in tables["customer_state"]["customer_id"]:
        raise NotFoundError(
            f"customer {customer_id!r} is not known at {as_of:%Y-%m-%d}",
            expected="a customer_id of customer_state",
            found=customer_id,
            next_step="check the id, or ingest the customer",
        )
    averages = mode_averages(tables)
    one = tables.of_customers(pl.Series([customer_id]))
    found = build_candidates(
        one, catalogue.actions, policy, levers, averages, as_of=as_of, settings=settings
    )
    rows = _rows(found).with_columns(probability=pl.lit(0.0), drawn=pl.lit(False))
    logged = None if plan is None else plan.log.filter(pl.col("customer_id") == customer_id)
    if logged is not None and logged.height:
        rows = _with_log(rows, logged)
    known = logged is not None and logged.height > 0
    entry = logged.row(0, named=True) if logged is not None and known else {}
    clerk = found.facts["clerk_id"][0]
    return Explanation(
        customer_id=customer_id,
        clerk_id=clerk or "",
        arm=entry.get("arm") or "",
        closed=entry.get("closed") or (found.rest[0] or ""),
        candidates=rows,
        facts=found.facts.row(0, named=True),
    )


def _rows(found: Candidates) -> pl.DataFrame:
    factors = found.factors
    rows = []
    for at, action in enumerate(found.actions):
        stage = Stage(int(found.stage[0, at])) if action.enabled else Stage.NOT_ELIGIBLE
        rows.append(
            {
                "action_type": action.action_type,
                "mode": str(action.mode),
                "stage": stage.name.lower(),
                "why": _why(found, at, stage),
                "uplift": float(factors.uplift[0, at]),
                "uplift_drawn": float(factors.drawn[0, at]),
                "relevance_factor": float(factors.relevance[0, at]),
                "worth": float(factors.worth[0, at]),
                "risk": float(factors.risk[0, at]),
                "lost_share": float(factors.lost_share[0, at]),
                "patience": float(factors.patience[0, at]),
                "customer_value": float(factors.customer_value[0]),
                "lever_factor": float(factors.lever[0, at]),
                "value": float(found.value[0, at]),
                "minutes": action.minutes,
                "value_per_minute": float(found.value[0, at]) / action.minutes,
            }
        )
    return pl.DataFrame(rows).sort(
        pl.col("stage").replace_strict({m.name.lower(): int(m) for m in Stage}),
        "value",
        descending=True,
        maintain_order=True,
    )


def _why(found: Candidates, at: int, stage: Stage) -> str:
    action = found.actions[at]
    state = found.facts.row(0, named=True)
    if not action.enabled:
        return "switched off in the catalogue"
    match stage:
        case Stage.NOT_ELIGIBLE:
            if not state["consent_contact"]:
                return "no consent to contact"
            if state["is_blocked"]:
                return "has blocked us"
            if action.channel in CHAT_CHANNELS and not state["is_friend"]:
                return "not a friend"
            if action.profiling and not state["consent_profiling"]:
                return "no consent to profiling"
            return f"eligible: {action.eligible}; or a mode that the clerk does not serve"
        case Stage.NOT_APPLICABLE:
            return f"applicable: {action.applicable}"
        case Stage.NOT_SUITABLE:
            return f"suitable: {action.suitable}; or an open service case comes first"
        case Stage.POLICY:
            return found.rest[0] or "mode cools down, same type too soon, or quota spent"
    return ""


def _with_log(rows: pl.DataFrame, logged: pl.DataFrame) -> pl.DataFrame:
    entry = logged.row(0, named=True)
    chances = {item["action_type"]: item["probability"] for item in entry["alternatives"]}
    names = rows["action_type"].to_list()
    return rows.with_columns(
        probability=pl.Series([chances.get(name, 0.0) for name in names], dtype=pl.Float64),
        drawn=pl.Series(np.array([name == entry["action_type"] for name in names])),
    )
