"""Every customer against every action type: how far each came, and its value in money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.arrays import Floats, Ints
from nba.decisions.action_types import ActionType
from nba.decisions.effects import ContactEffects, contact_effects, lever_factors
from nba.decisions.facts import build_facts
from nba.decisions.funnel import Stage, funnel_stages
from nba.decisions.inputs import DecisionInputs
from nba.decisions.modes import MODES, Averages, ModeScores, mode_scores
from nba.decisions.needs import CustomerNeeds, open_needs
from nba.decisions.policy_state import policy_open, policy_state
from nba.decisions.rules import DecisionRules
from nba.features.expressions import TAG_PREFIX, parse_expression
from nba.schema.words import Arm


@dataclass(frozen=True)
class Candidates:
    """The candidates of a set of customers, with all that was worked out of them.

    Parameters
    ----------
    facts : DataFrame
        A row per customer, sorted by customer_id.
    scores : ModeScores
        What is believed of each mode, and the preferred mode.
    needs : CustomerNeeds
        What each customer needs that can be served today.
    stopped_by : Series of str
        Why the contact policy leaves a customer alone today; null where it does not.
    service_stopped_by : Series of str
        The same for the answer to an open case.
    actions : tuple of ActionType
        The candidates of each customer.
    stage : array of int, shape (customers, candidates)
        The `Stage` that each reached.
    effects : ContactEffects
    lever, value : array of float, shape (customers, candidates)
        The marketer's weight, and the value in money: net effect x lever.
    """

    facts: pl.DataFrame
    scores: ModeScores
    needs: CustomerNeeds
    stopped_by: pl.Series
    service_stopped_by: pl.Series
    actions: tuple[ActionType, ...]
    stage: npt.NDArray[np.int8]
    effects: ContactEffects
    lever: Floats
    value: Floats

    def best_per_mode(self) -> Ints:
        """Return, per customer and mode, the position of the open action worth most, or -1."""
        columns = []
        for mode in MODES:
            of_mode = [i for i, action in enumerate(self.actions) if action.mode is mode]
            if not of_mode:
                columns.append(np.full(len(self.value), -1, dtype=np.int64))
                continue
            is_open = self.stage[:, of_mode] == Stage.OPEN
            best = np.where(is_open, self.value[:, of_mode], -np.inf).argmax(axis=1)
            columns.append(np.where(is_open.any(axis=1), np.array(of_mode)[best], -1))
        return np.stack(columns, axis=1)

    def closed(self) -> pl.Series:
        """Return why nothing is open for each customer: the furthest stage reached, or null."""
        reached = self.stage.max(axis=1, initial=Stage.NOT_ELIGIBLE)
        names = np.array([member.name.lower() for member in Stage], dtype=object)
        stage = pl.Series("stage", names[reached], dtype=pl.String)
        frame = pl.DataFrame([stage, self.stopped_by.alias("stopped_by")])
        return frame.select(
            pl.when(pl.col("stage") == "policy")
            .then(pl.coalesce("stopped_by", "stage"))
            .when(pl.col("stage") != "open")
            .then("stage")
            .alias("closed")
        ).to_series()


def used_tags(actions: Sequence[ActionType]) -> list[str]:
    """Return the tags that the rules of `actions` read."""
    names = {
        name.removeprefix(TAG_PREFIX)
        for action in actions
        for rule in action.rules.values()
        for name in parse_expression(rule).names
        if name.startswith(TAG_PREFIX)
    }
    return sorted(names)


def build_candidates(
    inputs: DecisionInputs,
    actions: tuple[ActionType, ...],
    averages: Averages,
    rules: DecisionRules,
    *,
    as_of: datetime,
    arm: pl.Series | None = None,
) -> Candidates:
    """Walk the funnel and price every candidate of the customers of `inputs`.

    Parameters
    ----------
    inputs : DecisionInputs
        Confined to the customers asked for.
    actions : tuple of ActionType
        The action types that stand against each other.
    averages : Averages
        Over all customers of the plan.
    rules : DecisionRules
    as_of : datetime
    arm : Series of str, optional
        The arm of each customer, by id; without it all are of the engine's.
    """
    policy = rules.policy
    people = inputs["customer_state"].select("customer_id", "consent_profiling")
    needs = open_needs(
        inputs, people.sort("customer_id"), averages.needs, as_of=as_of, policy=policy
    )
    facts = build_facts(inputs, needs.rows, as_of=as_of, policy=policy, tags=used_tags(actions))
    state = policy_state(inputs, facts, as_of=as_of, policy=policy)
    allowed = policy_open(inputs, state, actions, as_of=as_of, policy=policy)
    arms = pl.repeat(str(Arm.ENGINE), facts.height, eager=True) if arm is None else arm
    scores = mode_scores(
        inputs,
        facts.select("customer_id", "consent_profiling"),
        averages,
        hysteresis=policy.hysteresis,
    )
    effects = contact_effects(facts, scores, needs, actions, averages, rules, arms)
    lever = lever_factors(needs, effects.need, actions, rules.levers)
    if not rules.settings.factors.levers:
        lever = np.ones_like(lever)
    value = effects.net * lever
    return Candidates(
        facts=facts,
        scores=scores,
        needs=needs,
        stopped_by=state["stopped_by"],
        service_stopped_by=state["service_stopped_by"],
        actions=actions,
        stage=funnel_stages(facts, actions, allowed, effects.need < needs.rows.height),
        effects=effects,
        lever=lever,
        value=np.where(np.isfinite(value), value, 0.0),
    )
