"""Mode effects learned from assignments, starting from the prior.

Margins are learned in units of the customer's typical purchase, which tames the few very large
ones, and are valued in money again. The prior's effect of each mode is first scaled: its scale has
prior mean one and is updated by the doubly robust scores, so that few data leave the prior and
many unlearn it. What remains gets a constant per mode (shrunk likewise) and the proven
heterogeneity of the multi-arm learner. Modes without overlap keep the prior. Purchases that were
only pulled forward are netted by the ratio of the effect over a longer check window to that
over the outcome window, shrunk towards one.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from pydantic import Field

from nba.models.base import Frames, Model, ModelConfig
from nba.models.mode.encode import Encoder
from nba.models.mode.frame import MODES, Floats, customer_frame, score_frame
from nba.models.mode.learner import Effects, Heterogeneity, learn_from_scores, mean_errors
from nba.models.mode.linear import Basis, Ints
from nba.models.mode.nuisance import LearnerConfig, Nuisance, Sample, fit_nuisance, folds_of
from nba.models.mode.prior import BEHAVIOUR_COLUMNS, CONTACT_COLUMNS, PriorConfig, PriorMode
from nba.models.mode.risk import RiskModel, fit_risk
from nba.schema.words import Mode

ASSIGNMENTS: Final = "assignments"
FEATURES: Final = "assignment_features"
ARMS: Final = (str(Mode.NONE), *MODES)
#: What the prior and the typical purchase are made of.
MONEY_COLUMNS: Final = (*BEHAVIOUR_COLUMNS, "purchase_days_365d")
#: Customers scored at a time.
BATCH: Final = 50_000
STATE_FILE: Final = "effects.json"
ARRAYS_FILE: Final = "effects.npz"


class DoublyRobustConfig(ModelConfig):
    """Parameters of the learned mode model."""

    prior: PriorConfig = Field(
        default=PriorConfig(), description="The prior table that learning starts from."
    )
    learner: LearnerConfig = Field(
        default=LearnerConfig(), description="The doubly robust learner."
    )
    behaviour: tuple[str, ...] = Field(
        default=(
            "days_since_purchase",
            "purchase_days_365d",
            "spend_365d_amount",
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
    scale_error: float = Field(
        default=0.6, gt=0, description="Standard deviation of the prior's scale around one."
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


class DoublyRobustMode(Model):
    """Effects of the modes from logged assignments, shrunk to the prior where they are few.

    `fit` reads `assignments` (see `nba.models.mode.outcomes`) and `assignment_features`, the
    customer's columns as of each assignment (`assignment_id` and what the config names); without
    them, or with too few, the model is the prior. `report` says what was learned.
    """

    name: ClassVar[str] = "mode"
    kind: ClassVar[str] = "doubly_robust"
    Config: ClassVar[type[ModelConfig]] = DoublyRobustConfig
    config: DoublyRobustConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self.prior = PriorMode(self.config.prior)
        self.encoder = Encoder((), ())
        self.effects: Effects | None = None
        self.risk: RiskModel | None = None
        self.scale = np.ones(len(ARMS))
        self.scale_error = np.full(len(ARMS), self.config.prior.relative_error)
        self.netting = np.ones(len(ARMS))
        self.report: dict[str, Any] = {"learned": False, "reason": "not fitted"}

    # -- fitting ----------------------------------------------------------------------

    def fit(self, training: Frames, *, as_of: datetime, seed: int) -> Self:
        """Fit the prior's margins, and effects and risk where there are assignments."""
        self.prior.fit(training, as_of=as_of, seed=seed)
        rows = self._rows(training)
        if rows.height < self.config.min_assignments:
            self.report = {"learned": False, "reason": f"{rows.height} assignments"}
            return self
        self.encoder = Encoder.fit(rows, [*self.config.behaviour, *self.config.contact])
        sample = self._sample(rows)
        config = self.config.learner
        fold = folds_of(len(sample.arm), config.folds, seed, sample.group, sample.arm)
        basis = Basis.fit(sample.x)
        terms = basis.transform(sample.x)
        nuisance = fit_nuisance(sample, len(ARMS), terms, fold, config, seed)
        self._learn(rows, sample, nuisance, basis, fold, seed)
        self.risk = fit_risk(
            terms,
            sample.arm,
            rows["is_lost"].cast(pl.Float64).to_numpy(),
            nuisance.propensity,
            base=self.config.prior.base_risk.array(),
            prior_contacts=self.config.risk_prior_contacts,
            fold=fold,
            folds=config.folds,
        )
        return self

    def _rows(self, training: Frames) -> pl.DataFrame:
        """Return assignments with their features and outcomes, in an order fixed by ids."""
        if ASSIGNMENTS not in training or FEATURES not in training:
            return pl.DataFrame()
        wanted = dict.fromkeys([*self.config.behaviour, *MONEY_COLUMNS, *self.config.contact])
        features = training.require(FEATURES, ("assignment_id", *wanted))
        outcomes = ("mode", "propensity", "margin_amount", "margin_check_amount", "is_lost")
        known = training.require(ASSIGNMENTS, ("assignment_id", "customer_id", *outcomes))
        joined = known.select("assignment_id", "customer_id", *outcomes).join(
            features.select("assignment_id", *wanted), on="assignment_id", how="inner"
        )
        return joined.filter(pl.col("mode").is_in(ARMS)).sort("assignment_id")

    def _sample(self, rows: pl.DataFrame, outcome: str = "margin_amount") -> Sample:
        chance = rows["propensity"].cast(pl.Float64)
        arm = rows["mode"].cast(pl.String)
        return Sample(
            x=self.encoder.transform(rows),
            arm=arm.replace_strict(list(ARMS), list(range(len(ARMS))), return_dtype=pl.Int64)
            .to_numpy()
            .astype(np.int64),
            outcome=self._relative(rows, outcome),
            propensity=None
            if chance.null_count() == len(chance)
            else chance.fill_null(float("nan")).to_numpy().astype(np.float64),
            group=rows["customer_id"].rank("dense").to_numpy().astype(np.int64),
        )

    def _relative(self, rows: pl.DataFrame, outcome: str) -> Floats:
        """Return margins in units of each customer's typical purchase, extremes cut."""
        margin = rows[outcome].cast(pl.Float64).fill_null(0.0).to_numpy()
        cap = self.config.outcome_cap
        return np.asarray(np.clip(margin / self.prior.purchase_unit(rows), -cap, cap))

    def _learn(
        self,
        rows: pl.DataFrame,
        sample: Sample,
        nuisance: Nuisance,
        basis: Basis,
        fold: Ints,
        seed: int,
    ) -> None:
        """Scale the prior, then learn what it leaves."""
        scores = nuisance.scores(sample)
        unit = self.prior.purchase_unit(rows)[:, None]
        prior = np.c_[np.zeros(rows.height), self.prior.uplift(rows) / unit]
        refused = {check.arm: check.refused for check in nuisance.overlap if check.refused}
        if 0 in refused:
            self.report = {"learned": False, "reason": f"no control group: {refused[0]}"}
            return
        gain = scores - scores[:, [0]]
        learned = [one for one in range(1, len(ARMS)) if one not in refused]
        for one in learned:
            self._update_scale(one, prior[:, one], gain[:, one], sample.group)
        rest = scores - prior * self.scale
        effects = learn_from_scores(
            sample, rest, nuisance, basis, fold, config=self.config.learner, seed=seed
        )
        mean, error = self._shrunk_means(rest - rest[:, [0]], prior, sample.group)
        for one in refused:
            mean[one], error[one] = 0.0, 0.0
            effects.found[one] = Heterogeneity()
        self._net(rows, sample, nuisance, gain, learned)
        self.effects = replace(effects, mean=mean, mean_error=error, nuisance=None)
        self.report = {
            "learned": True,
            "assignments": rows.height,
            "propensity_model": nuisance.propensity_model,
            "overlap": [{"mode": ARMS[c.arm]} | asdict(c) for c in nuisance.overlap],
            "prior_scale": dict(zip(ARMS, self.scale.tolist(), strict=True)),
            "mean_beyond_prior": dict(zip(ARMS, mean.tolist(), strict=True)),
            "netting": dict(zip(ARMS, self.netting.tolist(), strict=True)),
            "heterogeneity_t": {m: h.t for m, h in zip(ARMS, effects.found, strict=True)},
            "heterogeneity_kept": {m: h.kept for m, h in zip(ARMS, effects.found, strict=True)},
        }

    def _update_scale(self, one: int, prior: Floats, gain: Floats, group: Ints | None) -> None:
        """Update the scale of one mode's prior by its regression on the scores."""
        spread = float(prior @ prior)
        if spread <= 0:
            return
        slope = float(prior @ gain) / spread
        error = mean_errors((prior * (gain - slope * prior))[:, None], group)[0]
        error = max(error * len(gain) / spread, 1e-9)
        own, seen = self.config.scale_error**-2, error**-2
        self.scale[one] = max((own + seen * slope) / (own + seen), 0.0)
        self.scale_error[one] = (own + seen) ** -0.5

    def _shrunk_means(
        self, rest: Floats, prior: Floats, group: Ints | None
    ) -> tuple[Floats, Floats]:
        """Return the mean effect beyond the prior per arm, shrunk to zero, and its error."""
        error = np.maximum(mean_errors(rest, group), 1e-9)
        width = np.maximum(prior.mean(axis=0) * self.config.scale_error, 1e-9)
        share = width**2 / (width**2 + error**2)
        mean = rest.mean(axis=0) * share
        mean[0] = 0.0
        return mean, np.sqrt(share) * error * (np.arange(len(ARMS)) > 0)

    def _net(
        self,
        rows: pl.DataFrame,
        sample: Sample,
        nuisance: Nuisance,
        gain: Floats,
        learned: list[int],
    ) -> None:
        """Learn what share of each mode's effect outlasts the check window."""
        outcome = self._relative(rows, "margin_check_amount")
        later = Sample(sample.x, sample.arm, outcome, sample.propensity, sample.group)
        check = nuisance.scores(later)
        check = check - check[:, [0]]
        width = self.config.pull_forward_error
        for one in learned:
            level = gain[:, one].mean()
            if level <= 0 or width == 0:
                continue
            ratio = check[:, one].mean() / level
            error = mean_errors((check[:, one] - ratio * gain[:, one])[:, None], sample.group)[0]
            seen = (max(error, 1e-9) / level) ** -2
            value = (width**-2 + seen * ratio) / (width**-2 + seen)
            self.netting[one] = float(np.clip(value, 0.0, 1.5))

    # -- scoring ----------------------------------------------------------------------

    def score(self, inputs: Frames, *, as_of: datetime) -> pl.DataFrame:
        """Return uplift, lower bound and risk of one assignment per customer and mode."""
        wanted = dict.fromkeys([*self.config.behaviour, *MONEY_COLUMNS])
        contact = dict.fromkeys([*self.config.contact, *CONTACT_COLUMNS])
        frame = customer_frame(inputs, tuple(wanted), tuple(contact))
        if self.effects is None:
            return self.prior.score(inputs, as_of=as_of)
        starts = range(0, frame.height, BATCH)
        with ThreadPoolExecutor(self.config.threads) as pool:
            parts = list(pool.map(lambda i: self._score_batch(frame[i : i + BATCH]), starts))
        empty = np.zeros((0, len(MODES)))
        uplift, lower, risk = (np.vstack([empty, *(part[i] for part in parts)]) for i in range(3))
        return score_frame(frame["customer_id"], uplift, lower, risk)

    def _score_batch(self, frame: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
        assert self.effects is not None
        x = self.encoder.transform(frame)
        terms = self.effects.basis.transform(x)
        prior, unit = self.prior.uplift(frame), self.prior.purchase_unit(frame)[:, None]
        learned = self.effects.mean + self.effects.deviations(x, terms)
        seen = np.isin(np.arange(len(ARMS)), self.effects.open_arms)
        beyond = (learned - learned[:, [0]]) * seen
        effect = prior * self.scale[1:] + unit * beyond[:, 1:]
        spread = np.square(self.effects.mean_error) + self.effects.variances(terms, against=0)
        spread = (spread * seen)[:, 1:]
        variance = np.square(prior * self.scale_error[1:]) + np.square(unit) * spread
        lower = effect - self.config.lower_z * np.sqrt(variance)
        prior_risk = self.prior.risk(frame)
        risk = prior_risk
        if self.risk is not None:
            fatigue = prior_risk / self.config.prior.base_risk.array()
            rate = self.risk.score(terms, self.config.prior.risk_cap)
            risk = rate if self.risk.weight.any() else rate * fatigue
            risk = np.minimum(risk, self.config.prior.risk_cap)
        net = self.netting[1:]
        return effect * net, np.minimum(lower * net, effect * net), risk

    # -- saving -----------------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        self.prior._write(folder)
        state: dict[str, Any] = {
            "encoder": self.encoder.to_dict(),
            "report": self.report,
            "scale": self.scale.tolist(),
            "scale_error": self.scale_error.tolist(),
            "netting": self.netting.tolist(),
        }
        if self.effects is not None and self.risk is not None:
            effects = self.effects
            state |= {
                "reference": effects.reference,
                "open_arms": list(effects.open_arms),
                "found": [asdict(one) for one in effects.found],
                "losses": self.risk.losses,
            }
            arrays = {f"basis_{key}": value for key, value in effects.basis.arrays().items()}
            np.savez(
                folder / ARRAYS_FILE,
                mean=effects.mean,
                mean_error=effects.mean_error,
                ridge=effects.ridge,
                rate=self.risk.rate,
                weight=self.risk.weight,
                **arrays,  # type: ignore[arg-type]
            )
            for one, booster in enumerate(effects.boosters):
                if booster is not None:
                    booster.save_model(str(folder / f"effect_{one}.txt"))
            if effects.outcome_booster is not None:
                effects.outcome_booster.save_model(str(folder / "outcome.txt"))
        (folder / STATE_FILE).write_text(json.dumps(state, sort_keys=True, indent=1))

    def _read(self, folder: Path) -> None:
        self.prior._read(folder)
        state = json.loads((folder / STATE_FILE).read_text())
        self.encoder = Encoder.from_dict(state["encoder"])
        self.report = state["report"]
        self.scale = np.array(state["scale"])
        self.scale_error = np.array(state["scale_error"])
        self.netting = np.array(state["netting"])
        if "reference" not in state:
            return
        with np.load(folder / ARRAYS_FILE, allow_pickle=False) as arrays:
            basis = Basis(**{k: arrays[f"basis_{k}"] for k in Basis.__dataclass_fields__})
            self.effects = Effects(
                config=self.config.learner,
                arms=len(ARMS),
                reference=state["reference"],
                open_arms=tuple(state["open_arms"]),
                mean=arrays["mean"],
                mean_error=arrays["mean_error"],
                basis=basis,
                ridge=arrays["ridge"],
                found=[_heterogeneity(one) for one in state["found"]],
                boosters=[_booster(folder / f"effect_{one}.txt") for one in range(len(ARMS))],
                outcome_booster=_booster(folder / "outcome.txt"),
            )
            self.risk = RiskModel(arrays["rate"], arrays["weight"], state["losses"])


def _heterogeneity(state: dict[str, Any]) -> Heterogeneity:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in state.items()
    }
    return Heterogeneity(**values)


def _booster(path: Path) -> Any:
    if not path.exists():
        return None
    import lightgbm

    return lightgbm.Booster(model_file=str(path))
