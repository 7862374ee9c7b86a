"""Recompute one decision from what its plan stood on, and compare the bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl

from nba.data.erasure import PSEUDONYM
from nba.decisions.compare import Replay, compared, replay
from nba.decisions.plan import Plan
from nba.pipeline.context import run_context
from nba.pipeline.kept import kept_inputs, kept_plan, kept_rules
from nba.pipeline.ports import Ports
from nba.settings import Settings


def replay_action(ports: Ports, settings: Settings, action_id: str) -> Replay:
    """Recompute one decision of the plan that published it, or of the day that it was lived in.

    Raises
    ------
    NotFoundError
        When no published plan has this action, or its plan is not kept.
    """
    action = ports.plan_store.action(action_id)
    day = action["as_of"]
    if action.get("sequence") is not None:
        clerk_id = str(action.get("from_clerk_id") or action["clerk_id"])
        drawn = ports.plan_store.redraw(day, clerk_id, int(action["sequence"]))
        return compared(action_id, *(rows.get(action_id, {}) for rows in drawn))
    context = run_context(ports, settings, datetime(day.year, day.month, day.day))
    plan, inputs, rules = kept_plan(context), kept_inputs(context), kept_rules(context)
    outcome = replay(inputs, rules, action_id=action_id, as_of=context.as_of, plan=plan)
    return replace(outcome, erased_beside=_erased_beside(plan, action_id))


def _erased_beside(plan: Plan, action_id: str) -> int:
    """Return how many customers of the action's clerk were erased since: its draw had them."""
    clerk = plan.actions.filter(pl.col("action_id") == action_id)["clerk_id"]
    erased = pl.col("customer_id").str.starts_with(PSEUDONYM) & pl.col("clerk_id").is_in(
        clerk.implode()
    )
    return plan.log.filter(erased).height
