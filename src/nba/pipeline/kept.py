"""What a plan stood on, read back: tables, rules and the plan itself."""

from __future__ import annotations

import polars as pl

from nba.decisions.plan import Plan
from nba.decisions.rules import DecisionRules
from nba.errors import NotFoundError
from nba.pipeline.arms import kept_arm_tables
from nba.pipeline.context import RunContext
from nba.pipeline.plan import GROUP, INPUTS, PLAN_TABLES, RULES
from nba.pipeline.score import read_scores


def kept_inputs(context: RunContext) -> dict[str, pl.DataFrame]:
    """Return the tables that the plan of the run stood on: of some customers where it has `among`.

    Raises
    ------
    NotFoundError
        When there is no plan, or its feature snapshots have been removed.
    """
    folder = context.ports.runs.planned(context.as_of.date())
    among = context.among
    kept = {**context.inputs, **read_scores(folder, among).items(), **folder.tables(INPUTS, among)}
    if folder.read_text(RULES) is None:
        return kept
    return {**kept, **kept_arm_tables(folder, kept_rules(context), among)}


def kept_plan(context: RunContext) -> Plan:
    """Return the plan as it was kept, or raise `NotFoundError`."""
    folder = context.ports.runs.planned(context.as_of.date())
    return Plan(**{name: folder.read(f"{GROUP}/{name}") for name in PLAN_TABLES})


def kept_rules(context: RunContext) -> DecisionRules:
    """Return the rules under which the plan of the run was made, or raise `NotFoundError`."""
    text = context.folder.read_text(RULES)
    if text is None:
        raise NotFoundError(
            f"the run of {context.as_of.date()} kept no rules",
            expected=f"{RULES} in its folder",
            next_step=f"make it anew: `nba run --as-of {context.as_of.date()} --force`",
        )
    return DecisionRules.model_validate_json(text)
