"""What a contact changes: the one place where a candidate gets its effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.decisions.action_types import ActionType
from nba.decisions.funnel import numbers_of
from nba.decisions.modes import MODES, Averages, ModeScores
from nba.decisions.needs import CustomerNeeds, best_needs
from nba.decisions.ordering import is_priced
from nba.decisions.policy import Levers
from nba.decisions.rules import DecisionRules
from nba.decisions.simple import simple_scores
from nba.schema.words import SIMPLE_ARMS, Mode


@dataclass(frozen=True)
class ContactEffects:
    """What each candidate changes, shape (customers, candidates), in money where not a share.

    Parameters
    ----------
    need : array of int
        The need that each serves: a row of the customers' needs, their number where none.
    uplift, drawn : array of float
        The expected extra margin of a contact about the need in the action's mode, and the draw
        from what is believed of it, with which the list is made, so that what is uncertain gets
        tried.
    relevance : array of float
        The share of it that such a contact has.
    worth : array of float
        What the action earns beside it.
    risk, lost_share : array of float
        The probability of losing the friend, and the share of purchases that goes with them.
    customer_value : array of float, shape (customers,)
        The expected margin of the coming year.
    simple : array of bool, shape (customers,)
        Customers whose list a simple policy makes: `drawn` is its score, and nothing is deducted.
    priced : array of bool, shape (customers,)
        Customers whose scores are money.
    """

    need: Ints
    uplift: Floats
    drawn: Floats
    relevance: Floats
    worth: Floats
    risk: Floats
    lost_share: Floats
    customer_value: Floats
    simple: Bools
    priced: Bools

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
        """drawn x relevance + worth - churn cost, before what it takes from later contacts."""
        cost = np.where(self.simple[:, None], 0.0, self.churn_cost)
        net: Floats = self.drawn * self.relevance + self.worth - cost
        return net


def contact_effects(
    facts: pl.DataFrame,
    scores: ModeScores,
    needs: CustomerNeeds,
    actions: Sequence[ActionType],
    averages: Averages,
    rules: DecisionRules,
    arm: pl.Series,
) -> ContactEffects:
    """Return the effects of the candidates, the factors that are switched off left out.

    Parameters
    ----------
    facts : DataFrame
        A row per customer.
    scores : ModeScores
        Of the same customers.
    needs : CustomerNeeds
        Of the same customers: each action serves the need for which it is worth most.
    actions : sequence of ActionType
        The candidates of each customer.
    averages : Averages
        For what is not known, or may not be used, of a customer.
    rules : DecisionRules
    arm : Series of str
        The arm of each customer.
    """
    factors = rules.settings.factors
    uplift, drawn = needs.worth("uplift_amount"), needs.worth("uplift_drawn")
    if not factors.draws:
        drawn = uplift
    is_simple = arm.is_in([str(name) for name in SIMPLE_ARMS]).to_numpy()
    if is_simple.any():
        drawn = simple_scores(needs, facts, arm, drawn)
    weight = category_factors(needs, rules.levers) if factors.levers else np.ones(len(drawn))
    chosen = best_needs(needs, actions, drawn, weight)
    if not factors.uplift:
        flat = np.full_like(uplift[:-1], float(np.mean(averages.uplift)))
        uplift = np.pad(flat, ((0, 1), (0, 0)))
        drawn = simple_scores(needs, facts, arm, uplift) if is_simple.any() else uplift
    mode = np.array([MODES.index(action.mode) for action in actions], dtype=np.int64)
    relevance = np.clip(numbers_of(facts, [action.relevance for action in actions]), 0.0, 1.0)
    worth = numbers_of(facts, [action.worth for action in actions])
    risk = scores.risk if factors.risk else np.zeros_like(scores.risk)
    return ContactEffects(
        need=chosen,
        uplift=uplift[chosen, mode],
        drawn=drawn[chosen, mode],
        relevance=relevance if factors.relevance else np.ones_like(relevance),
        worth=worth if factors.worth else np.zeros_like(worth),
        risk=risk[:, mode] * np.array([action.risk_share for action in actions]),
        lost_share=scores.lost_share[:, mode],
        customer_value=_customer_value(facts, averages),
        simple=is_simple,
        priced=arm.alias("arm").to_frame().select(is_priced()).to_series().to_numpy(),
    )


def _customer_value(facts: pl.DataFrame, averages: Averages) -> Floats:
    own = pl.col("expected_margin_365d").fill_null(averages.customer_value)
    value = pl.when("consent_profiling").then(own).otherwise(averages.customer_value)
    values: Floats = facts.select(value.clip(lower_bound=0.0).alias("x"))["x"].to_numpy()
    return values


def category_factors(needs: CustomerNeeds, levers: Levers) -> Floats:
    """Return 1 + the category's lever / 100 of each need, shape (needs + 1,)."""
    if not levers.categories:
        return np.ones(needs.rows.height + 1)
    extra = needs.rows["category"].replace_strict(
        list(levers.categories), list(levers.categories.values()), default=0.0,
        return_dtype=pl.Float64,
    )  # fmt: skip
    factor = np.maximum(1.0 + extra.fill_null(0.0).to_numpy() / 100.0, 0.0)
    return np.append(factor, 1.0)


def lever_factors(
    needs: CustomerNeeds, chosen: Ints, actions: Sequence[ActionType], levers: Levers
) -> Floats:
    """Return 1 + (issue + group + action + category of the need) / 100, never below zero.

    Parameters
    ----------
    needs : CustomerNeeds
    chosen : array of int
        Shape (customers, actions): the need that each action would serve, a row of `needs`.
    actions : sequence of ActionType
        The columns of `chosen`.
    levers : Levers
    """
    fixed = np.array(
        [
            levers.issues.get(Mode(action.mode), 0.0)
            + levers.groups.get(action.group, 0.0)
            + levers.actions.get(action.action_type, 0.0)
            + action.lever
            for action in actions
        ]
    )
    percent = np.broadcast_to(fixed, chosen.shape).copy()
    percent += 100.0 * (category_factors(needs, levers)[chosen] - 1.0)
    factor: Floats = np.maximum(1.0 + percent / 100.0, 0.0)
    return factor
