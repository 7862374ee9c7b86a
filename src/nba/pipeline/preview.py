"""What changed rules would do to a kept plan. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nba.decisions.compare import PlanDiff, diff_plans
from nba.decisions.decide import decide
from nba.decisions.plan import Plan
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import Factors
from nba.errors import UsageError
from nba.pipeline.arms import model_versions_text
from nba.pipeline.context import RunContext
from nba.pipeline.kept import kept_inputs, kept_plan, kept_rules


def preview(
    context: RunContext,
    *,
    changes: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
) -> tuple[Plan, PlanDiff]:
    """Decide again on the inputs of the kept plan, and compare with it.

    Parameters
    ----------
    context : RunContext
    changes : mapping of str to mapping, optional
        `actions`, `contact_policy` or `levers` in place of the file; what is left away counts
        as its file stands now.
    without : sequence of str
        Factors of the value to switch off: the fields of `Factors`.

    Raises
    ------
    NotFoundError
        When no plan is kept.
    InputRefusedError
        With every problem of the changed files.
    """
    standing = kept_plan(context)
    versions = model_versions_text(context.manifest)
    rules = context.ports.decision_rules(versions, changes=changes)
    kept = kept_rules(context)
    rules = rules.with_policies(kept.settings.policies, kept.settings.policies_set)
    rules = rules.with_variants(kept.variants, kept.settings.variants, kept.settings.by_units)
    plan = decide(kept_inputs(context), _without(rules, without), as_of=context.as_of)
    return plan, diff_plans(standing.actions, plan.actions)


def _without(rules: DecisionRules, factors: Sequence[str]) -> DecisionRules:
    """Return the rules with some factors of the value switched off."""
    unknown = sorted(set(factors) - set(Factors.model_fields))
    if unknown:
        raise UsageError(
            "--without names an unknown factor",
            expected=", ".join(Factors.model_fields),
            found=", ".join(unknown),
        )
    off = rules.settings.factors.model_copy(update=dict.fromkeys(factors, False))
    settings = rules.settings.model_copy(update={"factors": off})
    return rules.model_copy(update={"settings": settings})
