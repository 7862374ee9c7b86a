"""Every customer against every action type: the funnel and the value in money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.decisions.catalogue import PRODUCT_KINDS, ActionType
from nba.decisions.contact import policy_open, rest
from nba.decisions.facts import build_facts
from nba.decisions.inputs import DecisionInputs
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.settings import DecisionSettings
from nba.features.expressions import TAG_PREFIX, parse_expression
from nba.schema.words import CONTACT_MODES, Mode

MODES: Final = tuple(CONTACT_MODES)


class Stage(IntEnum):
    """How far an action came; the name says where it fell out."""

    NOT_ELIGIBLE = 0
    NOT_APPLICABLE = 1
    NOT_SUITABLE = 2
    POLICY = 3
    OPEN = 4


@dataclass(frozen=True)
class Averages:
    """Averages over the customers who may be profiled, for those who may not."""

    uplift: tuple[float, ...]
    risk: tuple[float, ...]
    lost_share: tuple[float, ...]
    customer_value: float


@dataclass(frozen=True)
class Factored:
    """The factors of each value, shape (customers, actions).

    `uplift` is what is expected; `drawn` is the clerk's draw from what is believed of it, with
    which the list is made, so that what is uncertain gets tried.
    """

    uplift: Floats
    drawn: Floats
    relevance: Floats
    worth: Floats
    risk: Floats
    lost_share: Floats
    customer_value: Floats
    patience: Floats
    lever: Floats

    @property
    def value(self) -> Floats:
        """[drawn x relevance + worth - risk x lost share x customer value - patience] x lever."""
        loss = self.risk * self.lost_share * self.customer_value[:, None] + self.patience
        total: Floats = (self.drawn * self.relevance + self.worth - loss) * self.lever
        return total


@dataclass(frozen=True)
class Candidates:
    """The candidates of a set of customers, rows sorted by customer_id."""

    facts: pl.DataFrame
    rest: pl.Series
    actions: tuple[ActionType, ...]
    stage: npt.NDArray[np.int8]
    factors: Factored
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


def mode_averages(inputs: DecisionInputs) -> Averages:
    """Return the average mode scores and customer value of who may be profiled."""
    profiled = inputs["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    modes = inputs["mode"].join(profiled, on="customer_id", how="semi").sort("customer_id")
    of_mode = [modes.filter(pl.col("mode") == str(mode)) for mode in MODES]
    timing = inputs["timing"].join(profiled, on="customer_id", how="semi").sort("customer_id")
    return Averages(
        uplift=tuple(_mean(rows["uplift_amount"]) for rows in of_mode),
        risk=tuple(_mean(rows["risk"]) for rows in of_mode),
        lost_share=tuple(_mean(rows["lost_share"]) for rows in of_mode),
        customer_value=_mean(timing["expected_margin_365d"]),
    )


def _mean(column: pl.Series) -> float:
    """Return the mean in the order of the rows, so that it is the same on every machine."""
    known = column.drop_nulls().to_numpy()
    return float(known.mean()) if known.size else 0.0


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
    policy: ContactPolicy,
    levers: Levers,
    averages: Averages,
    *,
    as_of: datetime,
    settings: DecisionSettings,
) -> Candidates:
    """Walk the funnel and price every candidate of the customers of `inputs`."""
    facts = build_facts(inputs, as_of=as_of, policy=policy, tags=used_tags(actions))
    facts = facts.join(
        inputs["clerk"].select("clerk_id", clerk_modes="modes"),
        on="clerk_id",
        how="left",
        maintain_order="left",
    )
    resting = rest(inputs, facts.select("customer_id", "friend_since"), as_of=as_of, policy=policy)
    stage = _funnel(facts, actions)
    allowed = policy_open(inputs, resting, facts, actions, as_of=as_of, policy=policy)
    stage[(stage == Stage.POLICY) & allowed] = Stage.OPEN
    factors = _factors(inputs, facts, actions, policy, levers, averages, settings)
    value = np.where(np.isfinite(factors.value), factors.value, 0.0)
    names = facts.select("customer_id").join(
        resting.frame.select("customer_id", "rest"),
        on="customer_id",
        how="left",
        maintain_order="left",
    )
    return Candidates(facts, names["rest"], actions, stage, factors, value)


def _flags(facts: pl.DataFrame, rules: Sequence[str]) -> Bools:
    """Return (customers, rules): where each rule holds; unknown is false."""
    columns = [
        parse_expression(rule).polars().cast(pl.Boolean).fill_null(False).alias(str(position))
        for position, rule in enumerate(rules)
    ]
    return _matrix(facts, columns).astype(bool)


def _numbers(facts: pl.DataFrame, rules: Sequence[str]) -> Floats:
    """Return (customers, rules): the number each rule gives; unknown is zero."""
    columns = [
        parse_expression(rule).polars().cast(pl.Float64).fill_null(0.0).alias(str(position))
        for position, rule in enumerate(rules)
    ]
    return _matrix(facts, columns).astype(np.float64)


def _matrix(facts: pl.DataFrame, columns: list[pl.Expr]) -> npt.NDArray[np.generic]:
    if not columns or not facts.height:
        return np.zeros((facts.height, len(columns)))
    return facts.with_columns(columns).select([str(i) for i in range(len(columns))]).to_numpy()


def may_contact() -> pl.Expr:
    """Return the rule that stands above every catalogue: consent given, not blocked."""
    return pl.col("consent_contact").fill_null(False) & pl.col("is_blocked").fill_null(True).not_()


def _funnel(facts: pl.DataFrame, actions: tuple[ActionType, ...]) -> npt.NDArray[np.int8]:
    """Return the stage of each candidate before the contact policy."""
    shape = (facts.height, len(actions))
    may = facts.select(may_contact().alias("x"))["x"].to_numpy()[:, None]
    friend = facts["is_friend"].fill_null(False).to_numpy()[:, None]
    profiled = facts["consent_profiling"].to_numpy()[:, None]
    needs = np.array([action.needs_friend for action in actions])
    profiling = np.array([action.profiling for action in actions])
    service = np.array([action.service for action in actions])
    eligible = may & (friend | ~needs) & (profiled | ~profiling)
    eligible = eligible & _clerk_modes(facts, actions)
    eligible &= _flags(facts, [action.eligible for action in actions])
    applicable = _flags(facts, [action.applicable for action in actions])
    has_case = facts.select(
        (
            (pl.col("open_service_cases") > 0)
            | (pl.col("open_complaints") > 0)
            | (pl.col("open_questions") > 0)
            | (pl.col("open_after_sales") > 0)
        ).alias("x")
    )["x"]
    waits = has_case.fill_null(False).to_numpy()[:, None] & ~service
    suitable = _flags(facts, [action.suitable for action in actions]) & ~waits
    stage = np.full(shape, Stage.POLICY, dtype=np.int8)
    stage[~suitable] = Stage.NOT_SUITABLE
    stage[~applicable] = Stage.NOT_APPLICABLE
    stage[~eligible] = Stage.NOT_ELIGIBLE
    return stage


def _clerk_modes(facts: pl.DataFrame, actions: tuple[ActionType, ...]) -> Bools:
    """Return which modes the customer's clerk serves; no list means all."""
    serves = {
        mode: facts.select(
            (
                pl.col("clerk_modes").is_null()
                | (pl.col("clerk_modes").list.len() == 0)
                | pl.col("clerk_modes").list.contains(str(mode))
            ).alias("x")
        )["x"]
        .fill_null(True)
        .to_numpy()
        for mode in MODES
    }
    return np.stack([serves[action.mode] for action in actions], axis=1)


def _mode_scores(
    inputs: DecisionInputs, facts: pl.DataFrame, averages: Averages, settings: DecisionSettings
) -> tuple[Floats, ...]:
    """Return uplift, its lower bound, its draw, risk and lost share, shape (customers, modes)."""
    wide = facts.select("customer_id", "consent_profiling")
    parts = []
    columns = ("uplift_amount", "uplift_lower", "uplift_drawn", "risk", "lost_share")
    for position, mode in enumerate(MODES):
        scores = inputs["mode"].filter(pl.col("mode") == str(mode)).unique("customer_id")
        joined = wide.join(
            scores.select("customer_id", *columns).with_columns(
                pl.col("uplift_drawn").fill_null(pl.col("uplift_amount"))
            ),
            on="customer_id",
            how="left",
            maintain_order="left",
        )
        profiled = pl.col("consent_profiling")
        average = {
            "uplift_amount": averages.uplift[position],
            "uplift_lower": averages.uplift[position],
            "uplift_drawn": averages.uplift[position],
            "risk": averages.risk[position],
            "lost_share": averages.lost_share[position],
        }
        parts.append(
            joined.select(
                [
                    pl.when(profiled).then(pl.col(name).fill_null(0.0)).otherwise(average[name])
                    for name in columns
                ]
            ).to_numpy()
        )
    uplift, lower, drawn, risk, lost = np.moveaxis(np.stack(parts, axis=1), 2, 0)
    if not settings.factors.draws:
        drawn = uplift
    if not settings.factors.uplift:
        flat = float(np.mean(averages.uplift))
        uplift, lower, drawn = (np.full_like(uplift, flat) for _ in range(3))
    if not settings.factors.risk:
        risk = np.zeros_like(risk)
    return uplift, lower, drawn, risk, lost


def keep_preferred(uplift: Floats, lower: Floats, preferred: Ints) -> tuple[Floats, Ints]:
    """Hold each customer to the preferred mode until another is proved better.

    Parameters
    ----------
    uplift, lower : array of float, shape (customers, modes)
    preferred : array of int, shape (customers,)
        The preferred mode so far; -1 where there is none yet.

    Returns
    -------
    array of float
        Uplift in which no unproven mode beats the preferred one.
    array of int
        The preferred mode from now on.
    """
    best = uplift.argmax(axis=1)
    rows = np.arange(len(uplift))
    known = preferred >= 0
    old = np.where(known, preferred, best)
    old_estimate = uplift[rows, old]
    challenger = lower.argmax(axis=1)
    overtaken = known & (lower[rows, challenger] > old_estimate)
    now = np.where(overtaken, challenger, old)
    return at_most_preferred(uplift, np.where(known & ~overtaken, old, -1)), now


def at_most_preferred(values: Floats, preferred: Ints) -> Floats:
    """Return `values` by mode, none above that of the preferred mode (-1: there is none)."""
    own = np.take_along_axis(values, np.maximum(preferred, 0)[:, None], axis=1)
    return np.minimum(values, np.where(preferred[:, None] >= 0, own, np.inf))


def preferred_modes(inputs: DecisionInputs, facts: pl.DataFrame) -> Ints:
    """Return the position of each customer's preferred mode so far, or -1."""
    places = pl.DataFrame({"mode": [str(mode) for mode in MODES], "at": range(len(MODES))})
    known = inputs["preferred_mode"].unique("customer_id").join(places, on="mode")
    joined = facts.select("customer_id").join(
        known.select("customer_id", "at"), on="customer_id", how="left", maintain_order="left"
    )
    return joined["at"].fill_null(-1).cast(pl.Int64).to_numpy()


def _factors(
    inputs: DecisionInputs,
    facts: pl.DataFrame,
    actions: tuple[ActionType, ...],
    policy: ContactPolicy,
    levers: Levers,
    averages: Averages,
    settings: DecisionSettings,
) -> Factored:
    uplift, lower, drawn, risk, lost = _mode_scores(inputs, facts, averages, settings)
    if policy.hysteresis and facts.height:
        before = preferred_modes(inputs, facts)
        uplift, now = keep_preferred(uplift, lower, before)
        drawn = at_most_preferred(drawn, np.where(now == before, before, -1))
    at = np.array([MODES.index(action.mode) for action in actions], dtype=np.int64)
    switched = settings.factors
    share = settings.patience_share if switched.patience else 0.0
    tired = share * np.maximum(drawn.max(axis=1, initial=0.0), 0.0)
    relevance = np.clip(_numbers(facts, [action.relevance for action in actions]), 0.0, 1.0)
    floor = settings.relevance_floor if switched.relevance else 1.0
    worth = _numbers(facts, [action.worth for action in actions])
    profiled = pl.col("consent_profiling")
    customer_value = facts.select(
        pl.when(profiled)
        .then(pl.col("expected_margin_365d").fill_null(averages.customer_value))
        .otherwise(averages.customer_value)
        .clip(lower_bound=0.0)
        .alias("x")
    )["x"].to_numpy()
    return Factored(
        uplift=uplift[:, at],
        drawn=drawn[:, at],
        relevance=floor + (1.0 - floor) * relevance,
        worth=worth if switched.worth else np.zeros_like(worth),
        risk=risk[:, at] * np.array([action.risk_share for action in actions]),
        lost_share=lost[:, at],
        customer_value=customer_value,
        patience=tired[:, None] * np.array([action.risk_share for action in actions]),
        lever=_levers(facts, actions, levers, on=switched.levers),
    )


def _levers(
    facts: pl.DataFrame, actions: tuple[ActionType, ...], levers: Levers, *, on: bool
) -> Floats:
    """Return 1 + (issue + group + action + category) / 100, never below zero."""
    shape = (facts.height, len(actions))
    if not on:
        return np.ones(shape)
    fixed = np.array(
        [
            levers.issues.get(Mode(action.mode), 0.0)
            + levers.groups.get(action.group, 0.0)
            + levers.actions.get(action.action_type, 0.0)
            + action.lever
            for action in actions
        ]
    )
    percent = np.broadcast_to(fixed, shape).copy()
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
