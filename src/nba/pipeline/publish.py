"""Put the plan where the API reads it, and bring the features online."""

from __future__ import annotations

from typing import Any

from nba.pipeline.context import RunContext
from nba.pipeline.plan import GROUP, model_versions


def publish(context: RunContext) -> dict[str, Any]:
    """Publish the kept actions in one transaction, then bring the features online."""
    actions = context.folder.read(f"{GROUP}/actions")
    context.ports.plan_store.publish(plan_header(context), actions)
    context.ports.feature_store.materialise(context.as_of)
    return {"rows": actions.height}


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
    }
