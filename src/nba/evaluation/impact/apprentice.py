"""What following the lists would be worth, from the contacts that clerks make by themselves.

Nobody was drawn: clerks choose whom they contact, so the chance of a contact is estimated from
what was known that morning, and those whom they left alone stand for those whom they contacted.
Each day's list is held against what the clerk did that day, with what follows as it was.

References
----------
Robins, Rotnitzky, Zhao (1994), Estimation of regression coefficients when some regressors are not
always observed (the doubly robust estimate).
Crump, Hotz, Imbens, Mitnik (2009), Dealing with limited overlap in estimation of average treatment
effects.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl
from scipy import stats
from scipy.special import expit

from nba.arrays import Bools, Floats, Ints
from nba.evaluation.impact.inputs import ImpactInputs
from nba.evaluation.impact.listings import LOOK_BACK, PAST, until
from nba.evaluation.off_policy import MIN_EFFECTIVE_ROWS
from nba.evaluation.sequential import POWER

#: A customer is counted on the lists at most once in so many days.
ONCE_IN_DAYS: Final = 7
#: Whom clerks contact with a smaller chance a day, they never contact: nothing is said of them.
MIN_PROPENSITY: Final = 0.002
#: With a larger share of the lists on such customers, nothing is said at all.
MAX_OUTSIDE: Final = 0.25
FOLDS: Final = 3
#: Of those left alone, so many are enough to fit on.
MAX_ALONE: Final = 6_000
#: Where the lines may break, for each thing that was known.
KNOTS: Final = 4
_RIDGE: Final = 1.0
_STEPS: Final = 6
#: What was known on the morning of the day.
KNOWN: Final = (
    *PAST,
    "days_since_purchase",
    "days_since_contact",
    "contacts_91",
    "clerk_rate",
    "p_listed",
    "best_value",
)


@dataclass(frozen=True)
class FollowedLists:
    """What following the lists would be worth.

    Parameters
    ----------
    per_week, lower, upper, standard_error : float
        Gross margin of all observed customers per week, over what the clerks did; 95 %.
    weeks : float
        Weeks of which the outcome is known.
    weeks_to_tell : float
        More weeks until it can be told four times out of five, if it stays as it looks.
    effective_rows : float
        How many contacts of the clerks' stand for those of the lists.
    outside : float
        Share of the lists on customers whom the clerks never contact.
    contacts, listed : int
        Contacts that the clerks made, and that the lists would have made.
    customers : int
    """

    per_week: float
    lower: float
    upper: float
    standard_error: float
    weeks: float
    weeks_to_tell: float
    effective_rows: float
    outside: float
    contacts: int
    listed: int
    customers: int

    @property
    def verdict(self) -> str:
        """`gain`, `loss`, `open` (cannot tell yet), `early` (no outcome) or `no_overlap`."""
        if self.weeks == 0:
            return "early"
        if self.outside > MAX_OUTSIDE:
            return "no_overlap"
        if self.effective_rows < MIN_EFFECTIVE_ROWS or not np.isfinite(self.standard_error):
            return "open"
        if self.lower > 0:
            return "gain"
        return "loss" if self.upper < 0 else "open"


def watched_lists(inputs: ImpactInputs, *, seed: int) -> FollowedLists | None:
    """Return what following the lists would be worth; None where the engine did not watch."""
    if inputs.watched.is_empty():
        return None
    rows = follow_rows(
        inputs.watched,
        inputs.days,
        inputs.contacts_and_before,
        last=inputs.last,
        outcome_days=inputs.outcome_days,
    )
    return followed_lists(rows, seed=seed)


def follow_table(found: FollowedLists | None) -> pl.DataFrame:
    """Return the answer as a table of one row; empty where the engine did not watch."""
    if found is None:
        return pl.DataFrame(schema={"verdict": pl.String, "per_week": pl.Float64})
    table = pl.DataFrame([{"verdict": found.verdict, **asdict(found)}])
    return table.with_columns(pl.selectors.float().fill_nan(None))


def follow_rows(
    open_: pl.DataFrame,
    sales: pl.DataFrame,
    contacts: pl.DataFrame,
    *,
    last: date,
    outcome_days: int,
) -> pl.DataFrame:
    """Return a row per customer and day on which an action was open.

    Parameters
    ----------
    open_ : DataFrame
        day, customer_id, clerk_id, p_listed (chance of being on the list), best_value.
    sales : DataFrame
        customer_id, day, orders, amount, margin.
    contacts : DataFrame
        Of the clerks': customer_id, ts.
    last : date
        Days whose outcome is not complete by then are left out.
    outcome_days : int
        From the day after on.

    Notes
    -----
    Who bought on the day itself is left out: clerks write to those who have just bought.
    """
    days = contacts.select("customer_id", day=pl.col("ts").dt.date()).unique()
    rows = (
        once_in_days(open_)
        .filter(pl.col("day") <= last - timedelta(days=outcome_days))
        .join(days.with_columns(contacted=pl.lit(True)), on=["customer_id", "day"], how="left")
        .join(
            sales.filter(pl.col("orders") > 0).select("customer_id", "day"),
            on=["customer_id", "day"],
            how="anti",
        )
        .with_columns(pl.col("contacted").fill_null(False))
    )
    rows = _with_past(rows, sales, outcome_days)
    rows = _with_last_day(rows, sales.filter(pl.col("orders") > 0), "days_since_purchase")
    rows = _with_last_day(rows, days, "days_since_contact")
    rows = _with_contacts_before(rows, days)
    rate = (pl.col("contacted").sum() / pl.len()).over("clerk_id").alias("clerk_rate")
    return rows.with_columns(rate).sort("customer_id", "day")


def once_in_days(open_: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a chance of being listed that counts a customer once a week.

    The lists of successive days name the same customers, since nobody acted on them.
    """
    rows = open_.sort("customer_id", "day")
    code = rows["customer_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    day = rows["day"].cast(pl.Int32).to_numpy().astype(np.int64)
    at = day - day.min(initial=np.iinfo(np.int64).max)
    chance = np.zeros((int(code.max(initial=-1)) + 1, int(at.max(initial=-1)) + 1))
    chance[code, at] = rows["p_listed"].to_numpy()
    for column in range(chance.shape[1]):
        before = chance[:, max(column - ONCE_IN_DAYS + 1, 0) : column].sum(axis=1)
        chance[:, column] = np.clip(np.minimum(chance[:, column], 1 - before), 0.0, 1.0)
    return rows.with_columns(p_listed=pl.Series(chance[code, at]))


def _with_past(rows: pl.DataFrame, sales: pl.DataFrame, outcome_days: int) -> pl.DataFrame:
    """Add the margin of the days after, and what was bought in the days before."""
    running = (
        sales.sort("customer_id", "day")
        .with_columns(pl.col("orders", "amount", "margin").cum_sum().over("customer_id"))
        .sort("day")
    )
    rows = until(rows, running, outcome_days, "until")
    rows = until(rows, running, 0, "today")
    rows = until(rows, running, -1, "before")
    for days in LOOK_BACK:
        rows = until(rows, running, -1 - days, f"back_{days}")
    return rows.with_columns(
        (pl.col("margin_until") - pl.col("margin_today")).alias("margin"),
        *(
            (pl.col(f"{name}_before") - pl.col(f"{name}_back_{days}")).alias(f"{name}_{days}")
            for days in LOOK_BACK
            for name in ("margin", "orders")
        ),
    ).drop("^.*_(until|today|before|back_.*)$")


def _with_last_day(rows: pl.DataFrame, events: pl.DataFrame, name: str) -> pl.DataFrame:
    """Add the days since the latest event before the day, 999 where there was none."""
    cut = rows.with_columns(cut=pl.col("day") - pl.duration(days=1)).sort("cut")
    seen = events.select("customer_id", cut="day", event="day").unique().sort("cut")
    joined = cut.join_asof(seen, on="cut", by="customer_id", check_sortedness=False)
    since = (pl.col("day") - pl.col("event")).dt.total_days().fill_null(999)
    return joined.with_columns(since.alias(name)).drop("cut", "event")


def _with_contacts_before(rows: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Add how often the clerk contacted the customer in the 91 days before."""
    running = days.sort("customer_id", "day").with_columns(
        count=pl.int_range(1, pl.len() + 1).over("customer_id")
    )
    for name, shift in (("now", -1), ("then", -92)):
        cut = rows.with_columns(cut=pl.col("day") + pl.duration(days=shift)).sort("cut")
        seen = running.select("customer_id", pl.col("count").alias(name), cut="day").sort("cut")
        rows = cut.join_asof(seen, on="cut", by="customer_id", check_sortedness=False).drop("cut")
    count = pl.col("now").fill_null(0) - pl.col("then").fill_null(0)
    return rows.with_columns(contacts_91=count).drop("now", "then")


def followed_lists(rows: pl.DataFrame, *, seed: int) -> FollowedLists:
    """Estimate what following the lists would be worth per week.

    Parameters
    ----------
    rows : DataFrame
        Of `follow_rows`.
    seed : int
        Of the folds, and of whom the models are fitted on.
    """
    contacted = rows["contacted"].to_numpy().astype(bool)
    customer = rows["customer_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    customers = int(customer.max(initial=-1)) + 1
    days = rows["day"].n_unique()
    wanted = rows["p_listed"].to_numpy()
    if min(int(contacted.sum()), int((~contacted).sum())) < MIN_EFFECTIVE_ROWS:
        return _unknown(rows, contacted, wanted, customers, days)
    rng = np.random.default_rng(seed)
    fold = rng.integers(0, FOLDS, customers)[customer]
    propensity, alone, touched = _foreseen(rows, contacted, fold, rng)
    inside = propensity >= MIN_PROPENSITY
    outside = float(wanted[~inside].sum() / max(wanted.sum(), 1e-12))
    gain = np.where(inside, _gains(rows["margin"].to_numpy(), contacted, wanted, propensity,
                                   alone, touched), 0.0)  # fmt: skip
    weight = np.where(contacted & inside, wanted / np.maximum(propensity, MIN_PROPENSITY), 0.0)
    squares = float(np.square(weight).sum())
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    sums = np.bincount(customer, weights=gain, minlength=customers)
    to_week = 7.0 / days
    estimate = float(sums.sum()) * to_week
    error = float(sums.std(ddof=1) * np.sqrt(customers)) * to_week
    half_width = float(stats.t.ppf(0.975, customers - 1)) * error
    return FollowedLists(
        estimate,
        estimate - half_width,
        estimate + half_width,
        error,
        days / 7,
        _weeks_to_tell(estimate, error, days / 7, effective),
        effective,
        outside,
        int(contacted.sum()),
        round(float(wanted.sum())),
        customers,
    )


def _unknown(
    rows: pl.DataFrame, contacted: Bools, wanted: Floats, customers: int, days: int
) -> FollowedLists:
    """Return that nothing can be said: too few contacts."""
    nan, made = float("nan"), int(contacted.sum())
    more = days / 7 * (MIN_EFFECTIVE_ROWS / made - 1) if made else nan
    listed = round(float(wanted.sum()))
    return FollowedLists(
        nan, nan, nan, nan, days / 7, more, 0.0, 0.0, made, listed, customers
    )  # fmt: skip


def _weeks_to_tell(estimate: float, error: float, weeks: float, effective: float) -> float:
    """Return how many weeks more would tell, for the power of a test."""
    if not (error > 0 and estimate):
        return float("nan")
    z = float(stats.norm.ppf(0.975) + stats.norm.ppf(POWER))
    needed = weeks * (z * error / abs(estimate)) ** 2
    return max(needed - weeks, weeks * (MIN_EFFECTIVE_ROWS / max(effective, 1.0) - 1), 0.0)


def _gains(
    y: Floats, contacted: Bools, wanted: Floats, propensity: Floats, alone: Floats, touched: Floats
) -> Floats:
    """Return the doubly robust value of the list on each row, less what came of what was done."""
    with_ = touched + np.where(
        contacted, (y - touched) / np.maximum(propensity, MIN_PROPENSITY), 0.0
    )
    without = alone + np.where(contacted, 0.0, (y - alone) / (1 - propensity))
    gains: Floats = wanted * with_ + (1 - wanted) * without - y
    return gains


def _foreseen(
    rows: pl.DataFrame, contacted: Bools, fold: Ints, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return the chance of a contact, and the margin foreseen without and with one.

    Fitted on other customers than those they are told of.
    """
    x = _basis(rows)
    y = rows["margin"].to_numpy()
    few = min(1.0, MAX_ALONE * FOLDS / max(int((~contacted).sum()), 1))
    drawn = contacted | (rng.random(len(y)) < few)
    weight = np.where(contacted, 1.0, 1.0 / few)
    found = np.zeros((3, len(y)))
    for number in range(FOLDS):
        own, others = fold == number, (fold != number) & drawn
        on = [others, others & ~contacted, others & contacted]
        slope = _logistic(x[on[0]], contacted[on[0]].astype(np.float64), weight[on[0]])
        found[0, own] = expit(x[own] @ slope)
        for place in (1, 2):
            found[place, own] = x[own] @ _linear(x[on[place]], y[on[place]])
    return found[0], found[1], found[2]


def _basis(rows: pl.DataFrame) -> Floats:
    """Return what was known as broken lines, and the weekday, with an intercept first.

    Steps would leave what differs within a bin to be taken for an effect.
    """
    columns = [np.ones(rows.height)]
    weekday = rows["day"].dt.weekday().to_numpy()
    columns += [(weekday == day).astype(np.float64) for day in range(2, 8)]
    for name in KNOWN:
        value = rows[name].cast(pl.Float64).to_numpy()
        line = np.sign(value) * np.log1p(np.abs(value))
        line = line / max(float(line.std()), 1e-12)
        rest = line[value != 0]
        at = np.linspace(0, 1, KNOTS + 2)[1:-1]
        knots: Floats = np.unique(np.quantile(rest, at)) if len(rest) else np.zeros(0)
        columns += [line, (value == 0).astype(np.float64)]
        columns += [np.maximum(line - knot, 0.0) for knot in knots]
    return np.column_stack(columns)


def _linear(x: Floats, y: Floats) -> Floats:
    penalty = _RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 1e-9
    return np.asarray(np.linalg.solve(x.T @ x + penalty, x.T @ y), dtype=np.float64)


def _logistic(x: Floats, y: Floats, weight: Floats) -> Floats:
    """Return a ridge logistic regression by Newton's steps."""
    slope: Floats = np.zeros(x.shape[1])
    share = float(weight @ y / weight.sum())
    slope[0] = np.log(share / (1 - share))
    penalty = _RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 1e-9
    for _ in range(_STEPS):
        p = expit(x @ slope)
        curve = np.maximum(weight * p * (1 - p), 1e-12)
        step = x.T @ (weight * (y - p)) - penalty @ slope
        slope += np.linalg.solve((x * curve[:, None]).T @ x + penalty, step)
    return slope
