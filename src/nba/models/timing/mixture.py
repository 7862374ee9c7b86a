"""Learned curves and the simple rule side by side: a backtest says how much each one counts.

Both are fitted as they would have been some weeks ago, on some of the customers, and asked what
came since. The learned curves answer alone where they say it better; where they do not, or where
the records are too short to tell, the rule of `recency_gap` answers beside them or instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import polars as pl
from pydantic import Field

from nba.arrays import Bools, Floats, Ints
from nba.models.purchases import PurchaseDays, follow_up, purchases_between, summarise_purchases
from nba.models.timing.calibrated import Corrected, buyers_by_period, corrected_by
from nba.models.timing.cells import YEAR, Cells, CellsConfig, fit_cells, p_alive
from nba.models.timing.core import (
    FEWEST_FITTED,
    CoreConfig,
    HazardCore,
    fit_core,
    season_of,
)
from nba.models.timing.curves import CURVE_DAYS, lengthened
from nba.models.timing.features import FEATURES
from nba.models.timing.panel import Snapshot
from nba.models.timing.season import Season

_COUNT: Final = list(FEATURES).index("purchase_days")
#: Shares of the learned curves that are tried.
_SHARES: Final = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
#: What the simple rule must win by, in nats over all customers, to answer alone.
_NATS_OF_TRUST: Final = 2.0
#: Bins of the expected purchases of the backtested days, for their medians.
_COUNT_EDGES: Final = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
#: Customers who buy as expected that are added to each bin.
_MEDIAN_PRIOR: Final = 10.0
#: Trees of each booster in the backtest, which has none of its own, and rows that they learn from.
_BACKTEST_TREES: Final = 60
_BACKTEST_PANEL: Final = 120_000
_SHORTEST_HISTORY_DAYS: Final = 28
#: Days on record from which on BG/NBD is asked without a backtest.
_SHORTEST_BTYD_DAYS: Final = 14
_FEWEST_CUSTOMERS: Final = 50
_FEWEST_BUYERS: Final = 15


class MixtureConfig(CoreConfig):
    """Parameters of the learned curves, of the simple rule beside them, and of the backtest."""

    simple: Annotated[
        CellsConfig, Field(description="the simple rule that is fitted beside the learned curves")
    ] = CellsConfig()
    backtest_customers: Annotated[
        int, Field(ge=100, description="customers on whom learned and simple are compared, at most")
    ] = 4_000


@dataclass(frozen=True)
class Backtest:
    """What the learned curves and the simple rule said of the last weeks, and what came.

    Parameters
    ----------
    history_days, days : int
        Days on record; days that were backtested, 0 where there was too little.
    customers, buyers : int
        Who was asked about, and how many of them bought.
    learned, simple, mixed : float
        Log loss per customer, the mean over the horizons; NaN where nothing was backtested.
    share : float
        Share of the learned curves in the answer; of BG/NBD alone where nothing was backtested.
    median : tuple of float
        What the expected purchases are multiplied by for their median, by `_COUNT_EDGES`.
    calibration : mapping of str to float
        Expected over actual buyers by horizon (`30d`), of all and by how often they had bought
        (`30d_bought_once`, `30d_bought_2_to_4`, `30d_bought_5_or_more`), where enough did.
    corrected : Corrected
        What hazards are multiplied by for it.
    knew_season : bool
        False where a year was on record at the fit but not yet at the backtest: then the simple
        rule, which knows no season, could not be held against one, and gets it put in.
    """

    history_days: int
    days: int = 0
    customers: int = 0
    buyers: int = 0
    learned: float = float("nan")
    simple: float = float("nan")
    mixed: float = float("nan")
    share: float = 0.0
    median: tuple[float, ...] = ()
    calibration: Mapping[str, float] = field(default_factory=dict)
    corrected: Corrected = field(default_factory=Corrected)
    knew_season: bool = True

    def sentence(self) -> str:
        """Return which part answers, and why."""
        if not self.days:
            who = {0.0: "simple rule", 1.0: "BG/NBD"}.get(
                self.share, "half BG/NBD, half simple rule"
            )
            little = (
                "too little" if self.history_days < _SHORTEST_HISTORY_DAYS else "too few buyers"
            )
            return f"{self.history_days} days of history, {little} for a backtest: {who}"
        who = {0.0: "simple rule", 1.0: "learned curves"}.get(
            self.share, f"{self.share:.0%} learned curves, {1 - self.share:.0%} simple rule"
        )
        return (
            f"{who}: log loss {self.learned:.4f} learned, {self.simple:.4f} simple, "
            f"{self.mixed:.4f} as it answers; last {self.days} days, {self.customers} customers"
        )

    def figures(self) -> dict[str, float]:
        """Return what was measured, by name."""
        given = {"backtest_share_learned": self.share, "history_days": float(self.history_days)}
        if self.days:
            given |= {
                "backtest_days": float(self.days),
                "backtest_customers": float(self.customers),
                "backtest_log_loss": self.mixed,
                "backtest_log_loss_learned": self.learned,
                "backtest_log_loss_simple": self.simple,
            }
        return given | {
            f"backtest_expected_over_actual_{name}": ratio
            for name, ratio in self.calibration.items()
        }

    def medians(self, expected: Floats) -> Floats:
        """Return the median number of purchases where so many are expected, shape (n,)."""
        if not self.median:
            return expected
        return np.asarray(expected * np.array(self.median)[_count_bin(expected)])


@dataclass(frozen=True)
class Forecast:
    """What is said of n customers: curves of shape (n, days + 1), counts and P(alive)."""

    survival: Floats
    purchases_90d: Floats
    purchases_365d: Floats
    p_alive: Floats


@dataclass(frozen=True)
class Mixture:
    """The learned curves, the simple rule, and how much each one counts."""

    core: HazardCore
    cells: Cells
    backtest: Backtest

    def forecast(
        self, log: PurchaseDays, snapshot: Snapshot, days: int, *, threads: int
    ) -> Forecast:
        """Return what is said of the customers of a snapshot of `log`.

        Parameters
        ----------
        log : PurchaseDays
        snapshot : Snapshot
            Of that log, as the builder of `core` sees it.
        days : int
            Length of the curves.
        threads : int
        """
        share = self.backtest.share
        survival = self.survival(log, snapshot, days, threads=threads)
        if share == 0.0:
            return replace(self._simple(log, snapshot, 0), survival=survival)
        alive = self.core.builder.regular.p_alive(snapshot.summary)
        soon, year = self.core.expected_purchases(snapshot, (CURVE_DAYS, YEAR), threads=threads)
        if share == 1.0:
            return Forecast(survival, soon, year, alive)
        simple = self._simple(log, snapshot, 0)

        def mixed(one: Floats, other: Floats) -> Floats:
            return np.asarray(share * one + (1.0 - share) * other)

        return Forecast(
            survival,
            mixed(soon, simple.purchases_90d),
            mixed(year, simple.purchases_365d),
            mixed(alive, simple.p_alive),
        )

    def survival(self, log: PurchaseDays, snapshot: Snapshot, days: int, *, threads: int) -> Floats:
        """Return the curves alone of `forecast`, shape (n, days + 1).

        Parameters
        ----------
        log, snapshot, days, threads
            As in `forecast`.
        """
        share = self.backtest.share
        if share == 0.0:
            mixed = self._simple(log, snapshot, days).survival
        else:
            mixed = self.core.survival(snapshot, days, threads=threads)
            if share < 1.0:
                simple = self._simple(log, snapshot, days).survival
                mixed = share * mixed + (1.0 - share) * simple
        return self.backtest.corrected.survival(mixed, snapshot.static[:, _COUNT])

    def _simple(self, log: PurchaseDays, snapshot: Snapshot, days: int) -> Forecast:
        past, some = summarise_purchases(log, snapshot.cutoff), snapshot.known
        own = self.cells.own_gap(past.count, past.gap_median)[some]
        given = (past.count[some], past.days_since[some], own, snapshot.cutoff)
        survival, rate = self.cells.survival(*given), self.cells.purchases_per_day(*given)
        longer = lengthened(survival, days)[:, : days + 1]
        soon, year = rate * CURVE_DAYS, rate * YEAR
        if not self.backtest.knew_season:
            season, at = self.core.season, snapshot.cutoff
            longer = season.put_into(longer, at)
            soon, year = (
                count * np.exp(season.turn(at, int(length)))
                for count, length in ((soon, CURVE_DAYS), (year, YEAR))
            )
        return Forecast(longer, soon, year, p_alive(survival))

    def write(self, folder: Path) -> None:
        """Write both parts and the backtest."""
        self.core.write(folder)
        np.savez(folder / "simple.npz", **self.cells.arrays("cells"))  # type: ignore[arg-type]
        (folder / "rehearsal.json").write_text(json.dumps(asdict(self.backtest)))

    @classmethod
    def read(cls, folder: Path, config: MixtureConfig) -> Mixture:
        """Read what `write` wrote."""
        with np.load(folder / "simple.npz", allow_pickle=False) as arrays:
            cells = Cells.of_arrays(arrays, "cells")
        kept = json.loads((folder / "rehearsal.json").read_text())
        # models of before this correction hold none
        given = kept.get("corrected", {"ends": (), "factors": ()})
        corrected = Corrected(tuple(given["ends"]), tuple(map(tuple, given["factors"])))
        median = tuple(kept["median"])
        backtest = Backtest(**{**kept, "median": median, "corrected": corrected})
        return cls(HazardCore.read(folder, config), cells, backtest)


def fit_mixture(
    log: PurchaseDays,
    today: int,
    config: MixtureConfig,
    *,
    seed: int,
    threads: int,
    holidays: pl.DataFrame | None = None,
) -> Mixture:
    """Fit both on everything before `today`, after a backtest of the last weeks.

    Parameters
    ----------
    log : PurchaseDays
    today : int
        Day number; what stands at or after it is not read.
    config : MixtureConfig
    seed, threads : int
    holidays : polars.DataFrame, optional
        `day`, `holiday`, of the shop's country.
    """
    log = log.before(today)
    season = season_of(log, today, config, holidays)
    core = fit_core(log, today, config, seed=seed, threads=threads, season=season)
    return mixture_of(core, log, today, config, seed=seed, threads=threads)


def mixture_of(
    core: HazardCore,
    log: PurchaseDays,
    today: int,
    config: MixtureConfig,
    *,
    seed: int,
    threads: int,
) -> Mixture:
    """Return learned curves that were fitted before `today` with the simple rule beside them.

    Parameters
    ----------
    core : HazardCore
    log : PurchaseDays
        What stands at or after `today` is not read.
    today : int
    config : MixtureConfig
    seed, threads : int
    """
    log = log.before(today)
    backtest = run_backtest(log, today, config, seed=seed, threads=threads, season=core.season)
    if not backtest.days:  # nothing learned answers
        core = replace(core, boosters=(), linear=None, weights=np.ones(1))
    return Mixture(core, fit_cells(log, today, config.simple), backtest)


def run_backtest(
    log: PurchaseDays,
    today: int,
    config: MixtureConfig,
    *,
    seed: int,
    threads: int,
    season: Season | None = None,
) -> Backtest:
    """Fit both as some weeks ago, on some of the customers, and compare them with what came.

    Parameters
    ----------
    log : PurchaseDays
    today : int
        Day number of the fit; the backtest ends there.
    config : MixtureConfig
    seed, threads : int
    season : Season, optional
        As it is known today. Where the backtest knew none yet, its curves are held against what
        came with the season of those days put in: what a trough held back is not expected to
        stay away for good.
    """
    history = today - int(log.day.min()) if len(log.day) else 0
    nothing = Backtest(history)
    if history < _SHORTEST_HISTORY_DAYS:
        again = int((np.diff(log.start) > 1).sum())
        return replace(nothing, share=_share_without_backtest(history, log.entities, again))
    days = min(CURVE_DAYS, history // 3)
    moment = today - days
    every = -(-log.entities // config.backtest_customers)
    some = log if every <= 1 else log.only(np.arange(0, log.entities, every))
    past = some.before(moment)
    asked = summarise_purchases(past, moment).days_since <= config.active_days
    after = follow_up(some, moment, today)
    buyers = int(after.event[asked].sum())
    if asked.sum() < _FEWEST_CUSTOMERS or buyers < _FEWEST_BUYERS:
        return replace(nothing, share=_share_without_backtest(history, log.entities, buyers))
    core = fit_core(past, moment, _cheaper(config), seed=seed, threads=threads)
    both = Mixture(core, fit_cells(past, moment, config.simple), nothing)
    snapshot = core.builder.at(past, moment).active(config.active_days)
    horizons = [edge for edge in core.builder.edges[1:] if edge <= days] or [days]
    bought = np.column_stack([after.event & (after.time <= h) for h in horizons])[snapshot.known]
    learned = core.survival(snapshot, days, threads=threads)
    simple = both._simple(past, snapshot, days)
    p_learned, p_simple = 1.0 - learned[:, horizons], 1.0 - simple.survival[:, horizons]
    losses = [_log_loss(share * p_learned + (1 - share) * p_simple, bought) for share in _SHARES]
    best = int(np.argmin(len(bought) * np.array(losses) + _NATS_OF_TRUST * (1.0 - _SHARES)))
    share = float(_SHARES[best])
    median: tuple[float, ...] = ()
    if config.counts:
        expected = core.expected_purchases(snapshot, (days,), threads=threads)[0]
        expected = share * expected + (1.0 - share) * simple.purchases_90d * days / CURVE_DAYS
        counts = purchases_between(some, moment, today)[snapshot.known]
        median = _median_factors(expected, counts.astype(np.float64))
    count = summarise_purchases(past, moment).count[snapshot.known]
    time, event = after.time[snapshot.known], after.event[snapshot.known]
    mixed = share * learned + (1.0 - share) * simple.survival
    knew_season = season is None or not len(season.index) or len(core.season.index) > 0
    if season is not None and not knew_season:
        mixed = season.put_into(mixed, moment)
    return Backtest(
        history_days=history,
        days=days,
        customers=len(bought),
        buyers=buyers,
        learned=losses[-1],
        simple=losses[0],
        mixed=losses[best],
        share=share,
        median=median,
        calibration=_calibration(
            share * p_learned + (1 - share) * p_simple, bought, horizons, count
        ),
        corrected=corrected_by(*buyers_by_period(mixed, time, event, count, horizons), horizons),
        knew_season=knew_season,
    )


def _share_without_backtest(history_days: int, customers: int, buyers: int) -> float:
    """Return the share of BG/NBD where nothing can be backtested: it orders better than the rule.

    Where hardly anybody came back it expects too many to, and the rule answers in equal parts;
    the rule answers alone where BG/NBD is not fitted either.
    """
    if history_days < _SHORTEST_BTYD_DAYS or customers < FEWEST_FITTED:
        return 0.0
    return 1.0 if buyers >= _FEWEST_BUYERS else 0.5


def _cheaper(config: MixtureConfig) -> MixtureConfig:
    """Return the parameters of a fit that only says how far the learned curves can be trusted."""
    boosted = config.boosted.model_copy(
        update={"trees": min(config.boosted.trees, _BACKTEST_TREES)}
    )
    return config.model_copy(
        update={
            "largest_panel": min(config.largest_panel, _BACKTEST_PANEL),
            "backtest_days": 0,
            "boosted": boosted,
        }
    )


def _calibration(
    p: Floats, bought: Bools, horizons: Sequence[int], count: Ints
) -> dict[str, float]:
    """Return expected over actual buyers by horizon, of all and by how often they had bought."""
    segments = {
        "": np.ones(len(count), dtype=bool),
        "_bought_once": count == 1,
        "_bought_2_to_4": (count >= 2) & (count <= 4),
        "_bought_5_or_more": count >= 5,
    }
    return {
        f"{days}d{name}": float(p[rows, column].sum() / bought[rows, column].sum())
        for column, days in enumerate(horizons)
        for name, rows in segments.items()
        if bought[rows, column].sum() >= _FEWEST_BUYERS
    }


def _count_bin(expected: Floats) -> Ints:
    return np.searchsorted(_COUNT_EDGES, expected, side="right").astype(np.int64)


def _median_factors(expected: Floats, count: Floats) -> tuple[float, ...]:
    """Return per bin of `expected` the factor that makes the sum of absolute errors least.

    The median of count / expected, weighted by what is expected, with `_MEDIAN_PRIOR` customers
    who buy as expected among them.
    """
    factors = []
    at = _count_bin(expected)
    for number in range(len(_COUNT_EDGES) + 1):
        mean = expected[at == number]
        ratio = np.append(count[at == number] / np.maximum(mean, 1e-9), 1.0)
        weight = np.append(mean, _MEDIAN_PRIOR * (mean.mean() if len(mean) else 1.0))
        order = np.argsort(ratio, kind="stable")
        reached = np.cumsum(weight[order]) >= 0.5 * weight.sum()
        factors.append(float(ratio[order][reached.argmax()]))
    return tuple(factors)


def _log_loss(p: Floats, bought: Floats) -> float:
    p = np.clip(p, 1e-4, 1.0 - 1e-4)
    return float(-np.where(bought, np.log(p), np.log1p(-p)).mean())
