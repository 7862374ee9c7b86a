"""What a contact about a need is worth to a shop, per customer, need and mode.

extra margin = chance that this contact in this mode wakes this need x margin of an order there
for this customer, less what is only pulled forward. The chance is a product of factors
(`design`), all of which are learned together (`learning`) and start where a good list without
learning stands.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from scipy.special import expit, logit

from nba.arrays import Floats
from nba.models.base import ModelConfig, ModelInputs
from nba.models.contact_value.config import ContactValueConfig
from nba.models.contact_value.design import GROUPS, NAMES, Situation
from nba.models.contact_value.draws import normal_draws
from nba.models.contact_value.fit import Posterior
from nba.models.contact_value.hours import HourHabits
from nba.models.contact_value.learning import learn, situation_of, with_season
from nba.models.contact_value.responsiveness import Responsiveness, counts_of_view
from nba.models.contact_value.rows import TABLE, near_birthday
from nba.models.contact_value.season import DemandSeason
from nba.models.mode.prior import PriorMode
from nba.models.mode.scores import CONTACT, MODES, STATE
from nba.models.needs.base import (
    AHEAD_DAYS,
    ModeModel,
    best_of_needs,
    fatigue_frame,
    need_columns,
    needs_customers,
)
from nba.models.needs.build import build_needs, rhythm_of
from nba.models.needs.pairs import with_pairs
from nba.models.needs.rhythm import Rhythm, chance_without
from nba.models.purchases import PURCHASES, day_number

STATE_FILE: Final = "contact_value.json"
ARRAYS_FILE: Final = "contact_value.npz"
#: So much more of a season than where contacts were drawn is another time: they do not end lists.
OTHER_SEASON: Final = 0.5
#: How due a category is right after it was bought, for what is expected of later days.
FRESH: Final = 0.3


class ContactValueMode(ModeModel):
    """Extra margin of a contact, per customer, need and mode.

    `fit` reads the feature views and, where there are contacts, `contact_rows` (see
    `nba.models.contact_value.rows`). With fewer than `min_contacts` the priors stand alone.
    `report` says what was learned of every factor.
    """

    kind: ClassVar[str] = "contact_value"
    Config: ClassVar[type[ModelConfig]] = ContactValueConfig
    config: ContactValueConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self.prior = PriorMode(self.config.risk)
        self.rhythm = Rhythm({}, {}, {})
        self.answers = Responsiveness()
        self.hours = HourHabits.none()
        self.season = DemandSeason.none()
        self.levels: dict[str, dict[str, float]] = {}
        self.kept, self.spread_over = 1.0, 1.0
        self.report: dict[str, Any] = {"learned": False, "reason": "not fitted"}
        self._believe()

    def _believe(self) -> None:
        """Set the posterior to the prior."""
        config = self.config
        self.posterior = Posterior(*config.prior(), np.zeros(0), 1.0)
        self.levels = {"category": {}, "clerk_id": {}}
        self.kept = 1.0 + min(config.pull_forward, 0.0)
        self.spread_over = config.spread_over

    # -- fitting ----------------------------------------------------------------------

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Self:
        """Learn the shop's rhythm and margins, who answers and, from contacts, what they change."""
        self.prior.fit(training, as_of=as_of, seed=seed)
        self.rhythm = rhythm_of(training)
        self.answers, self.hours = Responsiveness(), HourHabits.none()
        self.season = DemandSeason.none()
        if PURCHASES in training:
            self.season = DemandSeason.of(training[PURCHASES])
        self._believe()
        if CONTACT in training:
            self.answers = Responsiveness.of(counts_of_view(training[CONTACT]))
            self.hours = HourHabits.of(training[CONTACT], seed)
        rows = training.get(TABLE)
        contacts = 0 if rows is None or rows.is_empty() else int((rows["mode"] != "none").sum())
        if rows is None or contacts < self.config.min_contacts:
            self.report = {"learned": False, "reason": f"{contacts} contacts"}
            return self
        found = learn(rows, self.rhythm, self.answers, self.config, seed, self.season)
        self.posterior, self.levels = found.posterior, found.levels
        self.kept, self.spread_over = found.kept, found.spread_over
        self.report = {"learned": True, **found.report}
        return self

    @property
    def p_nothing(self) -> float:
        """The chance that contacts add nothing, by what the contacts that were drawn brought.

        Contacts of clerks do not count here: what they say hangs on who reads what.
        """
        config = self.config
        scale, error = self.report.get("drawn_scale", (0.0, np.inf))
        if not np.isfinite(error):
            return config.nothing
        spread = np.hypot(error, config.scale_error)
        away, from_believed = scale / error, (scale - config.scale) / spread
        ratio = np.log(spread / error) + 0.5 * (from_believed**2 - away**2)
        return float(expit(logit(config.nothing) + ratio))

    @property
    def doubt(self) -> float:
        """By how much the scale is lowered for the list, in its own units; mostly zero.

        Once enough was drawn and the chance that contacts add nothing has reached `stop_at`, the
        list goes by a scale of at most zero: it shrinks to service and to what the exploration
        floor tries.
        """
        mean, error = self._scale()
        config = self.config
        if (
            self.report.get("drawn_contacts", 0) < config.min_drawn
            or self.p_nothing <= config.stop_at
        ):
            return 0.0
        return max(mean, config.lower_z * error)

    def _doubt_in(self, season: float) -> float:
        """Return `doubt`, but none in a season that what was drawn so far hardly speaks of."""
        is_other = season - self.report.get("drawn_season", 0.0) > OTHER_SEASON
        return 0.0 if is_other else self.doubt

    def _scale(self) -> tuple[float, float]:
        return float(self.posterior.mean[0]), float(np.sqrt(self.posterior.covariance[0, 0]))

    def finding(self) -> str:
        """Return whether contacts were seen to add anything, once there is enough to say so."""
        if not self.report.get("learned"):
            return ""
        mean, error = self._scale()
        if mean + self.config.lower_z * error < 0.0:
            return "contacts do harm"
        return "contacts add nothing so far" if self.doubt > 0.0 else ""

    # -- scoring ----------------------------------------------------------------------

    def score_needs(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return the needs with what a contact about each is worth, see `need_columns`."""
        needs = build_needs(inputs, self.rhythm)
        season = float(self.season.at(np.array([day_number(as_of)]))[0])
        known = _with_people(needs, inputs, as_of).with_columns(season=pl.lit(season))
        situation = situation_of(known, self.rhythm, self.answers)
        margin = needs["order_margin"].to_numpy() * self.spread_over
        level = self._level(known)
        cholesky = np.linalg.cholesky(self._explored())
        people, place = np.unique(needs["customer_id"].to_numpy(), return_inverse=True)
        draws = normal_draws(pl.Series(people, dtype=pl.String), as_of, len(NAMES) + 1)
        columns: dict[str, Floats] = {}
        doubt = self._doubt_in(season)
        for mode, name in enumerate(MODES):
            design = situation.design(np.full(needs.height, mode))
            chance = self.posterior.effect(design) * level
            gradient = self.posterior.gradient(design) * level[:, None]
            moved = np.einsum("ij,ij->i", gradient @ cholesky, draws[place])
            spread = np.sqrt(np.maximum(self.posterior.variance(design), 0.0)) * level
            kept = margin * self.kept
            columns[f"chance_{name}"] = chance
            columns[f"uplift_amount_{name}"] = chance * margin
            columns[f"uplift_lower_{name}"] = (chance - self.config.lower_z * spread) * margin
            drawn = drawn_around(chance, moved)
            if doubt:
                drawn = drawn - doubt * gradient[:, 0]
            columns[f"uplift_drawn_{name}"] = drawn * kept
            if mode == 0:
                columns |= self._factors(design, level)
        columns |= self._ahead(situation)
        scored = needs.with_columns(
            pl.Series(name, values) for name, values in columns.items()
        ).select(need_columns())
        return with_pairs(scored, self._share_of_two())

    def chances(self, rows: pl.DataFrame) -> Floats:
        """Return the chance of an extra order by a contact about each row, shape (rows, modes).

        Parameters
        ----------
        rows : DataFrame
            As from `nba.models.contact_value.rows.contact_rows`.
        """
        rows = with_season(rows, self.season)
        situation, level = situation_of(rows, self.rhythm, self.answers), self._level(rows)
        return np.column_stack(
            [
                self.posterior.effect(situation.design(np.full(rows.height, mode))) * level
                for mode in range(len(MODES))
            ]
        )

    def _share_of_two(self) -> float:
        """Return what is left of the effect on a need when a contact is about two."""
        several = self.posterior.mean[1 + NAMES.index("several")]
        return float(np.exp(min(several, 0.0) * np.log(2.0)))

    def _explored(self) -> Floats:
        """Return the covariance that lists explore: of what decides between modes and needs."""
        share = np.array([0.0, *([self.config.draw_share] * len(NAMES))])
        return self.posterior.covariance * np.outer(share, share) + 1e-12 * np.eye(len(share))

    def _level(self, rows: pl.DataFrame) -> Floats:
        """Return the factor of each row's category and clerk."""
        level = np.ones(rows.height)
        for name, factors in self.levels.items():
            if factors and name in rows.columns:
                own = rows[name].replace_strict(factors, default=1.0, return_dtype=pl.Float64)
                level = level * own.fill_null(1.0).to_numpy()
        return level

    def _factors(self, design: Floats, level: Floats) -> dict[str, Floats]:
        """Return the groups of factors that do not depend on the mode, for explanations."""
        theta = self.posterior.mean[1:]
        return {
            f"factor_{group}": np.exp(design[:, list(columns)] @ theta[list(columns)])
            for group, columns in GROUPS.items()
        } | {"factor_level": level}

    def _ahead(self, situation: Situation) -> dict[str, Floats]:
        """Return what the same contact would be worth in some days, relative to today.

        The category becomes more due, or is bought in the meantime.
        """
        gap = situation.gap
        now = self._curve(situation.due, situation.p_without)
        fresh = self._curve(np.full_like(gap, FRESH), _without(np.full_like(gap, FRESH), gap))
        never = ~np.isfinite(situation.due)
        columns = {}
        for days in AHEAD_DAYS:
            due = situation.due + days / gap
            bought = chance_without(np.nan_to_num(situation.due, nan=9.0), gap, float(days))
            later = (1.0 - bought) * self._curve(due, _without(due, gap)) + bought * fresh
            ratio = np.where(never, 1.0, later / np.maximum(now, 1e-9))
            columns[f"ahead_{days}d"] = np.clip(ratio, 0.0, 5.0)
        return columns

    def _curve(self, due: Floats, p_without: Floats) -> Floats:
        """Return the part of the chance that depends on how due the category is."""
        plain = Situation.plain(due, p_without)
        columns = list(GROUPS["due"])
        theta = self.posterior.mean[1:]
        return np.asarray(np.exp(plain.design(plain.need)[:, columns] @ theta[columns]))

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return per customer and mode what the contact about the best need is worth."""
        return self.score_modes(self.score_needs(inputs, as_of=as_of), inputs, as_of=as_of)

    def score_modes(
        self, needs: pl.DataFrame, inputs: ModelInputs, *, as_of: datetime
    ) -> pl.DataFrame:
        """Return the same of needs that are scored already."""
        customers = needs_customers(needs)
        risk = self.prior.risk(fatigue_frame(customers, inputs))
        return best_of_needs(
            needs, customers, risk, self.prior.churn.share, self._reach(customers, inputs)
        )

    def _reach(self, customers: pl.Series, inputs: ModelInputs) -> pl.Series | None:
        """Return the chance of a read by hour for each customer, where hours are known."""
        if CONTACT not in inputs:
            return None
        curves = self.hours.curves(inputs[CONTACT]).unique("customer_id")
        wanted = customers.to_frame("customer_id")
        return wanted.join(curves, on="customer_id", how="left", maintain_order="left")["reach"]

    # -- keeping ----------------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        self.prior._write(folder)
        state = {
            "rhythm": self.rhythm.state(),
            "answers": self.answers.state(),
            "hours": self.hours.state(),
            "season": self.season.state(),
            "levels": self.levels,
            "kept": self.kept,
            "spread_over": self.spread_over,
            "inflation": self.posterior.inflation,
            "report": self.report,
        }
        (folder / STATE_FILE).write_text(json.dumps(state, sort_keys=True))
        np.savez(
            folder / ARRAYS_FILE,
            mean=self.posterior.mean,
            covariance=self.posterior.covariance,
            nuisance=self.posterior.nuisance,
        )

    def _read(self, folder: Path) -> None:
        self.prior._read(folder)
        state = json.loads((folder / STATE_FILE).read_text())
        self.rhythm = Rhythm(**state["rhythm"])
        self.answers = Responsiveness.read(state["answers"])
        self.hours = HourHabits.read(state["hours"])
        self.season = DemandSeason.read(state["season"])
        self.levels = state["levels"]
        self.kept, self.spread_over = state["kept"], state["spread_over"]
        self.report = state["report"]
        with np.load(folder / ARRAYS_FILE, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        self.posterior = Posterior(**arrays, inflation=state["inflation"])


def drawn_around(chance: Floats, moved: Floats) -> Floats:
    """Return draws around a chance: log-normal with the chance as its mean where it is positive."""
    relative = moved / np.maximum(np.abs(chance), 1e-12)
    wide = np.clip(relative, -1.5, 1.5)
    return np.asarray(np.where(chance > 0, chance * np.exp(wide), chance + moved))


def _without(due: Floats, gap: Floats) -> Floats:
    return chance_without(np.nan_to_num(due, nan=9.0), gap, 14.0)


def _with_people(needs: pl.DataFrame, inputs: ModelInputs, as_of: datetime) -> pl.DataFrame:
    """Add what is known of the customer of each need: answers, fatigue, birthday, clerk."""
    people = needs.select("customer_id").unique().sort("customer_id")
    if CONTACT in inputs:
        table = inputs[CONTACT]
        tired = pl.col("fatigue") if "fatigue" in table.columns else pl.lit(0.0)
        counts = table.select("customer_id", tired.cast(pl.Float64).alias("fatigue")).hstack(
            counts_of_view(table)
        )
    else:
        counts = counts_of_view(people).with_columns(fatigue=pl.lit(0.0))
        counts = people.hstack(counts)
    people = people.join(counts, on="customer_id", how="left")
    columns = {"birthday": pl.String, "clerk_id": pl.String}
    if STATE in inputs:
        state = inputs[STATE]
        known = [name for name in columns if name in state.columns]
        people = people.join(state.select("customer_id", *known), on="customer_id", how="left")
    absent = [pl.lit(None, kind).alias(n) for n, kind in columns.items() if n not in people.columns]
    people = people.with_columns(absent)
    people = people.with_columns(
        birthday=near_birthday(pl.col("birthday").cast(pl.String), pl.lit(as_of))
    )
    return needs.join(people, on="customer_id", how="left", maintain_order="left")
