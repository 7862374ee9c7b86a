"""Plans that nobody is served: of a challenger, and of the engine where it only watches.

They stand on what the night's plan stood on, are kept beside it, and are compared when outcomes
are known. Publishing reads the plan alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import polars as pl

from nba.decisions.compare import diff_plans
from nba.decisions.decide import decide
from nba.decisions.plan import Plan
from nba.decisions.rules import DecisionRules
from nba.errors import NbaError
from nba.models.version import ModelVersion
from nba.pipeline.arms import model_versions, versions_text
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import STATE
from nba.pipeline.kept import kept_inputs, kept_rules
from nba.pipeline.plan import GROUP
from nba.pipeline.score import model_inputs, score_all
from nba.schema.words import Arm, Mode
from nba.settings import ArmShares, PolicyShares

#: The plan of the engine for customers whom it only watches.
OBSERVED: Final = "shadow_observe"
#: Whom the watching engine would have contacted rests for it, for so many days.
REST_DAYS: Final = 6
CLERK: Final = "clerk"


def challenger_group(name: str) -> str:
    """Return where the plan of the challenger of a model is kept."""
    return f"shadow_{name}"


def shadow_plans(context: RunContext) -> dict[str, Any]:
    """Make and keep the plans that nobody is served; return what each would have changed.

    A shadow that fails is reported and leaves the night's own plan as it is.
    """
    report: dict[str, Any] = {}
    _empty(context, OBSERVED)
    if context.settings.arms.observe > 0:
        report["observe"] = _tried(lambda: observe(context))
    for name in context.ports.specs:
        challenger = context.ports.registry.challenger(name)
        _empty(context, challenger_group(name))
        if challenger is not None and challenger.as_of <= context.as_of:
            report[name] = _tried(lambda c=challenger: challenge(context, c))
    return report


def _tried(make: Any) -> dict[str, Any]:
    try:
        made: dict[str, Any] = make()
    except NbaError as error:
        return {"failed": str(error).partition("\n")[0]}
    return made


def observe(context: RunContext) -> dict[str, Any]:
    """Keep the list that the engine would give for customers whom it only watches."""
    rules, inputs = kept_rules(context), kept_inputs(context)
    log = context.folder.read(f"{GROUP}/log")
    watched = log.filter(pl.col("arm") == str(Arm.OBSERVE)).select("customer_id")
    rest = _drawn_before(context)
    people = watched.filter(~pl.col("customer_id").is_in(rest))
    state = inputs[STATE].join(people, on="customer_id", how="semi", maintain_order="left")
    if state.is_empty():
        return {"customers": watched.height, "actions": 0}
    arms = rules.settings.arms
    share = arms.observe / max(1.0 - arms.holdout, arms.observe)
    minutes = pl.col("minutes_per_day") * share
    clerks = inputs[CLERK].with_columns(minutes)
    given = {**inputs, STATE: state, CLERK: clerks}
    plan = decide(given, _engine_alone(rules), as_of=context.as_of)
    _keep(context, OBSERVED, plan)
    return {"customers": watched.height, "actions": _contacts(plan.actions).height}


def _engine_alone(rules: DecisionRules) -> DecisionRules:
    """Return the rules with everybody in the engine's arm."""
    alone = {"arms": ArmShares(holdout=0.0), "policies": PolicyShares()}
    rules = rules.without_variants()
    return rules.model_copy(update={"settings": rules.settings.model_copy(update=alone)})


def _drawn_before(context: RunContext) -> list[str]:
    """Return whom the watching engine drew in the days before."""
    drawn: set[str] = set()
    for back in range(1, REST_DAYS + 1):
        folder = context.ports.runs.of(context.as_of.date() - timedelta(days=back))
        if folder.has(f"{OBSERVED}/actions"):
            drawn.update(_contacts(folder.read(f"{OBSERVED}/actions"))["customer_id"])
    return sorted(drawn)


def challenge(context: RunContext, challenger: ModelVersion) -> dict[str, Any]:
    """Keep the plan that a challenger's scores would have given in place of the champion's."""
    name = challenger.name
    models = {**context.models, name: context.ports.registry.load(challenger)}
    scores = score_all(models, model_inputs(context), as_of=context.as_of)
    given: Mapping[str, pl.DataFrame] = {**kept_inputs(context), **scores.items()}
    versions = {**model_versions(context.manifest), name: challenger.version}
    told = versions_text(versions)
    rules = kept_rules(context).model_copy(update={"model_versions": told})
    plan = decide(given, rules, as_of=context.as_of)
    _keep(context, challenger_group(name), plan)
    served = _contacts(context.folder.read(f"{GROUP}/actions"))
    changes = diff_plans(served, plan.actions).summary()
    return {
        "version": challenger.version,
        "actions": _contacts(plan.actions).height,
        **{what: changes[what] for what in ("added", "removed", "changed")},
    }


def _keep(context: RunContext, group: str, plan: Plan) -> None:
    context.folder.write(f"{group}/log", plan.log)
    context.folder.write(f"{group}/actions", plan.actions)


def _empty(context: RunContext, group: str) -> None:
    """Empty what an earlier run of the day kept in a group: it may have had another challenger."""
    for name in ("log", "actions"):
        if context.folder.has(f"{group}/{name}"):
            context.folder.write(f"{group}/{name}", context.folder.read(f"{group}/{name}").clear())


def _contacts(actions: pl.DataFrame) -> pl.DataFrame:
    return actions.filter(pl.col("mode") != str(Mode.NONE))
