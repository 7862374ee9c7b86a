"""One night planned anew with a factor switched off, on the very same tables and models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from nba.decisions.rules import DecisionRules
from nba.decisions.settings import Factors
from nba.models.base import ModelInputs
from nba.models.contact_value.design import GROUPS, NAMES
from nba.models.contact_value.hours import HourHabits
from nba.models.contact_value.model import ContactValueMode
from nba.pipeline.arms import model_versions_text
from nba.pipeline.context import RunContext
from nba.pipeline.plan import make_plan
from nba.pipeline.score import GROUP, Scores, model_inputs, read_scores

#: Everything on: what ships.
WHOLE: Final = "everything"
#: Factors of the effect of a contact, by the parameters that are set to no effect.
EFFECT_FACTORS: Final = {
    "mode and kind of goods": tuple(n for n in NAMES if n.startswith(("mode:", "fit:"))),
    "kind of need": tuple(NAMES[i] for i in GROUPS["need"]),
    "how due": tuple(NAMES[i] for i in GROUPS["due"]),
    "relevance and what is known": tuple(NAMES[i] for i in GROUPS["goods"]),
    "who answers": ("answers", "answers_in_mode", "reads"),
    "fatigue": ("fatigue",),
    "birthday": ("birthday",),
    "season": ("season",),
}
#: Factors of the model that are not parameters of the design.
OTHER_FACTORS: Final = ("categories and clerks", "hour")
#: What is no part of a value but takes minutes: what is owed, and what is tried at random.
FLOORS, EXPLORATION = "floors", "no exploration"
#: Lists with exploration, of which the mean counts.
EXPLORED_SEEDS: Final = 8


def factor_plans(context: RunContext) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the night's plan without what is tried at random, and with one factor more off.

    What is tried at random would hide what a factor earns; it is switched on (off is "no
    exploration") in some lists of their own, each with another seed.

    Parameters
    ----------
    context : RunContext
        Of a night whose steps have run; its scores and plan are left as they were.

    Yields
    ------
    tuple of str and DataFrame
        The factor that is off, and the actions.
    """
    rules = context.ports.decision_rules(model_versions_text(context.manifest))
    whole = read_scores(context.folder)
    drawn = rules
    rules = _with_settings(rules, exploration_floor=0.0)
    yield WHOLE, make_plan(context, rules).actions
    for seed in range(EXPLORED_SEEDS):
        yield EXPLORATION, make_plan(context, _with_settings(drawn, seed=seed)).actions
    for name in Factors.model_fields:
        factors = rules.settings.factors.model_copy(update={name: False})
        yield name, make_plan(context, _with_settings(rules, factors=factors)).actions
    policy = rules.policy.model_copy(update={"floors": ()})
    yield FLOORS, make_plan(context, rules.model_copy(update={"policy": policy})).actions
    valuer = context.models["mode"]
    if isinstance(valuer, ContactValueMode):
        for name in (*EFFECT_FACTORS, *OTHER_FACTORS):
            _keep(context, _scored(context, without(valuer, name), whole))
            yield name, make_plan(context, rules).actions
    _keep(context, whole)
    make_plan(context, drawn)


def _with_settings(rules: DecisionRules, **changes: Any) -> DecisionRules:
    settings = rules.settings.model_copy(update=changes)
    return rules.model_copy(update={"settings": settings})


def without(valuer: ContactValueMode, name: str) -> ContactValueMode:
    """Return the model with one factor at no effect.

    Parameters
    ----------
    valuer : ContactValueMode
    name : str
        A key of `EFFECT_FACTORS`, or one of `OTHER_FACTORS`.
    """
    other = copy.copy(valuer)
    if name == "categories and clerks":
        other.levels = {kind: {} for kind in valuer.levels}
    elif name == "hour":
        other.hours = HourHabits.none()
    else:
        at = [1 + NAMES.index(parameter) for parameter in EFFECT_FACTORS[name]]
        mean, covariance = valuer.posterior.mean.copy(), valuer.posterior.covariance.copy()
        mean[at] = 0.0
        covariance[at, :] = covariance[:, at] = 0.0
        covariance[at, at] = np.full(len(at), 1e-12)
        other.posterior = replace(valuer.posterior, mean=mean, covariance=covariance)
    return other


def _scored(context: RunContext, valuer: ContactValueMode, scores: Scores) -> Scores:
    """Return the scores with the needs as another mode model values them."""
    inputs = model_inputs(context)
    known = {"timing": scores.timing, "timing_category": scores.timing_category}
    mode = ModelInputs({**inputs["mode"], **known})
    goods = ModelInputs({**inputs["affinity"], **mode, "affinity": scores.affinity})
    needs = valuer.score_needs(goods, as_of=context.as_of)
    return Scores(
        **{
            **scores.items(),
            "needs": needs,
            "mode": valuer.score_modes(needs, goods, as_of=context.as_of),
        }
    )


def _keep(context: RunContext, scores: Scores) -> None:
    for name in ("needs", "mode"):
        context.folder.write(f"{GROUP}/{name}", scores.items()[name])
