"""A day of the past planned anew under other rules or models. Nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from nba.decisions.decide import decide
from nba.decisions.rules import DecisionRules
from nba.models.affinity.offers import offers
from nba.models.base import ModelInputs
from nba.models.version import ModelVersion
from nba.pipeline.arms import versions_of, versions_text
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import VIEWS
from nba.pipeline.kept import kept_inputs, kept_rules
from nba.pipeline.score import model_inputs, score_all

#: The part of the rules that each file of `serving/` is.
PARTS: Final[Mapping[str, str]] = {
    "actions": "catalogue",
    "contact_policy": "policy",
    "levers": "levers",
}


def replan(
    context: RunContext,
    files: Mapping[str, DecisionRules],
    models: Mapping[str, ModelVersion],
) -> pl.DataFrame:
    """Return the decision log that a planned day would have had.

    Parameters
    ----------
    context : RunContext
        Of a day of which a plan is kept. Its features are built anew where they were removed.
    files : mapping of str to DecisionRules
        By changed file, `actions`, `contact_policy` or `levers`: rules that hold its content.
        Everything else stays as it was on that day.
    models : mapping of str to ModelVersion
        In place of those that scored the day, by model.
    """
    context.ports.feature_store.ensure([context.as_of], views=VIEWS)
    rules, inputs = kept_rules(context), kept_inputs(context)
    changed = {PARTS[name]: getattr(given, PARTS[name]) for name, given in files.items()}
    rules = rules.model_copy(update=changed)
    if models:
        loaded = {name: context.ports.registry.load(one) for name, one in models.items()}
        scorers = {**context.models, **loaded}
        scores = score_all(scorers, model_inputs(context), as_of=context.as_of)
        offered = offers(ModelInputs(inputs), scores.affinity, as_of=context.as_of)
        inputs = {**inputs, **scores.items(), "offers": offered}
        numbers = {name: one.version for name, one in models.items()}
        told = versions_text({**versions_of(rules.model_versions), **numbers})
        rules = rules.model_copy(update={"model_versions": told})
    return decide(inputs, rules, as_of=context.as_of).log
