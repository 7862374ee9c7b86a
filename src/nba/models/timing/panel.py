"""Person-period rows: one per customer, cut-off and period in which they could still buy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nba.models.timing.btyd import Btyd, Summary, summarise
from nba.models.timing.features import FEATURES, features_at
from nba.models.timing.log import PurchaseLog, follow_up

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

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
    "season_cos": 0,
    "season_sin": 0,
}
NAMES: Final = tuple(COLUMNS)
SEASON: Final = ("season_cos", "season_sin")
#: Columns that tell the first year from later ones (the year before is on record, or is not):
#: beside them a season that was seen once could be explained away.
YEAR_TELLING: Final = (
    "purchase_days_coming_30d_last_year",
    "purchase_days_coming_90d_last_year",
)
SINCE: Final = NAMES.index("days_since_purchase")
GAP: Final = NAMES.index("gap_days_shrunk")
_YEAR: Final = 365.25


def logit(p: Floats) -> Floats:
    """Return log(p / (1 - p)), finite at 0 and 1."""
    p = np.clip(p, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(p) - np.log1p(-p))


def expit(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -40.0, 40.0))))


@dataclass(frozen=True)
class Lens:
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

    def look(self, log: PurchaseLog, cutoff: int) -> View:
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
        return View(self, cutoff, static, known, summary, hazards[0], hazards[1])


@dataclass(frozen=True)
class View:
    """Customers as seen through a `Lens` at a cut-off; hazards are on the logit scale."""

    lens: Lens
    cutoff: int
    static: Floats
    known: Ints
    summary: Summary
    hazard_bg: Floats
    hazard_regular: Floats

    def take(self, rows: Ints | NDArray[np.bool_]) -> View:
        """Return the view of `rows`."""
        return View(
            self.lens,
            self.cutoff,
            self.static[rows],
            self.known[rows],
            self.summary.take(rows),
            self.hazard_bg[rows],
            self.hazard_regular[rows],
        )

    def active(self, days: int) -> View:
        """Return those who bought in the last `days`."""
        return self.take(self.static[:, SINCE] <= days)

    def rows(self, period: int) -> Singles:
        """Return the rows of one period, columns as in `NAMES`."""
        begin, end = self.lens.edges[period], self.lens.edges[period + 1]
        n, fixed = self.static.shape
        out = np.empty((n, len(NAMES)), dtype=np.float32)
        out[:, :fixed] = self.static
        since = self.static[:, SINCE] + begin
        angle = 2.0 * np.pi * ((self.cutoff + (begin + end) / 2.0) % _YEAR) / _YEAR
        columns = (
            np.full(n, period),
            since,
            since / self.static[:, GAP],
            self.hazard_bg[:, period],
            self.hazard_regular[:, period],
            np.full(n, np.cos(angle)),
            np.full(n, np.sin(angle)),
        )
        for i, column in enumerate(columns):
            out[:, fixed + i] = column
        return out


@dataclass(frozen=True)
class Panel:
    """Person-period rows for fitting."""

    rows: Singles
    bought: Floats
    offset: Floats


def build_panel(
    lens: Lens, log: PurchaseLog, cutoffs: list[int], until: int, *, active_days: int
) -> Panel:
    """Return the rows of all `cutoffs`; a period counts if it ended by `until`.

    Customers leave with their first purchase; periods that were not seen to their end
    are left out, which is how censoring enters a discrete-time hazard.
    """
    parts = [part for c in cutoffs for part in _of_cutoff(lens, log, c, until, active_days)]
    if not parts:
        return Panel(np.empty((0, len(NAMES)), np.float32), np.empty(0), np.empty(0))
    rows, bought, offset = zip(*parts, strict=True)
    return Panel(np.concatenate(rows), np.concatenate(bought), np.concatenate(offset))


def _of_cutoff(
    lens: Lens, log: PurchaseLog, cutoff: int, until: int, active_days: int
) -> Iterator[tuple[Singles, Floats, Floats]]:
    view = lens.look(log, cutoff).active(active_days)
    after = follow_up(log, cutoff, until)
    time, event = after.time[view.known], after.event[view.known]
    for period in range(lens.periods):
        if cutoff + lens.edges[period + 1] > until:
            return
        at_risk = time > lens.edges[period]
        bought = event & (time <= lens.edges[period + 1])
        yield (
            view.rows(period)[at_risk],
            bought[at_risk].astype(np.float64),
            view.hazard_bg[at_risk, period],
        )
