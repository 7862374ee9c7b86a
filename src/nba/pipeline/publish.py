"""Put the plan where the API reads it, and bring the features online."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nba.pipeline.arms import model_versions
from nba.pipeline.context import RunContext
from nba.pipeline.kept import kept_rules
from nba.pipeline.plan import GROUP, RESERVE, SHIFTS, STAND_INS


def publish(context: RunContext) -> dict[str, Any]:
    """Publish the kept actions, then bring the features online.

    With the actions go who may take a free place during the day, when shifts end, who stands in
    for whom, and a packed record of each customer.
    """
    actions = context.folder.read(f"{GROUP}/actions")
    listed = actions.join(
        _kept(context, STAND_INS, {"customer_id": pl.String, "substitute_clerk_id": pl.String}),
        on="customer_id",
        how="left",
        maintain_order="left",
    )
    context.ports.plan_store.publish(
        plan_header(context),
        listed,
        reserve=_kept(context, RESERVE, actions.schema),
        packed=context.ports.pack_records(context.as_of),
        shifts=_kept(context, SHIFTS, {"clerk_id": pl.String, "closes_at": pl.Datetime("us")}),
    )
    context.ports.feature_store.materialise(context.as_of)
    return {"rows": actions.height}


def _kept(context: RunContext, name: str, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return a table of the plan's day; empty where an older version made the plan."""
    path = f"{GROUP}/{name}"
    return context.folder.read(path) if context.folder.has(path) else pl.DataFrame(schema=schema)


def is_published(context: RunContext) -> bool:
    """Return whether the plan stands where the API reads it, and its features or later ones."""
    day = context.as_of.date()
    if context.ports.plan_store.plan(day) is None:
        return False
    return context.ports.feature_store.is_online(context.as_of)


def plan_header(context: RunContext) -> dict[str, Any]:
    """Return the header under which the run's plan is published."""
    decided = context.manifest.steps["plan"]
    return {
        "as_of": context.as_of.date(),
        "policy_version": decided["policy_version"],
        "model_versions": model_versions(context.manifest),
        "counts": {"eligible": decided["eligible"], "actions": decided["actions"]},
        "inputs": context.manifest.inputs,
        "decisions": kept_rules(context).settings.model_dump(mode="json"),
    }
