"""Effects of contacts from pilots, the engine's own draws and clerks' history together.

1. **Base**: what the customer buys in the window whatever the arm, by boosted trees, each row by
   trees that did not see its fold. Purchases count half by number and half by (cut) margin: a
   contact shows in the number of purchases long before it shows in money.
2. **Propensity** of each arm: the logged vector; else estimated, for history always.
3. **Reading**: who was sent a message, and read it. Only what is read can work.
4. **Posterior** of the parameters of `contact_design`, by the evidence; how much less it works to
   bring something unknown, and who reacts and when (`modifiers`), are averaged by the evidence too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import numpy as np
import polars as pl
from pydantic import Field
from scipy.special import log_ndtr

from nba.arrays import Floats, Ints
from nba.models.base import ModelConfig
from nba.models.mode.assignments.exposure import BEFORE_DAYS
from nba.models.mode.assignments.records import PROPENSITY_COLUMNS, AssignmentSource
from nba.models.mode.effects.design import (
    BLOCKS,
    CENTRE,
    EFFECT_BLOCKS,
    ContactRows,
    design,
    effect_table,
)
from nba.models.mode.effects.draws import correlation_root
from nba.models.mode.effects.modifiers import COLUMNS, ModifierMeans, Powers
from nba.models.mode.effects.posterior import Evidence, Posterior, fit_posterior, noise_variance
from nba.models.mode.estimators import trees
from nba.models.mode.prior import PriorMode, filled, kinds_and_tiers
from nba.models.mode.propensities.arms import (
    ArmOverlap,
    estimate_propensities,
    overlap,
    tree_propensities,
)
from nba.models.mode.propensities.reading import ReadModel, fit_read_model, sent_probabilities
from nba.models.mode.scores import MODES
from nba.schema.words import Mode

ARMS: Final = (str(Mode.NONE), *MODES)
#: Columns known at the moment of an assignment, for the base and the propensities only.
BEFORE: Final = ("before_days_since", *(f"before_purchases_{n}d" for n in BEFORE_DAYS))
#: Smallest base: everybody may buy something.
MIN_BASE: Final = 0.01
MIN_PROPENSITY: Final = 0.002
#: Shapes with less weight are left out.
MIN_BELIEF: Final = 0.01
BASE_TREES: Final[dict[str, Any]] = {"num_leaves": 12, "learning_rate": 0.07, "lambda_l2": 20.0}


class ContactConfig(ModelConfig):
    """Parameters of the effects of contacts. Errors are standard deviations before data."""

    folds: int = Field(default=3, ge=2, description="Folds of the cross-fitting.")
    rounds: int = Field(default=70, ge=1, description="Trees of the base.")
    outcome_days: int = Field(default=14, ge=1, description="Length of the outcome window.")
    scale_error: float = Field(default=0.5, gt=0, description="Of the prior's scale around one.")
    mode_scale_error: float = Field(default=0.15, gt=0, description="Of a mode's scale beyond it.")
    level_error: float = Field(
        default=0.3, gt=0, description="Of levels, in units of the prior's mean effect."
    )
    choice_error: float = Field(
        default=1.0, gt=0, description="Of what clerks' choice looks like, in the same units."
    )
    mode_choice_error: float = Field(default=1.0, gt=0, description="Of the same by mode.")
    reading_error: float = Field(
        default=0.2, gt=0, description="Of what readers buy more without an effect, likewise."
    )
    unknown_shares: tuple[float, ...] = Field(
        default=(0.5, 0.25),
        min_length=1,
        description="Averaged: effect of bringing something never bought, relative to a known one.",
    )
    response_powers: tuple[float, ...] = Field(
        default=(0.0, 0.5, 1.0),
        min_length=1,
        description="Averaged: effects grow with this power of the customer's rate of answers.",
    )
    fatigue_slopes: tuple[float, ...] = Field(
        default=(0.0, 0.2, 0.4),
        min_length=1,
        description="Averaged: effects shrink by this rate per unit of fatigue.",
    )
    is_harmless: bool = Field(
        default=True,
        description="A message that was read is taken not to lower purchases, on average over a "
        "kind of customers: the harm that it does is the risk of losing the friend.",
    )
    individual_spread: float = Field(
        default=0.5,
        ge=0,
        description="What differs between customers and is not seen: standard deviation as a "
        "share of the effect. Counts in the lower bound.",
    )

    def widths(self) -> Floats:
        """Return the expected width of each group of parameters."""
        level = self.level_error
        return np.array(
            [
                self.scale_error,
                self.mode_scale_error,
                level,
                level,
                level,
                self.choice_error,
                self.mode_choice_error,
                self.reading_error,
            ]
        )


@dataclass(frozen=True)
class Shape:
    """One way in which customers may react, and its posterior."""

    powers: Powers
    weight: float
    share: Floats  # (kinds, tiers, modes): effect of a read contact, as a share of the base
    variance: Floats


@dataclass
class ContactEffects:
    """Learned effects: shares by kind, tier and mode, on the base of each customer.

    `root` is the Cholesky factor of the correlation between the modes of a kind, at the middle
    tier of the most likely shape.
    """

    shapes: list[Shape]
    base: Any
    read_model: ReadModel
    modifier_means: ModifierMeans
    root: Floats  # (kinds, modes, modes): Cholesky factor of what is believed of the modes
    individual_spread: float
    refused: tuple[str, ...]
    report: dict[str, Any] = field(default_factory=dict)

    def effects(self, customers: pl.DataFrame, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the effect of a sent contact in purchases, shape (rows, 3), and two variances.

        The first is of what is believed of such customers on average, the second of what is
        believed of each one.
        """
        kind, tier = kinds_and_tiers(customers)
        base = np.maximum(trees.predict(self.base, x), MIN_BASE)
        logs = self.modifier_means.logs(customers)
        size = base[:, None] * self.read_model.probability(x)
        mean, square, variance = (np.zeros((len(x), len(MODES))) for _ in range(3))
        for shape in self.shapes:
            by = size * np.exp(logs @ np.array(shape.powers))[:, None]
            effect = by * shape.share[kind, tier]
            mean += shape.weight * effect
            square += shape.weight * np.square(effect)
            variance += shape.weight * np.square(by) * shape.variance[kind, tier]
        between = np.maximum(square - np.square(mean), 0.0)
        return mean, variance, variance + between + np.square(self.individual_spread * mean)

    def contributions(self, customers: pl.DataFrame, x: Floats, names: Sequence[str]) -> Floats:
        """Return how much each column moves the effect of a contact, relatively: (rows, columns).

        The effect is a product: what the customer buys without a contact (its trees' Shapley
        values, relative to the expectation), whether the message is read (the terms of the
        logistic, times the probability that it is not), and who reacts when.
        """
        base = np.maximum(trees.predict(self.base, x), MIN_BASE)[:, None]
        # the last column is the expectation
        moves = trees.predict(self.base, x, pred_contrib=True)[:, :-1] / base
        if self.read_model.is_recorded:
            unread = 1.0 - self.read_model.probability(x).mean(axis=1)
            moves = moves + self.read_model.terms(x) * self.read_model.weight * unread[:, None]
        powers = sum(shape.weight * np.array(shape.powers) for shape in self.shapes)
        moved = self.modifier_means.logs(customers) * powers
        for place, column in enumerate(COLUMNS):
            if column in names:
                moves[:, list(names).index(column)] += moved[:, place]
        return np.asarray(moves)


def fit_contact_effects(
    rows: pl.DataFrame,
    x: Floats,
    arm: Ints,
    *,
    outcome: Floats,
    prior: PriorMode,
    fold: Ints,
    group: Ints,
    config: ContactConfig,
    min_arm_rows: int,
    seed: int,
) -> tuple[ContactEffects, Floats]:
    """Fit effects; also return the probability with which each row's arm was drawn.

    Parameters
    ----------
    rows : DataFrame
        Assignments with `source`, `propensity` and, where known, `sent`, `is_read`, `is_known`, the
        probability vector and what went before.
    x : array of shape (rows, columns)
    arm : int array of shape (rows,)
    outcome : array of shape (rows,)
        Purchases in the window, see the module.
    """
    is_history = rows["propensity"].is_null().to_numpy()
    more = np.column_stack([x, is_history, *(_optional(rows, name) for name in BEFORE)])
    held_out = cross_fitted(more, outcome, fold, config, seed)
    propensity, model = arm_propensities(
        rows, more, arm, is_history, fold=fold, folds=config.folds, seed=seed
    )
    drawn = propensity[np.arange(len(arm)), arm]
    checks = overlap(arm, len(ARMS), drawn, propensity, floor=MIN_PROPENSITY, min_rows=min_arm_rows)
    refused = tuple(ARMS[check.arm] for check in checks if check.refused)
    base = trees.grow(x, outcome, BASE_TREES, config.rounds, seed)
    read_model, is_read = fit_read_model(rows, x, arm)
    p_sent = sent_probabilities(rows, x, arm, folds=config.folds, seed=seed)
    kind, tier = kinds_and_tiers(rows)
    modifier_means = ModifierMeans.of(rows.filter(pl.Series(arm > 0)))
    contacts = ContactRows(
        arm=arm,
        propensity=propensity,
        is_read=is_read,
        p_read=read_model.probability(x) * p_sent[:, None],
        known=_optional(rows, "is_known", 1.0),
        is_history=is_history.astype(np.float64),
        kind=kind,
        tier=tier,
        base=np.maximum(trees.predict(base, x), MIN_BASE),
        modifiers=modifier_means.logs(rows),
    )
    shapes, root, report = _shapes(
        contacts, outcome - held_out, prior, read_share=read_model.mean, group=group, config=config
    )
    report |= {
        "propensity_model": model,
        "overlap": [_check(check) for check in checks],
        "history_rows": int(is_history.sum()),
        "read_share": read_model.mean,
    }
    effects = ContactEffects(
        shapes,
        base,
        read_model,
        modifier_means,
        root,
        config.individual_spread,
        refused,
        report,
    )
    return effects, np.maximum(drawn, MIN_PROPENSITY)


def _shapes(
    contacts: ContactRows,
    residual: Floats,
    prior: PriorMode,
    *,
    read_share: float,
    group: Ints,
    config: ContactConfig,
) -> tuple[list[Shape], Floats, dict[str, Any]]:
    """Fit the posterior of every shape and weigh them by the evidence.

    Also return how the modes of each kind go together, see `ContactEffects`.
    """
    share = prior.share_per_contact() * 365.0 / config.outcome_days / max(read_share, 1e-6)
    unit = max(float(share[contacts.kind, contacts.tier].mean()), 1e-3)
    table = effect_table(share, unit)
    weight = 1.0 / noise_variance(residual, contacts.base)
    inflation = 0.0

    def fitted(unknown_share: float, *powers: float) -> tuple[float, Posterior]:
        nonlocal inflation
        columns = design(contacts, table, unit, unknown_share=unknown_share, powers=powers)
        posterior = fit_posterior(
            columns,
            residual,
            weight,
            centre=CENTRE,
            block=BLOCKS,
            width=config.widths(),
            group=group,
        )
        inflation = inflation or posterior.inflation
        rest = residual - columns @ CENTRE
        evidence = Evidence.of(columns, rest, weight / inflation)
        fit = -0.5 * float(weight @ np.square(rest)) / inflation
        return fit + evidence.log_evidence(posterior.widths[BLOCKS]), posterior

    grid = product(config.unknown_shares, config.response_powers, config.fatigue_slopes)
    tried: dict[tuple[float, ...], tuple[float, Posterior]] = {
        values: fitted(*values) for values in grid
    }
    top = max(log for log, _ in tried.values())
    belief: dict[tuple[float, ...], float] = {
        values: float(np.exp(log - top)) for values, (log, _) in tried.items()
    }
    total = sum(belief.values())
    effect_terms = slice(0, len(EFFECT_BLOCKS))
    shapes = []
    for values, (_, posterior) in tried.items():
        if belief[values] / total <= MIN_BELIEF:
            continue
        mean = table @ posterior.mean[effect_terms]
        covariance = posterior.covariance[effect_terms, effect_terms]
        variance = np.einsum("ktap,pq,ktaq->kta", table, covariance, table)
        if config.is_harmless:
            mean, variance = not_negative(mean, variance)
        shapes.append(Shape((values[1], values[2]), belief[values] / total, mean, variance))
    best = tried[max(belief, key=lambda values: belief[values])][1]
    report = {
        "unknown_shares": _marginal(belief, 0),
        "response_powers": _marginal(belief, 1),
        "fatigue_slopes": _marginal(belief, 2),
        "prior_scale": {
            mode: float(best.mean[0] + best.mean[1 + i]) for i, mode in enumerate(MODES)
        },
        "widths": best.widths.tolist(),
        "inflation": best.inflation,
        "choice": best.mean[len(EFFECT_BLOCKS) :].tolist(),
    }
    middle = table[:, table.shape[1] // 2]
    covariance = best.covariance[effect_terms, effect_terms]
    root = correlation_root(np.einsum("kap,pq,kbq->kab", middle, covariance, middle))
    return shapes, root, report


def not_negative(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of normal beliefs given that the truth is not negative.

    >>> mean, variance = not_negative(np.zeros(1), np.ones(1))
    >>> [round(float(value), 3) for value in (mean[0], variance[0])]
    [0.798, 0.363]
    """
    spread = np.sqrt(np.maximum(variance, 1e-18))
    place = np.maximum(-mean / spread, -30.0)
    # far below zero the tail is exponential: the ratio grows like the place itself
    density = -0.5 * np.square(place) - 0.5 * np.log(2 * np.pi)
    ratio = np.exp(density - log_ndtr(-place))
    shrunk = 1.0 + place * ratio - np.square(ratio)
    return mean + spread * ratio, np.square(spread) * np.clip(shrunk, 1e-6, 1.0)


def _marginal(belief: dict[tuple[float, ...], float], place: int) -> dict[str, float]:
    """Return the weight of each value of one property."""
    total = sum(belief.values())
    weights: dict[str, float] = {}
    for values, weight in belief.items():
        name = str(values[place])
        weights[name] = weights.get(name, 0.0) + weight / total
    return weights


def cross_fitted(
    x: Floats, outcome: Floats, fold: Ints, config: ContactConfig, seed: int
) -> Floats:
    """Return the outcome expected without regard to the arm, by trees that did not see the row.

    Parameters
    ----------
    x : array of float
        Shape (rows, columns), NaN where not known.
    outcome : array of float
        Shape (rows,), money.
    fold : array of int
        Shape (rows,).
    config : ContactConfig
        Says how many folds and trees.
    seed : int
    """
    held_out = np.full(len(x), outcome.mean() if len(outcome) else 0.0)
    for number in range(config.folds):
        rest, rows = fold != number, fold == number
        if rest.sum() >= 100 and rows.any():
            booster = trees.grow(x[rest], outcome[rest], BASE_TREES, config.rounds, seed)
            held_out[rows] = trees.predict(booster, x[rows])
    return held_out


def arm_propensities(
    rows: pl.DataFrame,
    x: Floats,
    arm: Ints,
    is_history: Floats,
    *,
    fold: Ints,
    folds: int,
    seed: int,
) -> tuple[Floats, str]:
    """Return the probability of every arm in every row, and where it comes from.

    Parameters
    ----------
    rows : polars.DataFrame
        Assignments, with the logged vector where there is one.
    x : array of float
        Shape (rows, columns), NaN where not known.
    arm : array of int
        Shape (rows,): place in `ARMS`.
    is_history : array of float
        Shape (rows,): 1 where a clerk chose, 0 where a policy drew.
    fold, folds : array of int, int
        Of the cross-fitting, shape (rows,), and how many.
    seed : int
    """
    propensity = np.full((len(arm), len(ARMS)), np.nan)
    for code, name in enumerate(ARMS):
        propensity[:, code] = _optional(rows, PROPENSITY_COLUMNS[name], float("nan"))
    has_vector = np.isfinite(propensity).all(axis=1)
    models = ["logged vector"] if has_vector.any() else []
    drawn = np.flatnonzero(~has_vector & ~is_history.astype(bool))
    if len(drawn):
        estimated = estimate_propensities(
            _standardised(x[drawn]),
            x[drawn],
            arm[drawn],
            len(ARMS),
            fold=fold[drawn],
            folds=folds,
            seed=seed,
        )
        propensity[drawn] = estimated.values
        models.append(f"drawn: {estimated.model}")
    habit = np.flatnonzero(~has_vector & is_history.astype(bool))
    if len(habit):
        propensity[habit] = tree_propensities(
            x[habit], arm[habit], len(ARMS), fold=fold[habit], folds=folds, seed=seed
        )
        models.append(f"{AssignmentSource.HISTORY}: boosted trees")
    return propensity, ", ".join(models)


def _standardised(x: Floats) -> Floats:
    """Return columns with mean zero and spread one; what is missing or constant is zero."""
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, x, 0.0)
    centred = np.where(known, x - centred.sum(axis=0) / count, 0.0)
    spread = np.sqrt(np.square(centred).sum(axis=0) / count)
    return np.asarray(centred / np.where(spread > 1e-9, spread, np.inf))


def _optional(rows: pl.DataFrame, name: str, value: float = float("nan")) -> Floats:
    """Return a column as numbers, `value` where it is absent or empty."""
    if name not in rows.columns:
        return np.full(rows.height, value)
    return filled(rows[name], value)


def _check(check: ArmOverlap) -> dict[str, Any]:
    return {
        "mode": ARMS[check.arm],
        "rows": check.rows,
        "effective_rows": check.effective_rows,
        "smallest": check.smallest,
        "trimmed_share": check.trimmed_share,
        "refused": check.refused,
    }
