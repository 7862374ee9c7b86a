"""What a user would pick instead: the timing baselines, each a survival curve per customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from nba.arrays import Floats, Ints
from nba.models.purchases import PurchaseDays, follow_up
from nba.models.timing.features import FEATURES
from nba.models.timing.panel import PanelBuilder, Snapshot

_COLUMN: Final = {name: i for i, name in enumerate(FEATURES)}


class Baseline(Protocol):
    """A fitted baseline."""

    def survival(self, snapshot: Snapshot, days: int) -> Floats:
        """Return P(no purchase in the first t days) for t = 0..days, shape (n, days + 1)."""

    def expected_purchases(self, snapshot: Snapshot, days: float) -> Floats | None:
        """Return the expected number of purchase days, or None where it has no opinion."""


@dataclass(frozen=True)
class Past:
    """What followed past cut-offs: snapshots, times and whether they ended in a purchase."""

    snapshots: list[Snapshot]
    time: Ints
    event: NDArray[np.bool_]

    def column(self, name: str) -> Floats:
        """Return one feature over all past cut-offs."""
        return np.concatenate([snapshot.static[:, _COLUMN[name]] for snapshot in self.snapshots])


def past_follow_ups(
    builder: PanelBuilder,
    log: PurchaseDays,
    today: int,
    *,
    days: int,
    active_days: int,
    step: int = 30,
    most: int = 12,
) -> Past:
    """Return the follow-ups of past cut-offs, every one `days` long and over by `today`.

    Parameters
    ----------
    builder : PanelBuilder
    log : PurchaseDays
    today : int
        Day number; nothing from it on is read.
    days : int
        Length of a follow-up.
    active_days : int
        Who bought nothing for so many days before a cut-off is left out.
    step : int
        Days between cut-offs.
    most : int
        Cut-offs at most, the newest first.
    """
    snapshots, times, events = [], [], []
    for cutoff in range(today - days, builder.first_day + step, -step)[:most]:
        snapshot = builder.at(log, cutoff).active(active_days)
        after = follow_up(log, cutoff, cutoff + days)
        snapshots.append(snapshot)
        times.append(after.time[snapshot.known])
        events.append(after.event[snapshot.known])
    if not snapshots:
        return Past([], np.zeros(0, np.int64), np.zeros(0, bool))
    return Past(snapshots, np.concatenate(times), np.concatenate(events))


@dataclass(frozen=True)
class BuyTillYouDie:
    """BG/NBD or MBG/CNBD-k as they stand."""

    regular: bool

    def survival(self, snapshot: Snapshot, days: int) -> Floats:
        """Return the model's closed form."""
        model = snapshot.builder.regular if self.regular else snapshot.builder.bg
        return model.survival(snapshot.summary, np.arange(days + 1, dtype=np.float64))

    def expected_purchases(self, snapshot: Snapshot, days: float) -> Floats | None:
        """Return the model's expectation."""
        model = snapshot.builder.regular if self.regular else snapshot.builder.bg
        return model.expected_purchases(snapshot.summary, days)


@dataclass(frozen=True)
class MeanGap:
    """Everybody buys at the rate of their own mean gap, shrunk to the population's."""

    def survival(self, snapshot: Snapshot, days: int) -> Floats:
        """Return exponential curves."""
        return np.asarray(np.exp(-np.arange(days + 1) / self._gap(snapshot)[:, None]))

    def expected_purchases(self, snapshot: Snapshot, days: float) -> Floats | None:
        """Return days over gap."""
        return np.asarray(days / self._gap(snapshot))

    def _gap(self, snapshot: Snapshot) -> Floats:
        return snapshot.static[:, _COLUMN["gap_days_shrunk"]]


@dataclass(frozen=True)
class KaplanMeierByRecency:
    """One Kaplan–Meier curve per tenth of customers by days since the last purchase."""

    edges: Floats
    curves: Floats
    counts: Floats

    @classmethod
    def fit(cls, past: Past, days: int, *, bins: int = 10) -> KaplanMeierByRecency:
        """Count, per bin, who had not bought again after t days."""
        recency = past.column("days_since_purchase")
        edges = np.unique(np.quantile(recency, np.arange(1, bins) / bins))
        cell = np.searchsorted(edges, recency, side="left")
        curves = np.ones((len(edges) + 1, days + 1))
        for i in range(len(curves)):
            mine = cell == i
            left = np.bincount(past.time[mine & past.event], minlength=days + 1)[: days + 1]
            curves[i] = 1.0 - np.cumsum(left) / max(1, mine.sum())
        return cls(edges, curves, -np.log(np.maximum(curves[:, -1], 1e-9)) / days)

    def survival(self, snapshot: Snapshot, days: int) -> Floats:
        """Look the curve up; beyond its end the average hazard goes on."""
        cell = self._cell(snapshot)
        have = self.curves.shape[1] - 1
        if days <= have:
            return np.asarray(self.curves[cell, : days + 1])
        tail = np.exp(-self.counts[:, None] * np.arange(1, days - have + 1))
        return np.asarray(np.hstack([self.curves, self.curves[:, [-1]] * tail])[cell])

    def expected_purchases(self, snapshot: Snapshot, days: float) -> Floats | None:
        """Return None: a curve to the first purchase does not count them."""
        return None

    def _cell(self, snapshot: Snapshot) -> Ints:
        recency = snapshot.static[:, _COLUMN["days_since_purchase"]]
        return np.asarray(np.searchsorted(self.edges, recency, side="left"))


_COX_FEATURES: Final = (
    "days_since_purchase",
    "purchase_days",
    "gap_days_shrunk",
    "overdue_shrunk",
    "purchase_days_90d",
    "purchase_days_365d",
    "amount_mean",
    "age_days",
)


@dataclass(frozen=True)
class Cox:
    """Proportional hazards (Cox, 1972) with Breslow's baseline, on logarithms of features."""

    mean: Floats
    spread: Floats
    beta: Floats
    baseline: Floats

    @classmethod
    def fit(cls, past: Past, days: int, *, ridge: float = 1.0) -> Cox:
        """Maximise the partial likelihood; ties by Breslow, sums per distinct day."""
        raw = np.column_stack([np.log1p(past.column(name)) for name in _COX_FEATURES])
        mean, spread = raw.mean(axis=0), raw.std(axis=0) + 1e-9
        z = (raw - mean) / spread
        width = z.shape[1]
        beta = np.zeros(width)
        died = np.bincount(past.time, weights=past.event, minlength=days + 1)
        total = z[past.event].sum(axis=0)
        for _ in range(12):
            weight = np.exp(np.clip(z @ beta, -20, 20))
            first = _at_risk(past.time, weight[:, None] * z, days)
            none = _at_risk(past.time, weight[:, None], days)[:, 0]
            pairs = (weight[:, None, None] * z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
            second = _at_risk(past.time, pairs, days).reshape(-1, width, width)
            there = (died > 0) & (none > 0)
            average = first[there] / none[there, None]
            spread_at = second[there] / none[there, None, None]
            spread_at -= average[:, :, None] * average[:, None, :]
            slope = total - died[there] @ average - ridge * beta
            curvature = np.tensordot(died[there], spread_at, axes=1) + ridge * np.eye(width)
            step = np.linalg.solve(curvature, slope)
            beta = beta + step
            if np.abs(step).max() < 1e-6:
                break
        none = _at_risk(past.time, np.exp(np.clip(z @ beta, -20, 20))[:, None], days)[:, 0]
        hazard = np.where(none > 0, died / np.maximum(none, 1e-300), 0.0)
        return cls(mean, spread, beta, np.cumsum(hazard))

    def survival(self, snapshot: Snapshot, days: int) -> Floats:
        """Return baseline to the power of the relative risk; constant hazard beyond its end."""
        raw = np.column_stack([np.log1p(snapshot.static[:, _COLUMN[n]]) for n in _COX_FEATURES])
        risk = np.exp(np.clip(((raw - self.mean) / self.spread) @ self.beta, -20, 20))
        have = len(self.baseline) - 1
        at = np.interp(np.arange(days + 1), np.arange(have + 1), self.baseline)
        more = np.maximum(np.arange(days + 1) - have, 0) * self.baseline[-1] / have
        return np.asarray(np.exp(-risk[:, None] * (at + more)))

    def expected_purchases(self, snapshot: Snapshot, days: float) -> Floats | None:
        """Return None: a curve to the first purchase does not count them."""
        return None


def _at_risk(time: Ints, values: Floats, days: int) -> Floats:
    """Return, per day, the sum of `values` over who is still without a purchase."""
    sums = np.zeros((days + 1, values.shape[1]))
    for k in range(values.shape[1]):
        sums[:, k] = np.bincount(time, weights=values[:, k], minlength=days + 1)[: days + 1]
    return np.asarray(sums[::-1].cumsum(axis=0)[::-1])


def fit_baselines(
    builder: PanelBuilder, log: PurchaseDays, today: int, *, days: int, active_days: int
) -> dict[str, Baseline]:
    """Fit every baseline on what lies before `today`.

    The curves that need labels look `days` ahead from past cut-offs, or as far as half the
    log allows where it is too short for that.

    Parameters
    ----------
    builder : PanelBuilder
    log : PurchaseDays
    today : int
        Day number.
    days : int
        How far the curves look ahead.
    active_days : int
        Who bought nothing for so many days before a cut-off is left out.
    """
    log = log.before(today)
    days = min(days, max(14, (today - builder.first_day) // 2))
    past = past_follow_ups(builder, log, today, days=days, active_days=active_days)
    baselines: dict[str, Baseline] = {"mean_gap": MeanGap()}
    if past.event.any():
        baselines["km_by_recency"] = KaplanMeierByRecency.fit(past, days)
        baselines["cox"] = Cox.fit(past, days)
    return baselines | {"bg_nbd": BuyTillYouDie(False), "mbg_cnbd_k": BuyTillYouDie(True)}
