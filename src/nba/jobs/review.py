"""Preview, explain and replay: look at a plan again, from what it stood on. Nothing is written."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from nba.decisions.compare import PlanDiff, Replay, diff_plans, replay
from nba.decisions.decide import decide
from nba.decisions.explain import Explanation, explain
from nba.decisions.plan import Plan
from nba.decisions.settings import Factors
from nba.errors import ConflictError, UsageError
from nba.jobs.export import require_plan
from nba.jobs.nightly import Night
from nba.jobs.planning import INPUTS, PLAN_TABLES, model_versions_text
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
        Factors of the value to switch off: `uplift`, `relevance`, `risk`, `levers`, `worth`.
    """
    files, settings = night.wiring.decision_files, night.wiring.decision_settings
    if without:
        unknown = sorted(set(without) - set(Factors.model_fields))
        if unknown:
            raise UsageError(
                "--without names an unknown factor",
                expected=", ".join(Factors.model_fields),
                found=", ".join(unknown),
            )
        factors = settings.factors.model_copy(update=dict.fromkeys(without, False))
        settings = settings.model_copy(update={"factors": factors})
    plan = decide(
        kept_inputs(night),
        *files.parts,
        as_of=night.as_of,
        settings=settings,
        policy_version=files.version,
        model_versions=model_versions_text(night.manifest),
    )
    return plan, diff_plans(read_plan(night, "actions"), plan.actions)


def explain_customer(night: Night, customer_id: str) -> Explanation:
    """Return every candidate action of a customer, and where each one fell out."""
    plan = Plan(**{name: read_plan(night, name) for name in PLAN_TABLES})
    return explain(
        kept_inputs(night),
        *night.wiring.decision_files.parts,
        customer_id=customer_id,
        as_of=night.as_of,
        settings=night.wiring.decision_settings,
        plan=plan,
    )


def replay_action(wiring: Wiring, action_id: str) -> Replay:
    """Recompute one decision from what its plan stood on.

    Raises
    ------
    NotFoundError
        When no kept plan has this action.
    ConflictError
        When the decision files have changed since.
    """
    day = wiring.plan_store.action(action_id)["as_of"]
    night = Night(wiring, datetime(day.year, day.month, day.day))
    planned = night.manifest.steps["plan"]["policy_version"]
    if planned != wiring.decision_files.version:
        raise ConflictError(
            f"the decision files have changed since action {action_id} was planned",
            expected=f"policy version {planned}",
            found=f"policy version {wiring.decision_files.version}",
            next_step="restore serving/*.yaml as they stood on that day",
        )
    return replay(
        action_id,
        read_plan(night, "actions"),
        read_plan(night, "log"),
        kept_inputs(night),
        *wiring.decision_files.parts,
        as_of=night.as_of,
        settings=wiring.decision_settings,
        policy_version=planned,
        model_versions=model_versions_text(night.manifest),
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
