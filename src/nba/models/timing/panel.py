"""Person-period rows: one per customer, cut-off and period in which they could still buy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nba.arrays import Floats, Ints, Singles
from nba.models.purchases import PurchaseDays, follow_up
from nba.models.timing.btyd import Btyd, Summary, summarise
from nba.models.timing.features import FEATURES, features_at

#: Columns of a person-period row, with the sign that the hazard must have in them.
COLUMNS: Final[dict[str, int]] = {
    **FEATURES,
    "p_alive_bg": 0,
    "p_purchase_bg": 0,
    "p_alive_regular": 0,
    "p_purchase_regular": 0,
    "period": 0,
    "days_since_purchase_at_period": 0,
    "overdue_at_period": 0,
    "hazard_bg": 1,
    "hazard_regular": 1,
}
NAMES: Final = tuple(COLUMNS)
SINCE: Final = NAMES.index("days_since_purchase")
PERIOD: Final = NAMES.index("period")
GAP: Final = NAMES.index("gap_days_shrunk")


def logit(p: Floats) -> Floats:
    """Return log(p / (1 - p)), finite at 0 and 1."""
    p = np.clip(p, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(p) - np.log1p(-p))


def expit(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -40.0, 40.0))))


@dataclass(frozen=True)
class PanelBuilder:
    """What turns a log and a cut-off into rows; learned once, kept with the model.

    Parameters
    ----------
    edges : array of int, shape (periods + 1,)
        Days from the cut-off at which periods begin and end; the first is 0.
    typical_gap : float
    first_day : int
        Where the records began when the model was fitted.
    bg, regular : Btyd
        BG/NBD and MBG/CNBD-k of the population.
    """

    edges: Ints
    typical_gap: float
    first_day: int
    bg: Btyd
    regular: Btyd

    @property
    def periods(self) -> int:
        """Number of periods of the curve."""
        return len(self.edges) - 1

    def at(self, log: PurchaseDays, cutoff: int) -> Snapshot:
        """Return what is known at `cutoff` of everybody who bought before it."""
        matrix, known = features_at(
            log, cutoff, typical_gap=self.typical_gap, first_day=self.first_day
        )
        summary, _ = summarise(log, cutoff)
        days = self.edges.astype(np.float64)
        extra, hazards = [], []
        for model in (self.bg, self.regular):
            survival = np.clip(model.survival(summary, days), 1e-9, 1.0)
            hazards.append(logit(1.0 - survival[:, 1:] / survival[:, :-1]))
            extra += [model.p_alive(summary), 1.0 - survival[:, -1]]
        static = np.column_stack([matrix, *extra])
        return Snapshot(self, cutoff, static, known, summary, hazards[0], hazards[1])


@dataclass(frozen=True)
class Snapshot:
    """Customers as seen through a `PanelBuilder` at a cut-off; hazards are on the logit scale."""

    builder: PanelBuilder
    cutoff: int
    static: Floats
    known: Ints
    summary: Summary
    hazard_bg: Floats
    hazard_regular: Floats

    def take(self, rows: Ints | NDArray[np.bool_]) -> Snapshot:
        """Return the snapshot of `rows`."""
        return Snapshot(
            self.builder,
            self.cutoff,
            self.static[rows],
            self.known[rows],
            self.summary.take(rows),
            self.hazard_bg[rows],
            self.hazard_regular[rows],
        )

    def active(self, days: int) -> Snapshot:
        """Return those who bought in the last `days`."""
        return self.take(self.static[:, SINCE] <= days)

    def rows(self, period: int) -> Singles:
        """Return the rows of one period, columns as in `NAMES`."""
        begin = self.builder.edges[period]
        n, fixed = self.static.shape
        out = np.empty((n, len(NAMES)), dtype=np.float32)
        out[:, :fixed] = self.static
        since = self.static[:, SINCE] + begin
        columns = (
            np.full(n, period),
            since,
            since / self.static[:, GAP],
            self.hazard_bg[:, period],
            self.hazard_regular[:, period],
        )
        for i, column in enumerate(columns):
            out[:, fixed + i] = column
        return out


@dataclass(frozen=True)
class Panel:
    """Person-period rows for fitting; `season` and `bg` are offsets on the logit scale.

    `begin` is a row's cut-off, `end` the day on which its period was over.
    """

    rows: Singles
    bought: Floats
    season: Floats
    bg: Floats
    begin: Ints
    end: Ints

    def take(self, rows: NDArray[np.bool_] | slice) -> Panel:
        """Return the panel of `rows`."""
        return Panel(
            self.rows[rows],
            self.bought[rows],
            self.season[rows],
            self.bg[rows],
            self.begin[rows],
            self.end[rows],
        )


#: Cut-off → the season's offset of each period.
Offsets = Callable[[int], Floats]


def build_panel(
    builder: PanelBuilder,
    log: PurchaseDays,
    cutoffs: list[int],
    until: int,
    *,
    active_days: int,
    offsets: Offsets,
) -> Panel:
    """Return the rows of all `cutoffs`; a period counts if it ended by `until`.

    Customers leave with their first purchase; periods that were not seen to their end
    are left out, which is how censoring enters a discrete-time hazard.

    Parameters
    ----------
    builder : PanelBuilder
    log : PurchaseDays
    cutoffs : list of int
        Day numbers.
    until : int
        Day number.
    active_days : int
        Who bought nothing for so many days before a cut-off is left out.
    offsets : Offsets
        From a cut-off to the season of each period, on the logit scale.
    """
    parts = [
        part
        for cutoff in cutoffs
        for part in _of_cutoff(
            builder, log, cutoff, until, active_days=active_days, offsets=offsets
        )
    ]
    if not parts:
        none, day = np.empty(0), np.empty(0, np.int64)
        return Panel(np.empty((0, len(NAMES)), np.float32), none, none, none, day, day)
    rows, bought, of_season, bg, begin, end = zip(*parts, strict=True)
    return Panel(
        np.concatenate(rows),
        np.concatenate(bought),
        np.concatenate(of_season),
        np.concatenate(bg),
        np.concatenate(begin),
        np.concatenate(end),
    )


def _of_cutoff(
    builder: PanelBuilder,
    log: PurchaseDays,
    cutoff: int,
    until: int,
    *,
    active_days: int,
    offsets: Offsets,
) -> Iterator[tuple[Singles, Floats, Floats, Floats, Ints, Ints]]:
    snapshot = builder.at(log, cutoff).active(active_days)
    after = follow_up(log, cutoff, until)
    time, event = after.time[snapshot.known], after.event[snapshot.known]
    season = offsets(cutoff)
    for period in range(builder.periods):
        if cutoff + builder.edges[period + 1] > until:
            return
        at_risk = time > builder.edges[period]
        bought = (event & (time <= builder.edges[period + 1]))[at_risk]
        yield (
            snapshot.rows(period)[at_risk],
            bought.astype(np.float64),
            np.full(len(bought), season[period]),
            snapshot.hazard_bg[at_risk, period],
            np.full(len(bought), cutoff),
            np.full(len(bought), cutoff + builder.edges[period + 1]),
        )
