"""What a contact changes: the one place where a candidate gets its effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.decisions.action_types import PRODUCT_KINDS, ActionType
from nba.decisions.funnel import numbers_of
from nba.decisions.modes import MODES, Averages, ModeScores, at_most_preferred
from nba.decisions.policy import Levers
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import Factors
from nba.schema.words import Mode


@dataclass(frozen=True)
class ContactEffects:
    """What each candidate changes, shape (customers, candidates), in money where not a share.

    Parameters
    ----------
    uplift, drawn : array of float
        The expected extra margin of a contact that brings something known, and the clerk's draw
        from what is believed of it, with which the list is made, so that what is uncertain gets
        tried.
    relevance : array of float
        The share of it that what is brought earns.
    worth : array of float
        What the action earns beside it.
    risk, lost_share : array of float
        The probability of losing the friend, and the share of purchases that goes with them.
    customer_value : array of float, shape (customers,)
        The expected margin of the coming year.
    fatigue_cost : array of float
        What the contact takes from later ones.
    """

    uplift: Floats
    drawn: Floats
    relevance: Floats
    worth: Floats
    risk: Floats
    lost_share: Floats
    customer_value: Floats
    fatigue_cost: Floats

    @property
    def expected_gain(self) -> Floats:
        """The expected extra margin with what is brought: the uplift that clerks are shown."""
        return self.uplift * self.relevance

    @property
    def churn_cost(self) -> Floats:
        """What losing the friend would cost, times its probability."""
        cost: Floats = self.risk * self.lost_share * self.customer_value[:, None]
        return cost

    @property
    def net(self) -> Floats:
        """drawn x relevance + worth - (churn cost + fatigue cost)."""
        cost = self.churn_cost + self.fatigue_cost
        net: Floats = self.drawn * self.relevance + self.worth - cost
        return net


def contact_effects(
    facts: pl.DataFrame,
    scores: ModeScores,
    actions: Sequence[ActionType],
    averages: Averages,
    rules: DecisionRules,
) -> ContactEffects:
    """Return the effects of the candidates, the factors that are switched off left out.

    Parameters
    ----------
    facts : DataFrame
        A row per customer.
    scores : ModeScores
        Of the same customers.
    actions : sequence of ActionType
        The candidates of each customer.
    averages : Averages
        For what is not known, or may not be used, of a customer.
    rules : DecisionRules
    """
    settings, factors = rules.settings, rules.settings.factors
    uplift, drawn = _mode_uplifts(scores, averages, factors, hold=rules.policy.hysteresis)
    mode = np.array([MODES.index(action.mode) for action in actions], dtype=np.int64)
    risk_share = np.array([action.risk_share for action in actions])
    relevance = np.clip(numbers_of(facts, [action.relevance for action in actions]), 0.0, 1.0)
    floor = settings.relevance_floor if factors.relevance else 1.0
    worth = numbers_of(facts, [action.worth for action in actions])
    fatigue_share = settings.fatigue_cost_share if factors.fatigue_cost else 0.0
    fatigue_cost = fatigue_share * np.maximum(drawn.max(axis=1, initial=0.0), 0.0)
    risk = scores.risk if factors.risk else np.zeros_like(scores.risk)
    return ContactEffects(
        uplift=uplift[:, mode],
        drawn=drawn[:, mode],
        relevance=floor + (1.0 - floor) * relevance,
        worth=worth if factors.worth else np.zeros_like(worth),
        risk=risk[:, mode] * risk_share,
        lost_share=scores.lost_share[:, mode],
        customer_value=_customer_value(facts, averages),
        fatigue_cost=fatigue_cost[:, None] * risk_share,
    )


def _mode_uplifts(
    scores: ModeScores, averages: Averages, factors: Factors, *, hold: bool
) -> tuple[Floats, Floats]:
    """Return the expected and the drawn uplift by mode, none above the mode that is held."""
    if not factors.uplift:
        flat = np.full_like(scores.uplift, float(np.mean(averages.uplift)))
        return flat, flat
    drawn = scores.drawn if factors.draws else scores.uplift
    if not hold:
        return scores.uplift, drawn
    return at_most_preferred(scores.uplift, scores.held), at_most_preferred(drawn, scores.held)


def _customer_value(facts: pl.DataFrame, averages: Averages) -> Floats:
    own = pl.col("expected_margin_365d").fill_null(averages.customer_value)
    value = pl.when("consent_profiling").then(own).otherwise(averages.customer_value)
    values: Floats = facts.select(value.clip(lower_bound=0.0).alias("x"))["x"].to_numpy()
    return values


def lever_factors(facts: pl.DataFrame, actions: Sequence[ActionType], levers: Levers) -> Floats:
    """Return 1 + (issue + group + action + category) / 100, never below zero."""
    fixed = np.array(
        [
            levers.issues.get(Mode(action.mode), 0.0)
            + levers.groups.get(action.group, 0.0)
            + levers.actions.get(action.action_type, 0.0)
            + action.lever
            for action in actions
        ]
    )
    percent = np.broadcast_to(fixed, (facts.height, len(actions))).copy()
    if levers.categories:
        category = facts.select(pl.coalesce("due_category", "main_category").alias("x"))["x"]
        extra = category.replace_strict(
            list(levers.categories), list(levers.categories.values()), default=0.0,
            return_dtype=pl.Float64,
        ).fill_null(0.0).to_numpy()  # fmt: skip
        brings = np.array([action.brings in PRODUCT_KINDS for action in actions])
        percent += extra[:, None] * brings
    factor: Floats = np.maximum(1.0 + percent / 100.0, 0.0)
    return factor
