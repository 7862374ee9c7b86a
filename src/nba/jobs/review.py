"""Preview, explain and replay: look at a plan again, from what it stood on. Nothing is written."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from nba.decisions.archive import DecisionRules
from nba.decisions.compare import PlanDiff, Replay, diff_plans, replay
from nba.decisions.explain import Explanation, explain
from nba.decisions.plan import Plan
from nba.decisions.settings import Factors
from nba.errors import UsageError
from nba.jobs.export import require_plan
from nba.jobs.nightly import Night
from nba.jobs.planning import INPUTS, PLAN_TABLES, RULES, current_rules, decide_by
from nba.wiring import Wiring


def kept_inputs(night: Night) -> dict[str, pl.DataFrame]:
    """Return what the plan of the night stood on.

    Raises
    ------
    NotFoundError
        When there is no plan, or its feature snapshots have been removed.
    """
    folder = night.folder / INPUTS
    require_plan(night.wiring, night.as_of)
    kept = {path.stem: pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    return {**night.frames, **night.scores().items(), **kept}


def read_plan(night: Night, name: str) -> pl.DataFrame:
    """Return one table of the kept plan: `actions`, `log`, `clerks` or `preferred_mode`."""
    return pl.read_parquet(night.folder / "plan" / f"{name}.parquet")


def preview(night: Night, *, without: list[str] | None = None) -> tuple[Plan, PlanDiff]:
    """Decide again under the files as they stand now, and compare with the kept plan.

    Parameters
    ----------
    night : Night
    without : list of str, optional
        Factors of the value to switch off: the fields of `Factors`.
    """
    rules = current_rules(night.wiring, night.manifest)
    if without:
        unknown = sorted(set(without) - set(Factors.model_fields))
        if unknown:
            raise UsageError(
                "--without names an unknown factor",
                expected=", ".join(Factors.model_fields),
                found=", ".join(unknown),
            )
        off = rules.settings.factors.model_copy(update=dict.fromkeys(without, False))
        settings = rules.settings.model_copy(update={"factors": off})
        rules = rules.model_copy(update={"settings": settings})
    plan = decide_by(rules, kept_inputs(night), night.as_of)
    return plan, diff_plans(read_plan(night, "actions"), plan.actions)


def kept_rules(night: Night) -> DecisionRules:
    """Return the rules under which the plan of the night was made."""
    text = (night.folder / RULES).read_text(encoding="utf-8")
    return DecisionRules.model_validate_json(text)


def explain_customer(night: Night, customer_id: str) -> Explanation:
    """Return every candidate action of a customer, and where each one fell out."""
    inputs, rules = kept_inputs(night), kept_rules(night)
    return explain(
        inputs,
        rules.catalogue,
        rules.policy,
        rules.levers,
        customer_id=customer_id,
        as_of=night.as_of,
        settings=rules.settings,
        plan=Plan(**{name: read_plan(night, name) for name in PLAN_TABLES}),
    )


def replay_action(wiring: Wiring, action_id: str) -> Replay:
    """Recompute one decision from what its plan stood on.

    Raises
    ------
    NotFoundError
        When no kept plan has this action.
    """
    day = wiring.plan_store.action(action_id)["as_of"]
    night = Night(wiring, datetime(day.year, day.month, day.day))
    inputs, rules = kept_inputs(night), kept_rules(night)
    return replay(
        action_id,
        read_plan(night, "actions"),
        read_plan(night, "log"),
        inputs,
        rules.catalogue,
        rules.policy,
        rules.levers,
        as_of=night.as_of,
        settings=rules.settings,
        policy_version=rules.policy_version,
        model_versions=rules.model_versions,
    )


def explanation_lines(found: Explanation) -> list[str]:
    """Return an explanation as lines for people."""
    head = f"{found.customer_id} of clerk {found.clerk_id}, arm {found.arm or 'none'}"
    lines = [head + (f": closed by {found.closed}" if found.closed else "")]
    for row in found.candidates.iter_rows(named=True):
        facts = [f"{name} {_short(value)}" for name, value in row.items() if value is not None]
        lines.append("  " + ", ".join(facts))
    return lines


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
