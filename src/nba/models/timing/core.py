"""The hazard of one kind of entity (customers, or customers in a category): fit and curves.

Three views of the same hazard are averaged on the logit scale: LightGBM on person-period
rows, a ridge logistic regression on the same rows, and BG/NBD itself. Where the log spans
more than a year there are two such averages, and the answer is the mean of the two: one that
knows the day of the year (without BG/NBD, which does not) and one that does not. With one
autumn in the data, a model that believes in seasons overshoots and one that does not
undershoots. The booster with the season corrects BG/NBD, the one without starts afresh: the
more they differ, the more their average gains.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nba.errors import ModelError
from nba.models.base import ModelConfig
from nba.models.timing.boosted import (
    BoostedConfig,
    Booster,
    average_logits,
    fit_booster,
    load_trees,
    save_trees,
)
from nba.models.timing.btyd import Btyd, fit_btyd, fit_regular, summarise
from nba.models.timing.counts import CountCorrection, fit_correction
from nba.models.timing.linear import Scale, blinded, design, fit_logistic, scale_of, transformed
from nba.models.timing.log import PurchaseLog, gap_medians
from nba.models.timing.panel import Lens, Panel, View, build_panel, expit

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: Where too few have bought to fit anything: the classic values of a CD shop.
DEFAULT_BTYD: Final = Btyd("bg", 1, 0.243, 4.414, 0.793, 2.426, 0.0)
_FEWEST_CUSTOMERS: Final = 30
_FEWEST_PURCHASES: Final = 60  # person-periods that ended in a purchase
#: Rows that some eighty coefficients are learned from at most.
_LARGEST_LINEAR: Final = 500_000
#: How far beyond the last period the decline is worked out; it goes on evenly from there.
_DECLINE_DAYS: Final = 735
_YEAR: Final = 365


class Weights(ModelConfig):
    """How much each view of the hazard counts, on the logit scale."""

    boosted: Annotated[float, Field(ge=0, description="LightGBM")] = 2.0
    linear: Annotated[float, Field(ge=0, description="ridge logistic regression")] = 1.0
    btyd: Annotated[float, Field(gt=0, description="BG/NBD")] = 1.0


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
    ] = 1_500_000
    count_window_days: Annotated[
        int, Field(ge=28, description="days over which purchases are counted for the correction")
    ] = 91
    largest_k: Annotated[int, Field(ge=1, description="largest regularity that is tried")] = 4
    boosted: Annotated[BoostedConfig, Field(description="the boosted hazards")] = BoostedConfig()
    weights: Annotated[Weights, Field(description="how the views are averaged")] = Weights()


@dataclass(frozen=True)
class HazardCore:
    """A fitted hazard; everything that follows is a function of a `View`."""

    lens: Lens
    config: CoreConfig
    boosters: tuple[Booster, ...]
    scale: Scale | None
    linear: tuple[Floats, ...]
    weekday: Floats
    decline: Floats
    correction: CountCorrection

    # -- curves ---------------------------------------------------------------------

    def hazards(self, view: View, *, threads: int) -> Floats:
        """Return the chance of buying in each period, given none before; (n, periods)."""
        out = np.empty((len(view.known), self.lens.periods))
        values = None
        for period in range(self.lens.periods):
            offset, rows = view.hazard_bg[:, period], view.rows(period)
            matrix = None
            if self.scale is not None:
                values = transformed(rows, values)
                matrix = design(
                    rows,
                    self.scale,
                    periods=self.lens.periods,
                    season=self.seasons,
                    values=values,
                )
            halves = [
                self._half(rows, offset, matrix, season, threads=threads)
                for season in ((False, True) if self.seasons else (False,))
            ]
            out[:, period] = np.mean(halves, axis=0)
        return out

    @property
    def seasons(self) -> bool:
        """Whether half of the model knows the day of the year."""
        return any(booster.season for booster in self.boosters)

    def _half(
        self,
        rows: Singles,
        offset: Floats,
        matrix: Floats | None,
        season: bool,
        *,
        threads: int,
    ) -> Floats:
        """Return the hazard of the half that knows the day of the year, or does not.

        BG/NBD belongs to the half that does not: beside it in both, the season would count
        for less than half.
        """
        weights = self.config.weights
        parts: list[tuple[float, Floats]] = [] if season else [(weights.btyd, offset)]
        boosters = [booster for booster in self.boosters if booster.season == season]
        if boosters:
            boosted = average_logits(boosters, rows, offset, threads=threads)
            parts.append((weights.boosted, boosted))
        if matrix is not None:
            beta = self.linear[int(season)]
            parts.append((weights.linear, matrix[:, : len(beta)] @ beta))
        total = sum(weight for weight, _ in parts)
        mixed = sum((weight * value for weight, value in parts), np.zeros(len(rows)))
        return expit(mixed / total)

    def survival(self, view: View, days: int, *, threads: int) -> Floats:
        """Return P(no purchase in the first t days) for t = 0..days, shape (n, days + 1)."""
        step = -np.log1p(-np.clip(self.hazards(view, threads=threads), 0.0, 1.0 - 1e-9))
        share = self._shares(view.cutoff)
        last = int(self.lens.edges[-1])
        curve = np.concatenate([np.zeros((len(step), 1)), np.cumsum(step @ share, axis=1)], axis=1)
        if days > last:
            curve = np.concatenate([curve, self._beyond(curve, days)], axis=1)
        return np.asarray(np.exp(-curve[:, : days + 1]))

    def _shares(self, cutoff: int) -> Floats:
        """Return how a period's hazard spreads over its days: by weekday; (periods, days)."""
        edges = self.lens.edges
        day = np.arange(edges[-1])
        weight = self.weekday[(cutoff + day) % 7]
        period = np.searchsorted(edges, day, side="right") - 1
        share = np.zeros((self.lens.periods, len(day)))
        share[period, day] = weight
        return np.asarray(share / share.sum(axis=1, keepdims=True))

    def _beyond(self, reached: Floats, days: int) -> Floats:
        """Carry cumulative hazards on: each at the rate of its last period, falling as all do."""
        begin, last = int(self.lens.edges[-2]), int(self.lens.edges[-1])
        rate = (reached[:, last] - reached[:, begin]) / (last - begin)
        known = len(self.decline) - 1
        ahead = np.arange(1, days - last + 1)
        fall = self.decline[np.minimum(ahead, known)]
        fall = fall + np.maximum(ahead - known, 0) * (self.decline[-1] - self.decline[-2])
        return np.asarray(reached[:, [last]] + rate[:, None] * fall)

    def expected_purchases(
        self, view: View, horizons: Sequence[float], *, threads: int
    ) -> list[Floats]:
        """Return the expected number of purchase days within each of `horizons` (days)."""
        return self.correction.expected(view, horizons, threads=threads)

    # -- keeping --------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Write everything but the config as JSON, text and arrays."""
        folder.mkdir(parents=True, exist_ok=True)
        head = {
            "bg": asdict(self.lens.bg),
            "regular": asdict(self.lens.regular),
            "typical_gap": self.lens.typical_gap,
            "first_day": self.lens.first_day,
            "boosters": [[b.season, b.corrects] for b in self.boosters],
            "linear": len(self.linear),
            "count_trees": self.correction.trees is not None,
        }
        (folder / "core.json").write_text(json.dumps(head, indent=1))
        arrays = {
            "edges": self.lens.edges,
            "weekday": self.weekday,
            "decline": self.decline,
            "count_mean": self.correction.mean,
            "count_spread": self.correction.spread,
            "count_beta": self.correction.beta,
        }
        if self.scale is not None:
            arrays |= {"scale_mean": self.scale.mean, "scale_spread": self.scale.spread}
        arrays |= {f"linear_{i}": beta for i, beta in enumerate(self.linear)}
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
        lens = Lens(
            arrays["edges"],
            head["typical_gap"],
            head["first_day"],
            Btyd(**head["bg"]),
            Btyd(**head["regular"]),
        )
        boosters = tuple(
            Booster(season, corrects, load_trees(folder / f"booster_{i}.txt"))
            for i, (season, corrects) in enumerate(head["boosters"])
        )
        has_scale = "scale_mean" in arrays
        scale = Scale(arrays["scale_mean"], arrays["scale_spread"]) if has_scale else None
        linear = tuple(arrays[f"linear_{i}"] for i in range(head["linear"]))
        trees = load_trees(folder / "counts.txt") if head["count_trees"] else None
        correction = CountCorrection(
            arrays["count_mean"], arrays["count_spread"], arrays["count_beta"], trees
        )
        weekday, decline = arrays["weekday"], arrays["decline"]
        return cls(lens, config, boosters, scale, linear, weekday, decline, correction)


def fit_core(
    log: PurchaseLog, today: int, config: CoreConfig, *, seed: int, threads: int
) -> HazardCore:
    """Fit the hazard on everything before `today`."""
    log = log.before(today)
    lens = _fit_lens(log, today, config)
    step = config.cutoff_step_days
    cutoffs = list(range(today - step, lens.first_day + config.shortest_history_days, -step))
    sample = _thin(log, cutoffs, lens.periods, config.largest_panel)
    active = config.active_days
    panel = build_panel(lens, sample, cutoffs, today, active_days=active)
    seasons = bool(cutoffs) and today - cutoffs[-1] >= _YEAR
    boosters, scale, linear = _fit_views(panel, lens, config, seasons, seed, threads)
    correction = fit_correction(
        lens,
        sample,
        cutoffs,
        today,
        window_days=config.count_window_days,
        active_days=active,
        config=config.boosted,
        seed=seed,
        threads=threads,
    )
    weekday, decline = _weekdays(log, today), _decline(lens, log, today, active)
    return HazardCore(lens, config, boosters, scale, linear, weekday, decline, correction)


def _fit_lens(log: PurchaseLog, today: int, config: CoreConfig) -> Lens:
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
    if len(summary.repeats) < _FEWEST_CUSTOMERS or not len(gaps):
        return Lens(edges, 60.0, first, DEFAULT_BTYD, DEFAULT_BTYD)
    regular = fit_regular(summary, largest_k=config.largest_k)
    return Lens(edges, float(np.median(gaps)), first, fit_btyd(summary), regular)


def _thin(log: PurchaseLog, cutoffs: list[int], periods: int, largest: int) -> PurchaseLog:
    """Return every n-th customer where all would make too large a panel."""
    rows = sum(int((log.first_row_from(c) > log.start[:-1]).sum()) for c in cutoffs) * periods
    every = -(-rows // largest)
    return log if every <= 1 else log.only(np.arange(0, log.entities, every))


def _fit_views(
    panel: Panel, lens: Lens, config: CoreConfig, seasons: bool, seed: int, threads: int
) -> tuple[tuple[Booster, ...], Scale | None, tuple[Floats, ...]]:
    if panel.bought.sum() < _FEWEST_PURCHASES:
        return (), None, ()
    kinds = ((False, False), (True, True)) if seasons else ((False, False),)
    bags = [kind for kind in kinds for _ in range(config.boosted.bags)]
    boosters = tuple(
        fit_booster(
            panel, config.boosted, season=season, corrects=corrects, seed=seed + i, threads=threads
        )
        for i, (season, corrects) in enumerate(bags)
    )
    every = slice(None, None, -(-len(panel.bought) // _LARGEST_LINEAR))
    rows, bought = panel.rows[every], panel.bought[every]
    scale = scale_of(rows)
    linear = []
    for season in (False, True) if seasons else (False,):
        matrix = design(rows, scale, periods=lens.periods, season=season)
        if season:
            matrix = blinded(matrix, lens.periods)
        linear.append(fit_logistic(matrix, bought))
    return boosters, scale, tuple(linear)


def _decline(lens: Lens, log: PurchaseLog, today: int, active_days: int) -> Floats:
    """Return BG/NBD's mean cumulative hazard after the last period, in days of that period.

    Its hazard falls as those who left drop out of the count; how fast is the same for all
    here, since BG/NBD ranks customers over long horizons worse than their rate of late.
    """
    begin, last = (float(edge) for edge in lens.edges[-2:])
    summary = lens.look(log, today).active(active_days).summary
    if not len(summary.repeats):
        return np.arange(_DECLINE_DAYS + 1, dtype=np.float64)
    some = np.linspace(0, len(summary.repeats) - 1, min(5_000, len(summary.repeats)))
    days = np.concatenate([[begin], last + np.arange(0, _DECLINE_DAYS + 1, 7)])
    survival = lens.bg.survival(summary.take(some.astype(np.int64)), days)
    hazard = -np.log(np.clip(survival, 1e-12, 1.0)).mean(axis=0)
    rate = max((hazard[1] - hazard[0]) / (last - begin), 1e-12)
    weekly = (hazard[1:] - hazard[1]) / rate
    return np.asarray(np.interp(np.arange(_DECLINE_DAYS + 1), days[1:] - last, weekly))


def _weekdays(log: PurchaseLog, today: int) -> Floats:
    """Return the share of purchases by weekday (of day number modulo 7), never quite 0."""
    recent = log.day[log.day >= today - _YEAR]
    count = np.bincount(recent % 7, minlength=7).astype(np.float64)
    return np.asarray((count + 1.0 + 0.02 * count.sum()) / (count + 1.0 + 0.02 * count.sum()).sum())
