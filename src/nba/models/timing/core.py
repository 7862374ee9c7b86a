"""The hazard of one kind of entity (customers, or customers in a category): fit and curves.

Three estimates of the same hazard are averaged on the logit scale: LightGBM on person-period
rows (one booster that corrects BG/NBD, one that starts afresh: the more they differ, the more
their average gains), a proportional hazard on the same rows, and BG/NBD itself. The first two
are fitted with the season as an offset, and its forecast is added to the average.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import polars as pl
from pydantic import Field
from scipy.optimize import minimize

from nba.arrays import Bools, Floats
from nba.errors import ModelError
from nba.models.base import ModelConfig
from nba.models.purchases import PurchaseDays, gap_medians
from nba.models.timing.boosted import (
    BoostedConfig,
    Booster,
    average_logits,
    binned_rows,
    fit_boosters,
    load_trees,
    save_trees,
)
from nba.models.timing.btyd import Btyd, fit_btyd, fit_regular, summarise
from nba.models.timing.counts import CountCorrection, fit_correction
from nba.models.timing.curves import (
    BELIEVED_GAP_DAYS,
    is_old,
    shrink_young,
    young_share,
)
from nba.models.timing.holidays import HolidayEffects, fit_holidays
from nba.models.timing.linear import Proportional, fit_proportional
from nba.models.timing.panel import PERIOD, Panel, PanelBuilder, Snapshot, build_panel, expit
from nba.models.timing.season import Season, fit_season

#: Where too few have bought to fit anything: the classic values of a CD shop.
DEFAULT_BTYD: Final = Btyd("bg", 1, 0.243, 4.414, 0.793, 2.426, 0.0)
#: Customers from which on the buy-till-you-die models are fitted.
FEWEST_FITTED: Final = 30
_FEWEST_PURCHASES: Final = 60  # person-periods that ended in a purchase
_FEWEST_IN_BACKTEST: Final = 300
_FEWEST_TREES: Final = 10
#: Rows that some twenty coefficients are learned from at most.
_LARGEST_LINEAR: Final = 500_000
#: What it costs, in nats, to move all weight from one estimate to another, halved.
_PRIOR_NATS: Final = 50.0
#: How far beyond the last period the decline is worked out; it goes on evenly from there.
_DECLINE_DAYS: Final = 735
_YEAR: Final = 365


class Weights(ModelConfig):
    """How much each estimate of the hazard counts before the data speak; 0 leaves it out."""

    boosted: Annotated[float, Field(ge=0, description="LightGBM")] = 2.0
    linear: Annotated[float, Field(ge=0, description="proportional hazard")] = 1.0
    btyd: Annotated[
        float, Field(ge=0, description="BG/NBD; alone where nothing can be learned")
    ] = 0.5


class CoreConfig(ModelConfig):
    """Parameters of the hazard."""

    edges: Annotated[
        tuple[int, ...], Field(description="days at which the periods of the curve end")
    ] = (7, 14, 30, 60, 90)
    cutoff_step_days: Annotated[
        int, Field(ge=1, description="days between the past cut-offs that are learned from")
    ] = 14
    shortest_history_days: Annotated[
        int, Field(ge=1, description="no cut-off lies closer to the first record")
    ] = 45
    active_days: Annotated[
        int, Field(ge=1, description="customers silent for longer are not learned from")
    ] = 730
    largest_panel: Annotated[
        int, Field(ge=1000, description="person-periods learned from at most, by customers")
    ] = 1_000_000
    counts: Annotated[
        bool, Field(description="learn what BG/NBD misses of the number of purchases")
    ] = True
    count_window_days: Annotated[
        int, Field(ge=28, description="days over which purchases are counted for the correction")
    ] = 91
    backtest_days: Annotated[
        int,
        Field(ge=0, description="days kept back to choose trees and weights; 0 leaves them be"),
    ] = 98
    season_trust: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share of last year's season expected again, before several years tell",
        ),
    ] = 0.75
    level_trust: Annotated[
        float, Field(ge=0, le=1, description="share of the latest level expected to stay")
    ] = 0.5
    largest_k: Annotated[int, Field(ge=1, description="largest regularity that is tried")] = 4
    boosted: Annotated[BoostedConfig, Field(description="the boosted hazards")] = BoostedConfig()
    weights: Annotated[Weights, Field(description="how the estimates are averaged")] = Weights()


@dataclass(frozen=True)
class HazardCore:
    """A fitted hazard; everything that follows is a function of a `Snapshot`."""

    builder: PanelBuilder
    config: CoreConfig
    boosters: tuple[Booster, ...]
    linear: Proportional | None
    weights: Floats
    season: Season
    weekday: Floats
    decline: Floats
    correction: CountCorrection

    # -- curves ---------------------------------------------------------------------

    def hazards(self, snapshot: Snapshot, *, threads: int) -> Floats:
        """Return the probability of buying in each period, given none before; (n, periods)."""
        parts = _hazard_parts(snapshot, self.boosters, self.linear, threads=threads)
        mixed = np.tensordot(self.weights, parts, axes=1)
        return expit(mixed + self.season.offsets(snapshot.cutoff, self.builder.edges))

    def survival(self, snapshot: Snapshot, days: int, *, threads: int) -> Floats:
        """Return P(no purchase in the first t days) for t = 0..days, shape (n, days + 1)."""
        learned = self._learned(snapshot, days, threads=threads)
        return shrink_young(learned, snapshot.cutoff - self.builder.first_day)

    def _learned(self, snapshot: Snapshot, days: int, *, threads: int) -> Floats:
        step = -np.log1p(-np.clip(self.hazards(snapshot, threads=threads), 0.0, 1.0 - 1e-9))
        share = self._shares(snapshot.cutoff)
        last = int(self.builder.edges[-1])
        curve = np.concatenate([np.zeros((len(step), 1)), np.cumsum(step @ share, axis=1)], axis=1)
        if days > last:
            curve = np.concatenate([curve, self._beyond(curve, days, snapshot.cutoff)], axis=1)
        return np.asarray(np.exp(-curve[:, : days + 1]))

    def _shares(self, cutoff: int) -> Floats:
        """Return how a period's hazard spreads over its days: weekday, season; (periods, days)."""
        edges = self.builder.edges
        day = np.arange(edges[-1])
        weight = self.weekday[(cutoff + day) % 7] * np.exp(self.season.at(cutoff + day))
        period = np.searchsorted(edges, day, side="right") - 1
        share = np.zeros((self.builder.periods, len(day)))
        share[period, day] = weight
        return np.asarray(share / share.sum(axis=1, keepdims=True))

    def _beyond(self, reached: Floats, days: int, cutoff: int) -> Floats:
        """Carry cumulative hazards on: each at the rate of its last period, falling as all do.

        The season of the last period is taken out of its rate, and that of each day put in.
        """
        begin, last = int(self.builder.edges[-2]), int(self.builder.edges[-1])
        rate = (reached[:, last] - reached[:, begin]) / (last - begin)
        known = len(self.decline) - 1
        ahead = np.arange(1, days - last + 1)
        fall = self.decline[np.minimum(ahead, known)]
        fall = fall + np.maximum(ahead - known, 0) * (self.decline[-1] - self.decline[-2])
        seasons = self.season.at(cutoff + last - 1 + ahead)
        daily = np.diff(fall, prepend=0.0) * np.exp(seasons - self._last_season(cutoff))
        return np.asarray(reached[:, [last]] + rate[:, None] * np.cumsum(daily))

    def _last_season(self, cutoff: int) -> float:
        return float(self.season.offsets(cutoff, self.builder.edges)[-1])

    def expected_purchases(
        self, snapshot: Snapshot, horizons: Sequence[float], *, threads: int
    ) -> list[Floats]:
        """Return the expected number of purchase days within each of `horizons` (days)."""
        seasons = [self.season.mean(snapshot.cutoff, int(days)) for days in horizons]
        counts = self.correction.expected(snapshot, horizons, seasons, threads=threads)
        share = self._young_share(snapshot, threads=threads)
        return [count * share for count in counts]

    def _young_share(self, snapshot: Snapshot, *, threads: int) -> Floats:
        on_record, days = snapshot.cutoff - self.builder.first_day, int(self.builder.edges[-1])
        if is_old(on_record, days):
            return np.ones(len(snapshot.known))
        learned = self._learned(snapshot, days, threads=threads)
        return young_share(learned, on_record)

    # -- keeping --------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Write everything but the config as JSON, text and arrays."""
        folder.mkdir(parents=True, exist_ok=True)
        head = {
            "bg": asdict(self.builder.bg),
            "regular": asdict(self.builder.regular),
            "typical_gap": self.builder.typical_gap,
            "first_day": self.builder.first_day,
            "boosters": [b.corrects for b in self.boosters],
            "season": {
                "first": self.season.first,
                "today": self.season.today,
                "trust": self.season.trust,
                "holidays_first": self.season.holidays.first,
            },
            "count_trees": self.correction.trees is not None,
        }
        (folder / "core.json").write_text(json.dumps(head, indent=1))
        arrays = {
            "edges": self.builder.edges,
            "weekday": self.weekday,
            "decline": self.decline,
            "weights": self.weights,
            "season": self.season.index,
            "holidays": self.season.holidays.factor,
            "count_mean": self.correction.mean,
            "count_spread": self.correction.spread,
            "count_beta": self.correction.beta,
        }
        if self.linear is not None:
            arrays |= {f"linear_{name}": value for name, value in vars(self.linear).items()}
        np.savez(folder / "core.npz", **arrays)  # type: ignore[arg-type]
        for i, booster in enumerate(self.boosters):
            save_trees(booster.trees, folder / f"booster_{i}.txt")
        if self.correction.trees is not None:
            save_trees(self.correction.trees, folder / "counts.txt")

    @classmethod
    def read(cls, folder: Path, config: CoreConfig) -> HazardCore:
        """Read what `write` wrote."""
        head = json.loads((folder / "core.json").read_text())
        with np.load(folder / "core.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        builder = PanelBuilder(
            arrays["edges"],
            head["typical_gap"],
            head["first_day"],
            Btyd(**head["bg"]),
            Btyd(**head["regular"]),
        )
        boosters = tuple(
            Booster(corrects, load_trees(folder / f"booster_{i}.txt"))
            for i, corrects in enumerate(head["boosters"])
        )
        linear = None
        if "linear_beta" in arrays:
            names = ("mean", "spread", "level", "beta")
            linear = Proportional(*(arrays[f"linear_{name}"] for name in names))
        season = Season(
            head["season"]["first"],
            head["season"]["today"],
            arrays["season"],
            head["season"]["trust"],
            config.level_trust,
            HolidayEffects(head["season"]["holidays_first"], arrays["holidays"]),
        )
        trees = load_trees(folder / "counts.txt") if head["count_trees"] else None
        correction = CountCorrection(
            arrays["count_mean"], arrays["count_spread"], arrays["count_beta"], trees
        )
        return cls(
            builder,
            config,
            boosters,
            linear,
            arrays["weights"],
            season,
            arrays["weekday"],
            arrays["decline"],
            correction,
        )


def fit_core(
    log: PurchaseDays,
    today: int,
    config: CoreConfig,
    *,
    seed: int,
    threads: int,
    season: Season | None = None,
) -> HazardCore:
    """Fit the hazard on everything before `today`.

    Parameters
    ----------
    log : PurchaseDays
    today : int
        Day number.
    config : CoreConfig
    seed : int
    threads : int
        Of LightGBM.
    season : Season, optional
        As `season_of` finds it, which is asked without it.
    """
    log = log.before(today)
    season = season_of(log, today, config) if season is None else season
    builder = _fit_builder(log, today, config)
    step = config.cutoff_step_days
    cutoffs = list(range(today - step, builder.first_day + config.shortest_history_days, -step))
    sample = _thin(log, cutoffs, builder.periods, config.largest_panel)
    panel = build_panel(
        builder,
        sample,
        cutoffs,
        today,
        active_days=config.active_days,
        offsets=lambda cutoff: season.offsets(cutoff, builder.edges),
    )
    boosters, linear, weights = _fit_parts(
        panel, builder, today, config, seed=seed, threads=threads
    )
    correction = fit_correction(
        builder,
        sample,
        cutoffs if config.counts else [],
        today,
        season=season,
        window_days=config.count_window_days,
        active_days=config.active_days,
        config=config.boosted,
        seed=seed,
        threads=threads,
    )
    weekday, decline = _weekdays(log, today), _decline(builder, log, today, config.active_days)
    return HazardCore(
        builder, config, boosters, linear, weights, season, weekday, decline, correction
    )


def season_of(
    log: PurchaseDays, today: int, config: CoreConfig, holidays: pl.DataFrame | None = None
) -> Season:
    """Return the season on everything before `today`.

    Parameters
    ----------
    log : PurchaseDays
    today : int
        Day number.
    config : CoreConfig
    holidays : polars.DataFrame, optional
        `day`, `holiday`: past and coming ones of the shop's country.
    """
    log = log.before(today)
    return fit_season(
        log,
        today,
        trust=config.season_trust,
        level_trust=config.level_trust,
        holidays=fit_holidays(log, today, holidays),
    )


def _fit_builder(log: PurchaseDays, today: int, config: CoreConfig) -> PanelBuilder:
    edges = np.array([0, *config.edges], dtype=np.int64)
    if (np.diff(edges) <= 0).any():
        raise ModelError(
            "the periods of the timing model are out of order",
            expected="edges that rise from above 0",
            found=str(config.edges),
            next_step="correct `edges` in the model's file",
        )
    summary, _ = summarise(log, today)
    gaps = gap_medians(log, log.first_row_from(today))
    gaps = gaps[~np.isnan(gaps)]
    first = int(log.day.min()) if len(log.day) else today
    if len(summary.repeats) < FEWEST_FITTED or not len(gaps):
        return PanelBuilder(edges, BELIEVED_GAP_DAYS, first, DEFAULT_BTYD, DEFAULT_BTYD)
    regular = fit_regular(summary, largest_k=config.largest_k)
    return PanelBuilder(edges, float(np.median(gaps)), first, fit_btyd(summary), regular)


def _thin(log: PurchaseDays, cutoffs: list[int], periods: int, largest: int) -> PurchaseDays:
    """Return every n-th customer where all would make too large a panel."""
    rows = sum(int((log.first_row_from(c) > log.start[:-1]).sum()) for c in cutoffs) * periods
    every = -(-rows // largest)
    return log if every <= 1 else log.only(np.arange(0, log.entities, every))


def _fit_parts(
    panel: Panel, builder: PanelBuilder, today: int, config: CoreConfig, *, seed: int, threads: int
) -> tuple[tuple[Booster, ...], Proportional | None, Floats]:
    """Fit boosters and regression; a backtest sets trees and weights."""
    prior = np.array([config.weights.btyd, config.weights.boosted, config.weights.linear])
    weights = prior / prior.sum()
    trees: tuple[int, ...] = ()
    if panel.bought.sum() < _FEWEST_PURCHASES:
        return (), None, np.ones(1)
    binned = binned_rows(panel)
    is_past, is_later = _backtest(panel, builder, today, config)
    if min(panel.bought[is_past].sum(), panel.bought[is_later].sum()) >= _FEWEST_IN_BACKTEST:
        past, later = binned.take(is_past), binned.take(is_later)
        grown = fit_boosters(past, config.boosted, seed=seed, threads=threads, later=later)
        linear = _fit_linear(past.panel, builder)
        weights = _fit_weights(later.panel, grown, linear, weights, threads)
        trees = tuple(max(_FEWEST_TREES, booster.trees.num_trees()) for booster in grown)
    boosters = fit_boosters(binned, config.boosted, seed=seed, threads=threads, trees=trees)
    return boosters, _fit_linear(panel, builder), weights


def _backtest(
    panel: Panel, builder: PanelBuilder, today: int, config: CoreConfig
) -> tuple[Bools, Bools]:
    """Return which rows were known on an earlier day, and which followed it."""
    if not config.backtest_days:
        nothing = np.zeros(len(panel.bought), dtype=bool)
        return nothing, nothing
    step = config.cutoff_step_days
    back = min(config.backtest_days, (today - builder.first_day) // 4)
    day = today - max(1, back // step) * step
    return panel.end <= day, panel.begin >= day


def _fit_linear(panel: Panel, builder: PanelBuilder) -> Proportional:
    some = panel.take(slice(None, None, -(-len(panel.bought) // _LARGEST_LINEAR)))
    return fit_proportional(some.rows, some.bought, some.season, periods=builder.periods)


def _hazard_parts(
    snapshot: Snapshot, boosters: tuple[Booster, ...], linear: Proportional | None, *, threads: int
) -> Floats:
    """Return the logits of BG/NBD, the boosters and the regression; (estimates, n, periods)."""
    parts = [snapshot.hazard_bg]
    periods = snapshot.hazard_bg.shape[1]
    if boosters:
        rows = np.concatenate([snapshot.rows(period) for period in range(periods)])
        logits = average_logits(boosters, rows, snapshot.hazard_bg.T.ravel(), threads=threads)
        parts.append(logits.reshape(periods, -1).T)
    if linear is not None:
        parts.append(linear.logits(snapshot.static))
    return np.array(parts)


def _fit_weights(
    later: Panel,
    boosters: tuple[Booster, ...],
    linear: Proportional,
    start: Floats,
    threads: int,
) -> Floats:
    """Return the weights of the estimates that order what came later best, near those at the start.

    A level of its own per period keeps a season that was not foreseen out of the weights.
    """
    boosted = average_logits(boosters, later.rows, later.bg, threads=threads)
    logits = np.column_stack([later.bg, boosted, linear.row_logits(later.rows)])
    free = np.flatnonzero(start > 0)
    period = later.rows[:, PERIOD].astype(np.int64)

    def weights_of(raw: Floats) -> Floats:
        weights = np.zeros(len(start))
        weights[free] = np.exp(raw - raw.max())
        return np.asarray(weights / weights.sum())

    def loss(values: Floats) -> tuple[float, Floats]:
        weights, level = weights_of(values[: len(free)]), values[len(free) :]
        x = logits @ weights + later.season + level[period]
        error = expit(x) - later.bought
        away = weights - start
        nats = float((np.logaddexp(0.0, x) - later.bought * x).sum())
        by_weight = logits.T @ error + 2.0 * _PRIOR_NATS * away
        by_raw = weights * (by_weight - weights @ by_weight)
        by_level = np.bincount(period, weights=error, minlength=len(level))
        slope = np.concatenate([by_raw[free], by_level])
        return nats + _PRIOR_NATS * float(away @ away), slope

    begin = np.concatenate([np.log(start[free]), np.zeros(int(period.max()) + 1)])
    fit = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return weights_of(fit.x[: len(free)])


def _decline(builder: PanelBuilder, log: PurchaseDays, today: int, active_days: int) -> Floats:
    """Return BG/NBD's mean cumulative hazard after the last period, in days of that period.

    Its hazard falls as those who left drop out of the count; how fast is the same for all
    here, since BG/NBD ranks customers over long horizons worse than their rate of late.
    """
    begin, last = (float(edge) for edge in builder.edges[-2:])
    summary = builder.at(log, today).active(active_days).summary
    if not len(summary.repeats):
        return np.arange(_DECLINE_DAYS + 1, dtype=np.float64)
    some = np.linspace(0, len(summary.repeats) - 1, min(5_000, len(summary.repeats)))
    days = np.concatenate([[begin], last + np.arange(0, _DECLINE_DAYS + 1, 7)])
    survival = builder.bg.survival(summary.take(some.astype(np.int64)), days)
    hazard = -np.log(np.clip(survival, 1e-12, 1.0)).mean(axis=0)
    rate = max((hazard[1] - hazard[0]) / (last - begin), 1e-12)
    weekly = (hazard[1:] - hazard[1]) / rate
    return np.asarray(np.interp(np.arange(_DECLINE_DAYS + 1), days[1:] - last, weekly))


def _weekdays(log: PurchaseDays, today: int) -> Floats:
    """Return the share of purchases by weekday (of day number modulo 7), never quite 0."""
    recent = log.day[log.day >= today - _YEAR]
    count = np.bincount(recent % 7, minlength=7).astype(np.float64)
    return np.asarray((count + 1.0 + 0.02 * count.sum()) / (count + 1.0 + 0.02 * count.sum()).sum())
