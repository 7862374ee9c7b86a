"""Mode effects learned from assignments, residual on residual, starting from the prior.

Outcomes minus their expectation are regressed on arms minus their propensity, by a Bayesian linear
model whose widths the evidence sets (`effects`).

What a contact adds is measured in purchases of the customer's usual size and valued in money again.
It is a share of what the customer buys without a contact: the prior's share, scaled, with
levels per mode and kind of category whose width the data decide. Pilots, the
engine's own draws and clerks' history count together, history less by what its choice looks
like. Modes without overlap keep the prior. Purchases that were only pulled forward are netted by
what the effect leaves in the rest of a longer check window, shrunk towards nothing.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from pydantic import Field

from nba.arrays import Floats, Ints
from nba.cores import cores
from nba.models.base import CONTRIBUTION_SCHEMA, ModelConfig, ModelInputs
from nba.models.mode.churn.risk import RiskModel, fit_risk
from nba.models.mode.doubly_robust.nuisance import folds_of
from nba.models.mode.effects.contacts import (
    ARMS,
    ContactConfig,
    ContactEffects,
    Shape,
    cross_fitted,
    fit_contact_effects,
)
from nba.models.mode.effects.draws import belief_draws, clerks_of
from nba.models.mode.effects.modifiers import FATIGUE, RESPONSE_RATE, ModifierMeans
from nba.models.mode.effects.posterior import noise_variance
from nba.models.mode.estimators.encoder import Encoder
from nba.models.mode.prior import (
    BEHAVIOUR_COLUMNS,
    CONTACT_COLUMNS,
    PriorConfig,
    PriorMode,
    kinds_and_tiers,
)
from nba.models.mode.propensities.reading import ReadModel
from nba.models.mode.scores import MODES, customer_table, score_table
from nba.models.needs.base import ModeModel

ASSIGNMENTS: Final = "assignments"
FEATURES: Final = "assignment_features"
#: What the prior, the typical purchase and reactions are made of.
NEEDED_BEHAVIOUR: Final = (*BEHAVIOUR_COLUMNS, "purchase_days_365d")
NEEDED_CONTACT: Final = (*CONTACT_COLUMNS, RESPONSE_RATE, FATIGUE)
#: Features named per customer as what moves the effect most.
TOP_FEATURES: Final = 6
#: Customers scored at a time.
BATCH: Final = 50_000
STATE_FILE: Final = "effects.json"
ARRAYS_FILE: Final = "effects.npz"
BASE_FILE: Final = "base.txt"


class ResidualEffectsConfig(ModelConfig):
    """Parameters of the learned mode model."""

    prior: PriorConfig = Field(
        default=PriorConfig(), description="The prior table that learning starts from."
    )
    effects: ContactConfig = Field(default=ContactConfig(), description="How effects are learned.")
    behaviour: tuple[str, ...] = Field(
        default=(
            "days_since_purchase",
            "days_since_first_purchase",
            "purchase_days_30d",
            "purchase_days_90d",
            "purchase_days_365d",
            "spend_amount",
            "spend_365d_amount",
            "margin_90d_amount",
            "margin_365d_amount",
            "average_order_amount",
            "overdue_ratio",
            "gap_days_median",
            "price_tier",
            "discount_share",
            "category_count",
            "trend_ratio",
            "main_category_kind",
        ),
        description="Columns of `customer_behaviour` that effects may depend on.",
    )
    contact: tuple[str, ...] = Field(
        default=(
            "contacts_30d",
            "contacts_90d",
            "reads_90d",
            "days_since_contact",
            "response_rate",
            "unanswered_streak",
            "fatigue",
        ),
        description="Columns of `customer_contact` that effects may depend on.",
    )
    min_assignments: int = Field(
        default=400, ge=1, description="With fewer assignments the prior stands alone."
    )
    outcome_cap: float = Field(
        default=3.0,
        gt=0,
        description="Margins are learned in units of the customer's typical purchase, cut here.",
    )
    min_arm_rows: int = Field(
        default=30, ge=2, description="A mode with a smaller effective sample size is refused."
    )
    pull_forward_error: float = Field(
        default=0.3, ge=0, description="Standard deviation of the netting ratio around one."
    )
    risk_prior_contacts: float = Field(
        default=4000, gt=0, description="Contacts that the prior's risk is worth."
    )
    lower_z: float = Field(
        default=1.2816, ge=0, description="Standard errors below the estimate (1.2816: 90 %)."
    )
    threads: int = Field(default=4, ge=1, description="Threads that score batches.")


class ResidualEffectsMode(ModeModel):
    """Effects of the modes from logged assignments, shrunk to the prior where they are few.

    `fit` reads `assignments` (see `nba.models.mode.assignments.outcomes`) and
    `assignment_features`, the customer's columns as of each assignment (`assignment_id` and what
    the config names); without them, or with too few, the model is the prior. `report` says what
    was learned.
    """

    name: ClassVar[str] = "mode"
    kind: ClassVar[str] = "residual_effects"
    Config: ClassVar[type[ModelConfig]] = ResidualEffectsConfig
    config: ResidualEffectsConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self.prior = PriorMode(self.config.prior)
        self.encoder = Encoder((), ())
        self.effects: ContactEffects | None = None
        self.risk: RiskModel | None = None
        self.netting = 1.0
        self.report: dict[str, Any] = {"learned": False, "reason": "not fitted"}

    # -- fitting ----------------------------------------------------------------------

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Self:
        """Fit the prior's margins, and effects and risk where there are assignments."""
        self.prior.fit(training, as_of=as_of, seed=seed)
        self.effects, self.risk, self.netting = None, None, 1.0
        rows = self._rows(training)
        if rows.height < self.config.min_assignments:
            self.report = {"learned": False, "reason": f"{rows.height} assignments"}
            return self
        names = [*self.config.behaviour, *self.config.contact]
        self.encoder = Encoder.fit(rows, names)
        x = self.encoder.transform(rows)
        if not x.shape[1]:
            self.report = {"learned": False, "reason": "no feature was known at any assignment"}
            return self
        codes = {name: code for code, name in enumerate(ARMS)}
        mode = rows["mode"].cast(pl.String)
        arm = mode.replace_strict(codes, return_dtype=pl.Int64).to_numpy().astype(np.int64)
        group = rows["customer_id"].rank("dense").to_numpy().astype(np.int64)
        config = self.config.effects
        fold = folds_of(len(arm), config.folds, seed, group, arm)
        effects, drawn = fit_contact_effects(
            rows,
            x,
            arm,
            outcome=self._purchases(rows),
            prior=self.prior,
            fold=fold,
            group=group,
            config=config,
            min_arm_rows=self.config.min_arm_rows,
            seed=seed,
        )
        if ARMS[0] in effects.refused:
            self.report = {"learned": False, "reason": "no control group", **effects.report}
            return self
        self.effects = effects
        self.netting = self._netting(rows, x, arm, fold, seed)
        self.report = {
            "learned": True,
            "assignments": rows.height,
            "netting": self.netting,
            "lost_share": asdict(self.prior.churn),
            "refused": list(effects.refused),
            **effects.report,
        }
        self.risk = fit_risk(
            effects.read_model.terms(x),
            arm,
            rows["is_lost"].cast(pl.Float64).to_numpy(),
            drawn,
            base=self.config.prior.base_risk.array(),
            prior_contacts=self.config.risk_prior_contacts,
            fold=fold,
            folds=config.folds,
        )
        return self

    def _rows(self, training: ModelInputs) -> pl.DataFrame:
        """Return assignments with their features and outcomes, in an order fixed by ids."""
        if ASSIGNMENTS not in training or FEATURES not in training:
            return pl.DataFrame()
        if training[ASSIGNMENTS].is_empty():
            return pl.DataFrame()
        wanted = dict.fromkeys(
            [*self.config.behaviour, *NEEDED_BEHAVIOUR, *self.config.contact, *NEEDED_CONTACT]
        )
        features = training.require(FEATURES, ("assignment_id", *wanted))
        outcomes = ("mode", "propensity", "margin_amount", "margin_check_amount", "is_lost")
        known = training.require(ASSIGNMENTS, ("assignment_id", "customer_id", *outcomes))
        twice = [name for name in wanted if name in known.columns]
        joined = known.drop(twice).join(
            features.select("assignment_id", *wanted), on="assignment_id", how="inner"
        )
        return joined.filter(pl.col("mode").is_in(ARMS)).sort("assignment_id")

    def _purchases(self, rows: pl.DataFrame) -> Floats:
        """Return purchases in the window: half their number, half their margin in usual sizes.

        Without a number of purchase days, their margin alone.
        """
        margin = self._relative(rows, "margin_amount")
        if "purchase_days" not in rows.columns:
            return margin
        days = rows["purchase_days"].cast(pl.Float64).fill_null(0.0).to_numpy()
        return np.asarray((days + margin) / 2)

    def _relative(self, rows: pl.DataFrame, outcome: str) -> Floats:
        """Return margins in units of each customer's typical purchase, extremes cut."""
        margin = rows[outcome].cast(pl.Float64).fill_null(0.0).to_numpy()
        cap = self.config.outcome_cap
        return np.asarray(np.clip(margin / self.prior.purchase_unit(rows), -cap, cap))

    def _netting(self, rows: pl.DataFrame, x: Floats, arm: Ints, fold: Ints, seed: int) -> float:
        """Return what of an effect is left after the check window, as a ratio around one.

        The margin between the two windows is regressed on the learned effects: purchases that were
        only pulled forward are missing there. Only rows that were drawn count: whom clerks choose
        goes on buying more, whatever the contact did; and only those whose check window has closed.
        """
        assert self.effects is not None
        width = self.config.pull_forward_error
        checked = rows["margin_check_amount"].is_not_null().to_numpy()
        rows, x, arm, fold = rows.filter(checked), x[checked], arm[checked], fold[checked]
        drawn = rows["propensity"].is_not_null().to_numpy()
        if width == 0 or not drawn.any():
            return 1.0
        later = self._relative(rows, "margin_check_amount") - self._relative(rows, "margin_amount")
        rest = later - cross_fitted(x, later, fold, self.config.effects, seed)
        effect, _, _ = self.effects.effects(rows, x)
        listed = np.where(arm > 0, effect[np.arange(len(arm)), np.maximum(arm - 1, 0)], 0.0)
        surprise = listed - cross_fitted(x, listed, fold, self.config.effects, seed)
        weight = 1.0 / noise_variance(rest, np.abs(effect).sum(axis=1) + 1e-9)
        weight = np.where(drawn, weight, 0.0)
        seen = float(weight @ np.square(surprise))
        slope = float((weight * surprise) @ rest) / (seen + width**-2)
        return float(np.clip(1.0 + slope, 0.0, 1.5))

    # -- scoring ----------------------------------------------------------------------

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return uplift, lower bound, one draw and risk per customer and mode."""
        wanted = dict.fromkeys([*self.config.behaviour, *NEEDED_BEHAVIOUR])
        contact = dict.fromkeys([*self.config.contact, *NEEDED_CONTACT])
        customers = customer_table(inputs, tuple(wanted), tuple(contact))
        if self.effects is None:
            return self.prior.score(inputs, as_of=as_of)
        clerks = clerks_of(customers["customer_id"], inputs)
        starts = range(0, customers.height, BATCH)

        def scored(start: int) -> tuple[Floats, ...]:
            part = slice(start, start + BATCH)
            return self._score_batch(customers[part], clerks[part], as_of)

        with ThreadPoolExecutor(min(self.config.threads, cores())) as pool:
            parts = list(pool.map(scored, starts))
        empty = np.zeros((0, len(MODES)))
        uplift, lower, drawn, risk = (
            np.vstack([empty, *(part[i] for part in parts)]) for i in range(4)
        )
        return score_table(
            customers["customer_id"],
            uplift=uplift,
            lower=lower,
            drawn=drawn,
            risk=risk,
            lost_share=self.prior.churn.share,
        )

    def _score_batch(
        self, customers: pl.DataFrame, clerks: pl.Series, as_of: datetime
    ) -> tuple[Floats, ...]:
        assert self.effects is not None
        x = self.encoder.transform(customers)
        effect, of_kind, variance = self.effects.effects(customers, x)
        unit = self.prior.purchase_unit(customers)[:, None] * self.netting
        uplift, error = effect * unit, np.sqrt(of_kind) * unit
        lower = uplift - self.config.lower_z * np.sqrt(variance) * unit
        prior, width = self.prior.uplift(customers), self.config.prior.relative_error
        for mode in self.effects.refused:
            column = MODES.index(mode)
            uplift[:, column] = prior[:, column]
            error[:, column] = width * prior[:, column]
            lower[:, column] = (1.0 - self.config.lower_z * width) * prior[:, column]
        kind, _ = kinds_and_tiers(customers)
        drawn = uplift + error * belief_draws(clerks, as_of, kind, self.effects.root)
        if self.config.effects.is_harmless:
            drawn = np.maximum(drawn, 0.0)
        prior_risk = self.prior.risk(customers)
        risk = prior_risk
        if self.risk is not None:
            fatigue = prior_risk / self.config.prior.base_risk.array()
            rate = self.risk.score(self.effects.read_model.terms(x), self.config.prior.risk_cap)
            risk = rate if self.risk.weight.any() else rate * fatigue
            risk = np.minimum(risk, self.config.prior.risk_cap)
        return uplift, lower, drawn, risk

    def contributions(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return the features that move each customer's effect most; none while it is the prior.

        Levels of one text column count together.
        """
        if self.effects is None:
            return super().contributions(inputs, as_of=as_of)
        wanted = dict.fromkeys([*self.config.behaviour, *NEEDED_BEHAVIOUR])
        contact = dict.fromkeys([*self.config.contact, *NEEDED_CONTACT])
        customers = customer_table(inputs, tuple(wanted), tuple(contact))
        starts = range(0, customers.height, BATCH)
        return pl.concat(
            [
                pl.DataFrame(schema=CONTRIBUTION_SCHEMA),
                *(self._contributions(customers[start : start + BATCH]) for start in starts),
            ]
        )

    def _contributions(self, customers: pl.DataFrame) -> pl.DataFrame:
        assert self.effects is not None
        names = self.encoder.names
        moved = self.effects.contributions(customers, self.encoder.transform(customers), names)
        columns = np.array([name.partition("=")[0] for name in names])
        features = sorted(set(columns))
        merged = np.column_stack([moved[:, columns == name].sum(axis=1) for name in features])
        top = np.argsort(-np.abs(merged), axis=1, kind="stable")[:, :TOP_FEATURES]
        count = top.shape[1]
        return pl.DataFrame(
            {
                "customer_id": customers["customer_id"].gather(
                    np.repeat(np.arange(len(top)), count)
                ),
                "feature": np.array(features)[top.ravel()],
                "contribution": np.take_along_axis(merged, top, axis=1).ravel(),
            },
            schema=CONTRIBUTION_SCHEMA,
        )

    # -- saving -----------------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        self.prior._write(folder)
        state: dict[str, Any] = {
            "encoder": self.encoder.to_dict(),
            "report": self.report,
            "netting": self.netting,
        }
        if self.effects is not None and self.risk is not None:
            effects, read_model = self.effects, self.effects.read_model
            state |= {
                "powers": [shape.powers for shape in effects.shapes],
                "weights": [shape.weight for shape in effects.shapes],
                "modifier_means": asdict(effects.modifier_means),
                "refused": list(effects.refused),
                "read_share": read_model.mean,
                "is_recorded": read_model.is_recorded,
                "churned": self.risk.churned,
            }
            np.savez(
                folder / ARRAYS_FILE,
                share=np.array([shape.share for shape in effects.shapes]),
                variance=np.array([shape.variance for shape in effects.shapes]),
                root=effects.root,
                read_fill=read_model.fill,
                read_scale=read_model.scale,
                read_weight=read_model.weight,
                read_level=read_model.level,
                rate=self.risk.rate,
                weight=self.risk.weight,
            )
            effects.base.save_model(str(folder / BASE_FILE))
        (folder / STATE_FILE).write_text(json.dumps(state, sort_keys=True, indent=1))

    def _read(self, folder: Path) -> None:
        self.prior._read(folder)
        state = json.loads((folder / STATE_FILE).read_text())
        self.encoder = Encoder.from_dict(state["encoder"])
        self.report = state["report"]
        self.netting = state["netting"]
        if "powers" not in state:
            return
        import lightgbm

        with np.load(folder / ARRAYS_FILE, allow_pickle=False) as arrays:
            read_model = ReadModel(
                **{k: arrays[f"read_{k}"] for k in ("fill", "scale", "weight", "level")},
                mean=state["read_share"],
                is_recorded=state["is_recorded"],
            )
            parts = zip(
                state["powers"], state["weights"], arrays["share"], arrays["variance"], strict=True
            )
            self.effects = ContactEffects(
                [Shape(tuple(powers), *rest) for powers, *rest in parts],
                lightgbm.Booster(model_file=str(folder / BASE_FILE)),
                read_model,
                ModifierMeans(**state["modifier_means"]),
                arrays["root"],
                self.config.effects.individual_spread,
                tuple(state["refused"]),
                {},
            )
            self.risk = RiskModel(arrays["rate"], arrays["weight"], state["churned"])
