"""The prior: what a contact in each mode is worth before a shop has data of its own.

Brands report per mode how purchase frequency and order value changed over a year among the
friends they looked after. Those friends selected themselves, so only a small share of the
reported lift is believed. Per contact it is

    believed share x yearly lift(mode) x fit(kind, mode) x tier(price tier, mode)
          x yearly margin of the customer / contacts per year(mode)

A prior orders modes sensibly on the first day; it proves nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from nba.arrays import Floats
from nba.models.base import ModelConfig, ModelInputs
from nba.models.mode.churn.lost_share import FOLLOWED, LostShare, lost_share
from nba.models.mode.effects.draws import belief_draws, clerks_of, correlation_root
from nba.models.mode.scores import BEHAVIOUR, MODES, customer_table, score_table
from nba.models.needs.base import ModeModel
from nba.schema.words import CategoryKind

KINDS: Final = tuple(str(kind) for kind in CategoryKind)
TIERS: Final = 5
#: Purchase days that the kind's mean is worth in a customer's typical purchase.
UNIT_DAYS: Final = 2.0
STATE_FILE: Final = "prior.json"
BEHAVIOUR_COLUMNS: Final = ("margin_365d_amount", "main_category_kind", "price_tier")
CONTACT_COLUMNS: Final = ("fatigue",)


class ByMode(ModelConfig):
    """One number per contact mode."""

    shopping_assistant: float = Field(ge=0)
    topic_expert: float = Field(ge=0)
    private_partner: float = Field(ge=0)

    def array(self) -> Floats:
        """Return the numbers in the order of `CONTACT_MODES`."""
        return np.array([getattr(self, mode) for mode in MODES], dtype=np.float64)


class ByKind(ModelConfig):
    """One number per category kind and contact mode."""

    short: ByMode
    group: ByMode
    premium: ByMode

    def array(self) -> Floats:
        """Return the numbers, shape (kinds, modes)."""
        return np.array([getattr(self, kind).array() for kind in KINDS])


Tiers = tuple[float, float, float, float, float]


class TiersByMode(ModelConfig):
    """One number per price tier, the cheapest first, and contact mode."""

    shopping_assistant: Tiers = (1.1, 1.05, 1.0, 0.9, 0.8)
    topic_expert: Tiers = (0.9, 0.95, 1.0, 1.05, 1.05)
    private_partner: Tiers = (0.6, 0.8, 1.0, 1.2, 1.4)

    def array(self) -> Floats:
        """Return the numbers, shape (tiers, modes)."""
        return np.array([getattr(self, mode) for mode in MODES], dtype=np.float64).T


def _by_mode(assistant: float, expert: float, partner: float) -> ByMode:
    return ByMode(shopping_assistant=assistant, topic_expert=expert, private_partner=partner)


class PriorConfig(ModelConfig):
    """Parameters of the prior table."""

    believed_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of the reported lift taken as caused."
    )
    yearly_lift: ByMode = Field(
        default=_by_mode(0.9, 1.375, 2.515),
        description=(
            "Reported yearly lift of sales per friend in the mode's own sector, from the middle of "
            "the ranges: (1 + frequency) x (1 + order value) - 1."
        ),
    )
    contacts_per_year: ByMode = Field(
        default=_by_mode(36, 24, 18), description="Contacts that such a programme makes in a year."
    )
    category_fit: ByKind = Field(
        default=ByKind(
            short=_by_mode(1.0, 0.4, 0.1),
            group=_by_mode(0.5, 1.0, 0.3),
            premium=_by_mode(0.3, 0.4, 1.0),
        ),
        description="How much of a mode's lift holds for a customer whose main category is so.",
    )
    tier: TiersByMode = Field(
        default=TiersByMode(), description="Factor per price tier, the cheapest first."
    )
    dormant_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="A customer without margin this year counts as this share of the kind's mean.",
    )
    margin_cap_quantile: float = Field(
        default=0.99, gt=0, le=1, description="Yearly margins above this quantile are capped."
    )
    relative_error: float = Field(
        default=0.6, ge=0, description="Standard error of the prior as a share of its estimate."
    )
    error_correlation: float = Field(
        default=0.5, ge=0, le=1, description="Correlation of that error between modes."
    )
    lower_z: float = Field(
        default=1.2816, ge=0, description="Standard errors below the estimate (1.2816: 90 %)."
    )
    base_risk: ByMode = Field(
        default=_by_mode(0.0006, 0.0004, 0.0004),
        description="Probability that one contact loses a rested friend.",
    )
    fatigue_slope: float = Field(
        default=0.5, ge=0, description="Relative growth of the risk per unit of fatigue."
    )
    risk_cap: float = Field(default=0.05, gt=0, le=1, description="Largest risk of one contact.")
    lost_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the purchases that go with a lost friend, before any was seen.",
    )
    lost_share_error: float = Field(
        default=0.2, gt=0, description="Standard deviation of that belief."
    )


class PriorMode(ModeModel):
    """Mode effects from the prior table alone; `fit` learns only money.

    Notes
    -----
    The lift is not causal evidence. Where a shop has logged assignments, use
    `residual_effects`, which starts here and unlearns what the data contradict.
    """

    name: ClassVar[str] = "mode"
    kind: ClassVar[str] = "prior"
    Config: ClassVar[type[ModelConfig]] = PriorConfig
    config: PriorConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self.mean_margin: Floats = np.zeros(len(KINDS))
        self.mean_unit: Floats = np.ones(len(KINDS))
        self.margin_cap = float("inf")
        self.churn = self._churn(None)

    def _churn(self, followed: pl.DataFrame | None) -> LostShare:
        config = self.config
        return lost_share(followed, prior=config.lost_share, prior_error=config.lost_share_error)

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Self:
        """Learn yearly margins per kind, and what a lost friend takes along where some were."""
        self.churn = self._churn(training.get(FOLLOWED))
        known = training[BEHAVIOUR].columns
        extra = tuple(name for name in ("purchase_days_365d",) if name in known)
        customers = customer_table(training, (*BEHAVIOUR_COLUMNS, *extra), ())
        margin, kind, _ = _columns(customers)
        active = margin > 0
        if active.any():
            self.margin_cap = float(np.quantile(margin[active], self.config.margin_cap_quantile))
            capped = np.minimum(margin, self.margin_cap)
            chosen = [active & (kind == code) for code in range(len(KINDS))]
            chosen = [rows if rows.any() else active for rows in chosen]
            self.mean_margin = np.array([float(capped[rows].mean()) for rows in chosen])
            if "purchase_days_365d" in customers.columns:
                days = np.maximum(filled(customers["purchase_days_365d"], 1.0), 1.0)
                units = [capped[rows].sum() / days[rows].sum() for rows in chosen]
                self.mean_unit = np.array(units, dtype=np.float64)
        return self

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return uplift, lower bound, one draw and risk of one contact per customer and mode."""
        customers = customer_table(inputs, BEHAVIOUR_COLUMNS, CONTACT_COLUMNS)
        uplift = self.uplift(customers)
        lower = uplift * (1.0 - self.config.lower_z * self.config.relative_error)
        kind, _ = kinds_and_tiers(customers)
        alike = np.full((len(MODES), len(MODES)), self.config.error_correlation)
        np.fill_diagonal(alike, 1.0)
        root = correlation_root(np.tile(alike, (len(KINDS), 1, 1)))
        draws = belief_draws(clerks_of(customers["customer_id"], inputs), as_of, kind, root)
        drawn = uplift * np.maximum(1.0 + self.config.relative_error * draws, 0.0)
        return score_table(
            customers["customer_id"],
            uplift=uplift,
            lower=lower,
            drawn=drawn,
            risk=self.risk(customers),
            lost_share=self.churn.share,
        )

    def uplift(self, customers: pl.DataFrame) -> Floats:
        """Return the expected incremental margin of one contact, shape (n, 3)."""
        margin, kind, tier = _columns(customers)
        floor = self.config.dormant_share * self.mean_margin[kind]
        yearly = np.maximum(np.minimum(margin, self.margin_cap), floor)
        return np.asarray(yearly[:, None] * self.share_per_contact()[kind, tier])

    def purchase_unit(self, customers: pl.DataFrame) -> Floats:
        """Return the margin of a typical purchase day of each customer, shape (n,).

        Shrunk to the mean of the kind with the weight of `UNIT_DAYS` purchase days, and capped
        like yearly margins: a measure of size in which effects of customers compare.
        """
        margin, kind, _ = _columns(customers)
        days = np.maximum(filled(customers["purchase_days_365d"], 0.0), 0.0)
        known = np.maximum(np.minimum(margin, self.margin_cap), 0.0)
        unit = (known + UNIT_DAYS * self.mean_unit[kind]) / (days + UNIT_DAYS)
        return np.asarray(np.maximum(unit, 1e-6))

    def risk(self, customers: pl.DataFrame) -> Floats:
        """Return the probability that one contact loses the friend, shape (n, 3)."""
        base = self.config.base_risk.array()
        fatigue = np.maximum(filled(customers["fatigue"], 0.0), 0.0)
        grown = base * (1.0 + self.config.fatigue_slope * fatigue)[:, None]
        return np.asarray(np.minimum(grown, self.config.risk_cap))

    def share_per_contact(self) -> Floats:
        """Return the share of the yearly margin that one contact adds, (kind, tier, mode)."""
        c = self.config
        lift = c.yearly_lift.array() / c.contacts_per_year.array()
        per_kind = c.category_fit.array()[:, None, :] * c.tier.array()[None, :, :]
        return np.asarray(c.believed_share * lift * per_kind)

    def _write(self, folder: Path) -> None:
        cap = None if np.isinf(self.margin_cap) else self.margin_cap
        state = {
            "mean_margin": self.mean_margin.tolist(),
            "mean_unit": self.mean_unit.tolist(),
            "margin_cap": cap,
            "churn": asdict(self.churn),
        }
        (folder / STATE_FILE).write_text(json.dumps(state, sort_keys=True))

    def _read(self, folder: Path) -> None:
        state = json.loads((folder / STATE_FILE).read_text())
        self.mean_margin = np.array(state["mean_margin"], dtype=np.float64)
        self.mean_unit = np.array(state["mean_unit"], dtype=np.float64)
        cap = state["margin_cap"]
        self.margin_cap = float("inf") if cap is None else float(cap)
        self.churn = LostShare(**state["churn"])


def filled(column: pl.Series, value: float) -> Floats:
    """Return a column as numbers, `value` where it is empty."""
    filled = column.cast(pl.Float64).fill_null(value).fill_nan(value)
    return np.asarray(filled.to_numpy(), dtype=np.float64)


def _columns(
    customers: pl.DataFrame,
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return yearly margin (0 where unknown), kind code and tier code of each customer."""
    codes = {kind: code for code, kind in enumerate(KINDS)}
    kind = customers["main_category_kind"].cast(pl.String)
    coded = kind.replace_strict(codes, default=0, return_dtype=pl.Int64).fill_null(0)
    tier = np.clip(filled(customers["price_tier"], 3.0), 1, TIERS).astype(np.int64) - 1
    return filled(customers["margin_365d_amount"], 0.0), coded.to_numpy(), tier


def kinds_and_tiers(
    customers: pl.DataFrame,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the code of each customer's main category kind, and of the price tier."""
    _, kind, tier = _columns(customers)
    return kind, tier
