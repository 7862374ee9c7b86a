"""Recompute one decision from what its plan stood on, and compare the bytes."""

from __future__ import annotations

from datetime import datetime

from nba.decisions.compare import Replay, replay
from nba.pipeline.context import run_context
from nba.pipeline.kept import kept_inputs, kept_plan, kept_rules
from nba.pipeline.ports import Ports
from nba.settings import Settings


def replay_action(ports: Ports, settings: Settings, action_id: str) -> Replay:
    """Recompute one decision of the plan that published it.

    Raises
    ------
    NotFoundError
        When no published plan has this action, or its plan is not kept.
    """
    day = ports.plan_store.action(action_id)["as_of"]
    context = run_context(ports, settings, datetime(day.year, day.month, day.day))
    plan, inputs, rules = kept_plan(context), kept_inputs(context), kept_rules(context)
    return replay(inputs, rules, action_id=action_id, as_of=context.as_of, plan=plan)
