"""When: an hour window from the customer's habit, inside the shift and out of quiet hours."""

from __future__ import annotations

from datetime import datetime, time
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.decisions.inputs import DecisionInputs
from nba.decisions.policy import ContactPolicy

SHIFT_START: Final = "10:00"
SHIFT_END: Final = "20:00"
HOURS: Final = 24
#: Windows start on quarters of an hour.
QUARTERS: Final = 4


def _hours(column: pl.Expr, default: str) -> pl.Expr:
    """Return `HH:MM` as hours; what cannot be read counts as `default`."""
    text = column.fill_null(default)
    hour = text.str.extract(r"^(\d{1,2})", 1).cast(pl.Float64, strict=False)
    minute = text.str.extract(r"^\d{1,2}:(\d{2})", 1).cast(pl.Float64, strict=False)
    base = float(default[:2])
    return hour.fill_null(base).clip(0, 24) + minute.fill_null(0.0) / 60


def as_hours(moment: time) -> float:
    """Return a time of day in hours."""
    return moment.hour + moment.minute / 60


def reachable_hours(clerks: pl.DataFrame, policy: ContactPolicy) -> pl.DataFrame:
    """Return the hours of each clerk's shift that are not quiet: clerk_id, opens, closes.

    Hours are those of the clocks of the clerk's store. A shift that does not end after its
    start ends on the next day, of which it takes no hours. One that lies wholly in quiet hours
    has closes <= opens.
    """
    quiet = policy.quiet_hours
    start = _hours(pl.col("shift_start"), SHIFT_START)
    end = _hours(pl.col("shift_end"), SHIFT_END)
    end = pl.when(end > start).then(end).otherwise(end + 24)
    return clerks.select(
        "clerk_id",
        opens=start.clip(lower_bound=as_hours(quiet.end)),
        closes=end.clip(upper_bound=as_hours(quiet.start)),
    )


def quiet_shifts(clerks: pl.DataFrame, policy: ContactPolicy) -> pl.DataFrame:
    """Return the clerks whose shift lies wholly in quiet hours: clerk_id, shift_start, shift_end.

    Whoever has left is not among them.
    """
    hours = reachable_hours(clerks, policy).filter(pl.col("closes") <= pl.col("opens"))
    return (
        clerks.filter(~pl.col("has_left"))
        .join(hours, on="clerk_id", how="semi")
        .select(
            "clerk_id",
            pl.col("shift_start").fill_null(SHIFT_START),
            pl.col("shift_end").fill_null(SHIFT_END),
        )
        .sort("clerk_id")
    )


def known_reach(inputs: DecisionInputs) -> pl.DataFrame:
    """Return `customer_id, reach` of who may be profiled, see `contact_windows`."""
    may = inputs["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    scored = inputs["mode"].select("customer_id", "reach").drop_nulls()
    return scored.unique("customer_id", keep="first").join(may, on="customer_id", how="semi")


def contact_windows(
    facts: pl.DataFrame, *, as_of: datetime, policy: ContactPolicy
) -> tuple[pl.Series, pl.Series]:
    """Return the first and last moment of each contact, by the project's clocks.

    Parameters
    ----------
    facts : DataFrame
        With `opens`, `closes` (hours of the store's clocks), `ahead_minutes` (by which the
        store's clocks are ahead of the project's; null: they are the same) and the hour habits
        of each customer, by the store's clocks; `reach`, where it is known: the chance that a
        message sent in each hour of the day is read, 24 numbers.

    Notes
    -----
    Where `reach` is known, the window is the one in which most messages are read. Else the hour of
    responses is pulled towards the hour of purchases, and this towards the
    middle of the shift, by `hour_shrinkage` pretended observations: three answers do not
    make a habit.
    """
    opens, closes = _column(facts, "opens"), _column(facts, "closes")
    ahead = np.nan_to_num(_column(facts, "ahead_minutes"))
    middle = (opens + closes) / 2
    shrinkage = policy.hour_shrinkage
    bought = _shrink(middle, facts, "purchase_hour_peak", "purchase_days", shrinkage)
    hour = _shrink(bought, facts, "response_hour_peak", "responses_90d", shrinkage)
    width = np.minimum(policy.window_hours, np.maximum(closes - opens, 0.0))
    start = np.clip(np.floor((hour - width / 2) * 4 + 0.5) / 4, opens, closes - width)
    read = _reading(facts)
    known = np.isfinite(read).all(axis=1)
    best = best_start(read[known], opens[known], closes[known], width[known], ahead[known])
    start[known] = best
    minutes = np.round(start * 60 - ahead).astype(np.int64)
    length = np.floor(width * 60).astype(np.int64)
    moment = pl.Series("from", [as_of], dtype=pl.Datetime("us"))
    frame = pl.DataFrame({"start": minutes, "end": minutes + length})
    windows = frame.select(
        contact_from=pl.lit(moment[0]) + pl.duration(minutes="start"),
        contact_to=pl.lit(moment[0]) + pl.duration(minutes="end"),
    )
    return windows["contact_from"], windows["contact_to"]


def _reading(facts: pl.DataFrame) -> Floats:
    """Return `reach`, shape (customers, 24); NaN where it is not known."""
    nothing = np.full((facts.height, HOURS), np.nan)
    if "reach" not in facts.columns or facts["reach"].null_count() == facts.height:
        return nothing
    known = facts["reach"].list.len().fill_null(0).to_numpy() == HOURS
    rows = np.flatnonzero(known)
    flat = facts["reach"].gather(rows).explode(empty_as_null=False).to_numpy()
    nothing[rows] = flat.reshape(len(rows), HOURS)
    return nothing


def best_start(
    reach: Floats, opens: Floats, closes: Floats, width: Floats, ahead: Floats
) -> Floats:
    """Return the start of the window, in hours, in which most messages are read, (customers,).

    Parameters
    ----------
    reach : array of shape (customers, 24)
        The chance of a read by the hour of the project's clocks.
    opens, closes, width : arrays of shape (customers,)
        Hours of the store's clocks; `closes` may be past midnight.
    ahead : array of shape (customers,)
        Minutes by which the store's clocks are ahead of the project's.
    """
    if not len(reach):
        return np.zeros(0)
    quarters = HOURS * QUARTERS
    shift = np.round(ahead / 60 * QUARTERS).astype(np.int64)
    place = (np.arange(2 * quarters)[None, :] - shift[:, None]) % quarters // QUARTERS
    smooth = reach / 2 + (np.roll(reach, 1, axis=1) + np.roll(reach, -1, axis=1)) / 4
    curve = np.take_along_axis(smooth, place, axis=1)
    total = np.cumsum(np.pad(curve, ((0, 0), (1, 0))), axis=1)
    length = np.maximum(np.round(width * QUARTERS).astype(np.int64), 1)[:, None]
    starts = np.arange(quarters)[None, :]
    end = np.minimum(starts + length, 2 * quarters)
    mean = (np.take_along_axis(total, end, axis=1) - total[:, :quarters]) / length
    at = starts / QUARTERS
    able = (at >= opens[:, None]) & (at + width[:, None] <= closes[:, None] + 1e-9)
    best = np.where(able, mean, -1.0).argmax(axis=1) / QUARTERS
    return np.where(able.any(axis=1), best, opens)


def _column(facts: pl.DataFrame, name: str) -> Floats:
    return facts[name].cast(pl.Float64).to_numpy()


def _shrink(prior: Floats, facts: pl.DataFrame, peak: str, count: str, k: float) -> Floats:
    hour = facts[peak].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    n = facts[count].cast(pl.Float64).fill_null(0.0).to_numpy()
    weight = np.where(np.isfinite(hour), n / np.maximum(n + k, 1e-9), 0.0)
    pulled: Floats = prior + weight * (np.nan_to_num(hour) - prior)
    return pulled
