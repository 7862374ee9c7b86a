"""How well timing models do at a cut-off: one protocol for every data set.

Everything is fitted on what lies before the cut-off; customers who bought in the
`active_days` before it are followed for `horizon_days`. The clock starts at the cut-off, given the
time already elapsed; times are censored at the horizon or where the records end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.errors import UsageError
from nba.evaluation.calibration import calibration_error, lift, reliability
from nba.evaluation.intervals import Interval, bootstrap
from nba.evaluation.pace import Pace
from nba.evaluation.survival import (
    Outcome,
    auc,
    concordance,
    integrated_brier,
    kaplan_meier,
    mean_days_without,
)
from nba.models.purchases import PurchaseDays, day_number, follow_up, purchases_between, read_log
from nba.models.timing.baselines import fit_baselines
from nba.models.timing.core import CoreConfig, HazardCore, fit_core
from nba.models.timing.hazard import HazardConfig
from nba.models.timing.mixture import Mixture, MixtureConfig, mixture_of
from nba.models.timing.panel import SINCE, Snapshot

#: Customer ids, days since the last purchase, number of days → survival (n, days + 1).
Curves = Callable[[pl.Series, Floats, int], Floats]

HAZARD = "hazard"
#: `hazard` as it answers, and the simple rule that it carries.
SHIPS, SIMPLE = "as_it_ships", "recency_gap"
HORIZONS = (7, 14, 30, 90)
#: Brier scores are averaged from this day on.
FIRST_DAY = 7
#: Baseline that differences are taken to.
REFERENCE = "bg_nbd"


@dataclass(frozen=True)
class Protocol:
    """What is measured, and on whom."""

    cutoff: datetime
    horizon_days: int = 90
    horizons: tuple[int, ...] = HORIZONS
    active_days: int = 365
    count_days: int | None = None
    draws: int = 200


@dataclass(frozen=True)
class Prediction:
    """One model's curves (n, horizon + 1) and counts (n,), the latter where it has them."""

    survival: Floats
    count: Floats | None


@dataclass(frozen=True)
class Truth:
    """What happened to the followed customers."""

    outcome: Outcome
    count: Floats
    watched_days: int
    count_days: int


@dataclass(frozen=True)
class TimingResult:
    """Metrics by model, intervals, and what the plots are drawn from."""

    protocol: Protocol
    customers: int
    events: int
    metrics: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, Interval]
    seconds: Mapping[str, float]
    notes: tuple[str, ...]
    frames: Mapping[str, pl.DataFrame] = field(repr=False)
    core: HazardCore = field(repr=False)
    outcome: Outcome = field(repr=False)
    others: Mapping[str, Floats] = field(repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a result file."""
        return {
            "cutoff": self.protocol.cutoff.date().isoformat(),
            "horizon_days": self.protocol.horizon_days,
            "active_days": self.protocol.active_days,
            "customers": self.customers,
            "events": self.events,
            "metrics": {name: dict(row) for name, row in self.metrics.items()},
            "intervals": {
                name: {key: value.as_dict() for key, value in row.items()}
                for name, row in self.intervals.items()
            },
            f"difference_to_{REFERENCE}": {k: v.as_dict() for k, v in self.differences.items()},
            "seconds": dict(self.seconds),
            "notes": list(self.notes),
            "parameters": dict(self.parameters),
        }

    def table(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return a row per model, the metrics as columns."""
        rows = [{"model": name, **row} for name, row in self.metrics.items()]
        frame = pl.DataFrame(rows, infer_schema_length=None)
        return frame if columns is None else frame.select("model", *columns)


def run_timing_experiment(
    purchases: pl.DataFrame,
    *,
    cutoff: datetime,
    horizon_days: int = 90,
    horizons: Sequence[int] = HORIZONS,
    active_days: int = 365,
    count_days: int | None = None,
    customers: pl.Series | None = None,
    config: CoreConfig | None = None,
    baselines: bool = True,
    others: Mapping[str, Curves] | None = None,
    core: HazardCore | None = None,
    ships: bool = False,
    pace: Pace | None = None,
    draws: int = 200,
    seed: int = 20261121,
    threads: int = 0,
) -> TimingResult:
    """Fit on what lies before `cutoff`, predict, and compare with what came after.

    Parameters
    ----------
    purchases : polars.DataFrame
        `customer_id`, `ts`, `amount`; `quantity` and `margin` where there. It also
        holds what came after the cut-off; the models never see that.
    cutoff : datetime
        Naive local midnight of the first day to be predicted.
    horizon_days : int
        How far the curves are followed.
    active_days : int
        Only customers with a purchase in so many days before the cut-off are judged.
    count_days : int, optional
        Over how many days purchases are counted; the horizon by default.
    customers : polars.Series, optional
        Judge these only (all are learned from).
    others : mapping of str to callable, optional
        Further curves to judge, given customer ids, days since the last purchase and the
        number of days: the truth of a simulated world, or another model.
    core : HazardCore, optional
        The model of an earlier run on the same purchases and cut-off, to judge other customers.
    ships : bool
        Also judge the curves as the kind `hazard` answers, with its simple rule, and that rule.
    pace : Pace, optional
        Says what is done; baselines and intervals are left out when its time is up.
    draws : int
        Bootstrap draws, by customer; 0 for none.

    Raises
    ------
    UsageError
        When nothing lies before or after the cut-off.
    """
    protocol = Protocol(cutoff, horizon_days, tuple(horizons), active_days, count_days, draws)
    config = config if config is not None else HazardConfig(active_days=active_days)
    pace = pace or Pace()
    pace.begin("fitting the learned curves")
    today = day_number(cutoff)
    everything = read_log(purchases, as_of=datetime.max)
    _check(everything, today, cutoff)
    started = perf_counter()
    if core is None:
        core = fit_core(everything, today, config, seed=seed, threads=threads)
    seconds = {"fit": perf_counter() - started}
    snapshot = core.builder.at(everything, today).active(active_days)
    if customers is not None:
        wanted = everything.ids["customer_id"].is_in(customers.implode()).to_numpy()
        snapshot = snapshot.take(wanted[snapshot.known])
    truth, notes = _truth(everything, snapshot, protocol)
    started = perf_counter()
    predictions = {HAZARD: _predict(core, snapshot, truth, threads)}
    seconds["score"] = perf_counter() - started
    if ships and isinstance(config, MixtureConfig):
        pace.begin("backtesting them beside the simple rule")
        mixture = mixture_of(core, everything, today, config, seed=seed, threads=threads)
        predictions |= _as_it_ships(mixture, everything, snapshot, truth, threads)
        notes.append(f"as it ships: {mixture.backtest.sentence()}")
    if baselines and pace.allows("fitting the baselines"):
        predictions |= _baselines(core, everything, snapshot, truth, config)
    ids = everything.ids["customer_id"].gather(snapshot.known)
    for name, curves in (others or {}).items():
        survival = curves(ids, snapshot.static[:, SINCE], truth.watched_days)
        predictions[name] = Prediction(survival, None)
    pace.begin(f"measuring {', '.join(predictions)}")
    metrics = {name: _measure(p, truth, protocol) for name, p in predictions.items()}
    if draws and not pace.allows(f"intervals of {draws} draws"):
        protocol = replace(protocol, draws=0)
    intervals, differences = _intervals(predictions, truth, protocol, seed)
    frames = _frames(predictions[HAZARD], truth, protocol, everything, snapshot)
    return TimingResult(
        protocol,
        len(snapshot.known),
        int(truth.outcome.event.sum()),
        metrics,
        intervals,
        differences,
        seconds,
        tuple(notes),
        frames,
        core,
        truth.outcome,
        {name: predictions[name].survival for name in others or {}},
        {
            "config": config.model_dump(mode="json"),
            "seed": seed,
            "regularity_k": core.builder.regular.k,
        },
    )


def _check(log: PurchaseDays, today: int, cutoff: datetime) -> None:
    before, after = (log.day < today).any(), (log.day >= today).any()
    if before and after:
        return
    span = "no purchase at all"
    if len(log.day):
        days = pl.Series([int(log.day.min()), int(log.day.max())]).cast(pl.Date)
        span = f"purchases from {days[0]} to {days[1]}"
    raise UsageError(
        f"the cut-off {cutoff.date()} does not split the purchases",
        expected="purchases before and after it",
        found=span,
        next_step="choose a cut-off inside the records",
    )


def _truth(log: PurchaseDays, snapshot: Snapshot, protocol: Protocol) -> tuple[Truth, list[str]]:
    today, last = snapshot.cutoff, int(log.day.max()) + 1
    watched = min(protocol.horizon_days, last - today)
    wanted = protocol.count_days or protocol.horizon_days
    counted = min(wanted, last - today)
    notes = []
    if watched < protocol.horizon_days or counted < wanted:
        notes.append(f"the records end {last - today} days after the cut-off")
    after = follow_up(log, today, today + watched)
    outcome = Outcome(after.time[snapshot.known].astype(np.float64), after.event[snapshot.known])
    count = purchases_between(log, today, today + counted)[snapshot.known].astype(np.float64)
    return Truth(outcome, count, watched, counted), notes


def _predict(core: HazardCore, snapshot: Snapshot, truth: Truth, threads: int) -> Prediction:
    survival = core.survival(snapshot, truth.watched_days, threads=threads)
    count = core.expected_purchases(snapshot, (float(truth.count_days),), threads=threads)[0]
    return Prediction(survival, count)


def _as_it_ships(
    mixture: Mixture, log: PurchaseDays, snapshot: Snapshot, truth: Truth, threads: int
) -> dict[str, Prediction]:
    days = truth.watched_days
    simple = replace(mixture, backtest=replace(mixture.backtest, share=0.0))
    return {
        name: Prediction(one.forecast(log, snapshot, days, threads=threads).survival, None)
        for name, one in ((SHIPS, mixture), (SIMPLE, simple))
    }


def _baselines(
    core: HazardCore, log: PurchaseDays, snapshot: Snapshot, truth: Truth, config: CoreConfig
) -> dict[str, Prediction]:
    fitted = fit_baselines(
        core.builder,
        log,
        snapshot.cutoff,
        days=truth.watched_days,
        active_days=config.active_days,
    )
    return {
        name: Prediction(
            baseline.survival(snapshot, truth.watched_days),
            baseline.expected_purchases(snapshot, float(truth.count_days)),
        )
        for name, baseline in fitted.items()
    }


def _measure(
    prediction: Prediction, truth: Truth, protocol: Protocol, rows: Ints | None = None
) -> dict[str, float]:
    """Return every metric of one model, on `rows` only where given."""
    survival, outcome, count = prediction.survival, truth.outcome, truth.count
    if rows is not None:
        survival, outcome, count = survival[rows], outcome.take(rows), count[rows]
    end = truth.watched_days
    times = np.arange(FIRST_DAY, end, dtype=np.float64)
    found = {
        "concordance": concordance(outcome, -mean_days_without(survival)),
        "integrated_brier": integrated_brier(outcome, survival[:, FIRST_DAY:end], times),
    }
    for horizon in protocol.horizons:
        if horizon > end:
            continue
        happened = outcome.event & (outcome.time <= horizon)
        p = 1.0 - survival[:, horizon]
        found[f"auc_{horizon}d"] = auc(happened, p)
        found[f"calibration_error_{horizon}d"] = calibration_error(p, happened)
        found[f"bias_{horizon}d"] = float(p.mean() - happened.mean())
    if prediction.count is not None:
        guess = prediction.count if rows is None else prediction.count[rows]
        found |= count_metrics(guess, count)
    return found


def count_metrics(expected: Floats, count: Floats) -> dict[str, float]:
    """Return the errors of expected purchase counts; bias is relative to the total."""
    error, total = expected - count, max(float(count.sum()), 1e-12)
    varies = expected.std() > 0 and count.std() > 0
    return {
        "count_mae": float(np.abs(error).mean()),
        "count_rmse": float(np.sqrt((error**2).mean())),
        "count_msle": float(((np.log1p(expected) - np.log1p(count)) ** 2).mean()),
        "count_correlation": float(np.corrcoef(expected, count)[0, 1]) if varies else float("nan"),
        "count_wape": float(np.abs(error).sum()) / total,
        "count_bias": float(error.sum()) / total,
    }


def _intervals(
    predictions: Mapping[str, Prediction], truth: Truth, protocol: Protocol, seed: int
) -> tuple[dict[str, dict[str, Interval]], dict[str, Interval]]:
    """Return intervals of the hazard, and of its difference to the reference."""
    if not protocol.draws:
        return {}, {}
    ours, theirs = predictions[HAZARD], predictions.get(REFERENCE)

    def both(rows: Ints) -> dict[str, float]:
        mine = _measure(ours, truth, protocol, rows)
        if theirs is None:
            return mine
        other = _measure(theirs, truth, protocol, rows)
        return mine | {f"-{name}": mine[name] - other[name] for name in mine}

    drawn = bootstrap(both, len(truth.count), draws=protocol.draws, seed=seed)
    mine = {name: value for name, value in drawn.items() if not name.startswith("-")}
    return {HAZARD: mine}, {n[1:]: value for n, value in drawn.items() if n.startswith("-")}


def _frames(
    prediction: Prediction, truth: Truth, protocol: Protocol, log: PurchaseDays, snapshot: Snapshot
) -> dict[str, pl.DataFrame]:
    """Return the tables that the plots show."""
    outcome, survival = truth.outcome, prediction.survival
    frames = {
        "survival": _by_segment(snapshot, outcome, survival),
        "tracking": _tracking(log, snapshot, survival),
    }
    calibration, lifts = [], []
    for horizon in protocol.horizons:
        if horizon > truth.watched_days:
            continue
        happened = outcome.event & (outcome.time <= horizon)
        p = 1.0 - survival[:, horizon]
        table = reliability(p, happened).with_columns(horizon=pl.lit(horizon))
        calibration.append(table)
        shares = tuple(np.arange(1, 21) / 20)
        lifts.append(
            pl.DataFrame(
                {"horizon": horizon, "share": shares, "lift": lift(p, happened, shares=shares)}
            )
        )
    return frames | {"calibration": pl.concat(calibration), "lift": pl.concat(lifts)}


def _by_segment(snapshot: Snapshot, outcome: Outcome, survival: Floats) -> pl.DataFrame:
    """Return predicted and observed curves by number of purchase days."""
    count = snapshot.static[:, 0]
    edges = {"1 purchase": (1, 1), "2-3": (2, 3), "4-9": (4, 9), "10 and more": (10, np.inf)}
    parts = []
    for name, (low, high) in edges.items():
        mine = (count >= low) & (count <= high)
        if not mine.any():
            continue
        times, observed = kaplan_meier(outcome.take(np.flatnonzero(mine)))
        days = np.arange(survival.shape[1])
        at = np.searchsorted(times, days, side="right") - 1
        parts.append(
            pl.DataFrame(
                {
                    "segment": name,
                    "day": days,
                    "predicted": survival[mine].mean(axis=0),
                    "observed": np.where(at >= 0, observed[np.maximum(at, 0)], 1.0),
                }
            )
        )
    return pl.concat(parts)


def _tracking(log: PurchaseDays, snapshot: Snapshot, survival: Floats) -> pl.DataFrame:
    """Return first purchases per week after the cut-off: predicted and observed."""
    weeks = (survival.shape[1] - 1) // 7
    edges = np.arange(weeks + 1) * 7
    left = survival[:, edges].sum(axis=0)
    after = follow_up(log, snapshot.cutoff, snapshot.cutoff + weeks * 7)
    time = after.time[snapshot.known][after.event[snapshot.known]]
    observed = np.histogram(time, bins=edges + 0.5)[0]
    return pl.DataFrame(
        {"week": np.arange(1, weeks + 1), "predicted": -np.diff(left), "observed": observed}
    )
