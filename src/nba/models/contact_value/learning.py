"""From contact rows to a posterior: what is bought anyway, who reads, the fit, the levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.models.contact_value.config import ContactValueConfig
from nba.models.contact_value.design import NAMES, Situation, codes, log_relevance, strength_of
from nba.models.contact_value.fit import Posterior, Sample, fit_posterior, shown_by
from nba.models.contact_value.responsiveness import Responsiveness
from nba.models.contact_value.season import DemandSeason
from nba.models.mode.assignments.records import PROPENSITY_COLUMNS
from nba.models.mode.doubly_robust.nuisance import folds_of
from nba.models.mode.estimators import trees
from nba.models.mode.prior import KINDS
from nba.models.mode.scores import MODES
from nba.models.needs.build import WINDOW_DAYS
from nba.models.needs.rhythm import EVERYTHING, Rhythm
from nba.models.needs.words import NEEDS
from nba.models.purchases import day_numbers
from nba.schema.words import Mode

FOLDS: Final = 2
#: Customers are divided into folds so many times; what is bought anyway is the mean over all.
SPLITS: Final = 4
ROUNDS: Final = 60
ANYWAY_TREES: Final[dict[str, Any]] = {"num_leaves": 12, "learning_rate": 0.08, "lambda_l2": 20.0}
#: How those whom clerks chose differ, from contacts that were not read: few, flat trees.
CHOSEN_ROUNDS: Final = 60
CHOSEN_TREES: Final[dict[str, Any]] = {
    "num_leaves": 8, "learning_rate": 0.06, "lambda_l2": 40.0, "min_data_in_leaf": 150,
}  # fmt: skip
#: Fewest unread contacts in the other fold from which that is learned.
FEWEST_UNREAD: Final = 600
#: How much of `NUISANCE_ERRORS` is left for the chosen once it is learned.
LEFT_OF_CHOICE: Final = 0.3
#: Smallest variance of the orders of a row: what is hardly ever bought is not known better.
LEAST_VARIANCE: Final = 0.02
LEAST_READ: Final = 0.1
#: With a smaller share of contacts read, reading is taken as not recorded.
MIN_READ_SHARE: Final = 0.02
#: Widths around zero: how those whom clerks chose differ, by mode and by mode and kind, as a share
#: of what they buy anyway; the level of what is bought anyway, and a share of it.
NUISANCE_ERRORS: Final = (
    *([1.0] * len(MODES)),
    *([0.15] * (len(MODES) * len(KINDS))),
    0.05,
    0.2,
)
#: Largest factor of a category or a clerk, and smallest.
LEVEL_RANGE: Final = (0.33, 3.0)


@dataclass(frozen=True)
class Learned:
    """What was learned from rows.

    Parameters
    ----------
    posterior : Posterior
    kept, spread_over : float
        Share of an extra order that is still extra when the time after the window is counted, and
        when all that the customer buys is counted.
    levels : mapping of kind of level to mapping of name to factor
    report : mapping
    """

    posterior: Posterior
    kept: float
    spread_over: float
    levels: dict[str, dict[str, float]]
    report: dict[str, Any]


def learn(
    rows: pl.DataFrame,
    rhythm: Rhythm,
    answers: Responsiveness,
    config: ContactValueConfig,
    seed: int,
    season: DemandSeason | None = None,
) -> Learned:
    """Fit all factors on `rows`.

    Parameters
    ----------
    rows : polars.DataFrame
        One per assignment and category, see `nba.models.contact_value.rows`.
    rhythm : Rhythm
        When categories fall due; what is bought anyway is expected from it.
    answers : Responsiveness
        How customers answered before, by mode.
    config : ContactValueConfig
    seed : int
        Draws the folds, and grows the trees.
    season : DemandSeason, optional
        When demand stands above usual; without it every day is like any other.
    """
    season = DemandSeason.none() if season is None else season
    rows = with_season(rows.sort("assignment_id", "category"), season)
    arms = (*MODES, str(Mode.NONE))
    arm = codes(rows["mode"], arms)
    is_contact = (arm < len(MODES)) & rows["sent"].fill_null(True).to_numpy()
    group = rows["customer_id"].rank("dense").to_numpy().astype(np.int64)
    folds = [
        folds_of(rows.height, FOLDS, seed * SPLITS + split, group, arm) for split in range(SPLITS)
    ]
    situation = situation_of(rows, rhythm, answers)
    reading = _reading(rows, is_contact, arm)
    without = _Without(
        _before(rows, rhythm, season), situation, arm, is_contact, reading, folds, seed
    )
    anyway = without.expected(rows["orders"])
    reached = _reached(reading, is_contact, situation, arm)
    sample = _sample(rows, without, reached, anyway, config.history_trust)
    mean, covariance = config.prior()
    posterior = fit_posterior(
        sample,
        mean=mean,
        covariance=covariance,
        nuisance_error=np.array(NUISANCE_ERRORS),
        group=group,
    )
    strength = np.concatenate([[0.0], strength_of(config.beliefs)])
    if strength @ posterior.mean < 0.0:
        # Reports may hold nowhere; that the reverse of them holds is noise.
        posterior = posterior.held(strength, 0.0)
    levels, effect = _levels(rows, sample, posterior, config)
    kept = _share(
        without.rest(rows["later_orders"]), effect, sample.weight,
        config.pull_forward, config.pull_forward_error,
    )  # fmt: skip
    over = _share(
        without.rest(rows["all_orders"]),
        effect,
        1.0 / np.maximum(1.0 / sample.weight, 0.2),
        config.spread_over,
        config.spread_over_error,
    )
    spread = np.sqrt(np.diag(posterior.covariance))
    drawn = rows["propensity"].is_not_null().to_numpy()
    shown = shown_by(sample, posterior, drawn, group)
    report = {
        "rows": rows.height,
        "contacts": int(is_contact.sum()),
        "drawn_contacts": rows.filter(drawn & is_contact)["assignment_id"].n_unique(),
        "drawn_scale": (shown.scale, shown.error),
        "drawn_season": float(shown.share[NAMES.index("season")]),
        "inflation": posterior.inflation,
        "factors": {
            name: [float(posterior.mean[i]), float(spread[i])]
            for i, name in enumerate(("scale", *NAMES))
        },
        "strength_of_fit": float(strength @ posterior.mean),
        "nuisance": posterior.nuisance.tolist(),
        "kept": kept,
        "spread_over": over,
    }
    return Learned(posterior, 1.0 + min(kept, 0.0), float(np.clip(over, 0.2, 1.3)), levels, report)


def situation_of(rows: pl.DataFrame, rhythm: Rhythm, answers: Responsiveness) -> Situation:
    """Return what the design of contact rows is made of."""

    def numbers(name: str, default: float = 0.0) -> Floats:
        if name not in rows.columns:
            return np.full(rows.height, default)
        column = rows[name].cast(pl.Float64).fill_null(default)
        return np.asarray(column.to_numpy(), dtype=np.float64)

    kinds = (
        rows["category_kind"] if "category_kind" in rows.columns else rhythm.kinds(rows["category"])
    )
    relevance = log_relevance(rows) if "relevance" in rows.columns else np.zeros(rows.height)
    return Situation(
        need=codes(rows["need"], NEEDS),
        kind=codes(kinds, KINDS),
        due=numbers("due", float("nan")),
        gap=numbers("gap_days", 60.0),
        overall=numbers("overall_due", float("nan")),
        times=numbers("times"),
        p_without=numbers("p_without", 0.05),
        relevance=relevance,
        is_known=numbers("is_known", 1.0),
        several=numbers("several", 1.0),
        signals=answers.logs(rows),
        fatigue=numbers("fatigue"),
        birthday=numbers("birthday"),
        season=numbers("season"),
    )


def with_season(rows: pl.DataFrame, season: DemandSeason) -> pl.DataFrame:
    """Add how far the shop's demand stands, or will soon stand, above usual at each row's `ts`."""
    return rows.with_columns(season=pl.Series(season.at(day_numbers(rows["ts"]))))


def _before(rows: pl.DataFrame, rhythm: Rhythm, season: DemandSeason) -> Floats:
    """Return what orders without a contact are expected from, shape (rows, columns)."""
    typical = rhythm.gaps(rows["category"], np.zeros(rows.height), np.full(rows.height, np.nan))
    everything = (rows["category"] == EVERYTHING).cast(pl.Float64).to_numpy()
    names = ("days_since", "gap_days", "due", "times", "p_without", "recent",
             "before_14d", "before_28d", "before_90d")  # fmt: skip
    columns = [rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names]
    demand = season.demand(day_numbers(rows["ts"]), int(WINDOW_DAYS))
    return np.column_stack([*columns, typical, everything, demand])


@dataclass(frozen=True)
class _Reading:
    """Which rows are a clerk's choice, where reading is recorded, and what was read."""

    is_chosen: Bools
    is_recorded: Bools
    is_read: Bools


def _reading(rows: pl.DataFrame, is_contact: Bools, arm: Ints) -> _Reading:
    """Return who chose each row and what is known of its reading, arrays of shape (rows,).

    In a mode in which (almost) nothing or everything is read, reading counts as not recorded.
    """
    read = rows["is_read"].fill_null(False).to_numpy() & is_contact
    mine = [is_contact & (arm == mode) for mode in range(len(MODES))]
    share = np.array([read[of_mode].mean() if of_mode.any() else 0.0 for of_mode in mine])
    recorded = (share > MIN_READ_SHARE) & (share < 1.0 - MIN_READ_SHARE)
    chosen = rows["propensity"].is_null().to_numpy() & is_contact
    return _Reading(chosen, is_contact & recorded[np.minimum(arm, len(MODES) - 1)], read)


@dataclass(frozen=True)
class _Without:
    """What is bought without a contact, of rows of the other fold.

    Trees over moments without a contact. Clerks choose whom they write to and about what, so that
    those whom they chose buy more of it anyway, by as much as the contacts show that nobody read
    (a negative control, Lipsitch, Tchetgen Tchetgen, Cohen 2010): trees over those add it. Which
    rows fall into which fold is chance, so that the mean over several splits is taken (Chernozhukov
    et al. 2018).
    """

    before: Floats
    situation: Situation
    arm: Ints
    is_contact: Bools
    reading: _Reading
    folds: list[Ints]
    seed: int

    def expected(self, outcome: pl.Series) -> Floats:
        """Return the expected outcome without a contact, shape (rows,)."""
        target = outcome.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return np.asarray(np.mean([self._by_others(target, fold) for fold in self.folds], axis=0))

    def _by_others(self, target: Floats, fold: Ints) -> Floats:
        """Return what rows of the other folds say of each row, shape (rows,)."""
        free = ~self.is_contact & np.isfinite(target)
        level = float(target[free].mean()) if free.any() else 0.0
        found = np.full(len(target), level)
        for held in range(FOLDS):
            rest, mine = free & (fold != held), fold == held
            if rest.sum() >= 200 and mine.any():
                booster = trees.grow(
                    self.before[rest], target[rest], ANYWAY_TREES, ROUNDS, self.seed
                )
                found[mine] = trees.predict(booster, self.before[mine])
        found = np.maximum(found, 0.0)
        return np.asarray(np.maximum(found + self._chosen(target - found, found, fold), 0.0))

    @cached_property
    def is_controlled(self) -> Bools:
        """Which rows are a clerk's choice that enough unread contacts are a control of."""
        reading = self.reading
        chosen = reading.is_chosen & reading.is_recorded
        unread = chosen & ~reading.is_read
        enough = min(int((unread & (f != held)).sum()) for f in self.folds for held in range(FOLDS))
        return chosen if enough >= FEWEST_UNREAD else np.zeros(len(chosen), dtype=np.bool_)

    def rest(self, outcome: pl.Series) -> Floats:
        """Return an outcome less what is expected without a contact, NaN where it is not known."""
        seen = outcome.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return np.asarray(seen - self.expected(outcome))

    def _chosen(self, rest: Floats, expected: Floats, fold: Ints) -> Floats:
        """Return how much more those whom clerks chose buy anyway, 0 for other rows."""
        reading, state = self.reading, self.situation
        unread = reading.is_chosen & reading.is_recorded & ~reading.is_read & np.isfinite(rest)
        x = np.column_stack(
            [
                self.before, expected, self.arm, state.kind, state.need, state.is_known,
                state.several, state.signals[:, 0], state.overall, state.fatigue,
            ]
        )  # fmt: skip
        more = np.zeros(len(rest))
        for held in range(FOLDS):
            learnt = unread & (fold != held)
            mine = self.is_controlled & (fold == held)
            if learnt.sum() >= FEWEST_UNREAD and mine.any():
                booster = trees.grow(
                    x[learnt], rest[learnt], CHOSEN_TREES, CHOSEN_ROUNDS, self.seed
                )
                more[mine] = trees.predict(booster, x[mine])
        return more


def _reached(reading: _Reading, is_contact: Bools, situation: Situation, arm: Ints) -> Floats:
    """Return 1 / P(read) where a contact was read, else 0; where it is not recorded, 1."""
    known = reading.is_recorded
    reached = is_contact.astype(np.float64)
    if not known.any():
        return reached
    at = np.minimum(arm, len(MODES) - 1)
    signals = situation.signals[np.arange(len(at)), at]
    terms = np.column_stack([signals, np.minimum(situation.fatigue, 5.0), np.eye(len(MODES))[at]])
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.3, max_iter=200).fit(terms[known], reading.is_read[known])
    chance = np.maximum(model.predict_proba(terms)[:, 1], LEAST_READ)
    return np.where(known, np.where(reading.is_read, 1.0 / chance, 0.0), reached)


def _sample(
    rows: pl.DataFrame, without: _Without, reached: Floats, anyway: Floats, history_trust: float
) -> Sample:
    """Return the rows of the fit, and an entry per contact that was made or could have been."""
    arm, situation, chosen = without.arm, without.situation, without.reading.is_chosen
    controlled = without.is_controlled
    sent = without.is_contact.sum() / max((arm < len(MODES)).sum(), 1)
    expected = _chances(rows, arm) * sent
    expected += np.stack([controlled & (arm == mode) for mode in range(len(MODES))])
    taken = np.stack([np.where(arm == mode, reached, 0.0) for mode in range(len(MODES))])
    row, mode = np.nonzero((taken != 0).T | (expected != 0).T)
    differ = anyway * chosen * np.where(controlled, LEFT_OF_CHOICE, 1.0)
    choice = [differ * (arm == one) for one in range(len(MODES))]
    choice += [own * (situation.kind == kind) for own in choice for kind in range(len(KINDS))]
    trust = np.where(chosen & ~controlled, history_trust, 1.0)
    return Sample(
        residual=rows["orders"].cast(pl.Float64).to_numpy() - anyway,
        weight=trust / np.maximum(anyway, LEAST_VARIANCE),
        nuisance=np.column_stack([*choice, np.ones(len(arm)), anyway]),
        row=row,
        design=situation.take(row).design(mode),
        taken=taken[mode, row],
        expected=expected[mode, row],
    )


def _chances(rows: pl.DataFrame, arm: Ints) -> Floats:
    """Return the propensity of each mode, shape (modes, rows); 0 for what clerks chose.

    Where a draw was logged without its vector, the shares of such draws stand for it.
    """
    drawn = rows["propensity"].is_not_null().to_numpy()
    vector = np.stack(
        [
            rows[PROPENSITY_COLUMNS[mode]].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            for mode in MODES
        ]
    )
    plain = drawn & np.isnan(vector).any(axis=0)
    if plain.any():
        share = np.array([(arm[plain] == mode).mean() for mode in range(len(MODES))])
        vector[:, plain] = share[:, None]
    return np.where(drawn, np.nan_to_num(vector), 0.0)


def _levels(
    rows: pl.DataFrame, sample: Sample, posterior: Posterior, config: ContactValueConfig
) -> tuple[dict[str, dict[str, float]], Floats]:
    """Return factors per category and clerk, shrunk to one, and each row's fitted effect."""
    grown = posterior.effect(sample.design)
    effect = sample.per_row(sample.taken * grown)
    surprise = sample.per_row((sample.taken - sample.expected) * grown)
    rest = sample.residual - sample.nuisance @ posterior.nuisance
    weight = sample.weight / posterior.inflation
    levels: dict[str, dict[str, float]] = {}
    for name, width in (("category", config.category_error), ("clerk_id", config.clerk_error)):
        key = rows[name].fill_null("")
        sums = pl.DataFrame(
            {
                "key": key,
                "up": weight * surprise * (rest - effect),
                "down": weight * np.square(surprise),
            }
        )
        by = sums.group_by("key").agg(pl.col("up").sum(), pl.col("down").sum()).sort("key")
        factor = 1.0 + pl.col("up") / (pl.col("down") + width**-2.0)
        by = by.select("key", factor.clip(*LEVEL_RANGE).alias("factor")).filter(pl.col("key") != "")
        levels[name] = dict(by.iter_rows())
        own = key.replace_strict(levels[name], default=1.0, return_dtype=pl.Float64).to_numpy()
        effect, surprise = effect * own, surprise * own
    return levels, effect


def _share(rest: Floats, effect: Floats, weight: Floats, mean: float, error: float) -> float:
    """Return the slope of what is left on the fitted effect, shrunk to `mean`."""
    known = np.isfinite(rest)
    up = float((weight[known] * effect[known]) @ rest[known])
    down = float(weight[known] @ np.square(effect[known]))
    return float((up + mean * error**-2.0) / (down + error**-2.0))
