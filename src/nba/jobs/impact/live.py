"""`nba experiment analyse|power`: running arms looked at any day, and how long a test must run."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final

import polars as pl

from nba.errors import NotFoundError, UsageError
from nba.evaluation.impact.cohort import CONTROL, Cohort, build_cohort, with_purchases
from nba.evaluation.impact.listings import listing_rows
from nba.evaluation.impact.live import analyse, plan_table
from nba.evaluation.impact.what_if import WhatIf, what_if
from nba.jobs.impact.gather import gather, period, sales_days
from nba.wiring import Wiring

#: Lengths of a test that are shown, in weeks, and the days of sales that they are judged by.
WEEKS: Final = (2, 4, 8, 13, 26)
DAYS: Final = 91
SAID: Final = {
    "go_on": "go on: nothing is proven yet",
    "better": "proven better: it may be stopped or kept at any time",
    "worse": "STOP: proven worse",
    "stop_harm": "STOP: blocks or complaints rose beyond doubt",
    "stop_broken": "STOP: the arms are not as large as they should be; find out why",
}


def analyse_arms(
    wiring: Wiring, first: date | None, last: date | None, *, control: str = CONTROL
) -> pl.DataFrame:
    """Return what every arm changed against a control so far; may be looked at every day.

    Parameters
    ----------
    wiring : Wiring
    first, last : date, optional
        Both in it; by default the days of all plans that are kept.
    control : str
        The arm that the others are held against.

    Raises
    ------
    UsageError
        When the control is no arm of these days, or the only one.
    """
    inputs = gather(wiring, *period(wiring, first, last))
    cohort = build_cohort(inputs)
    arms = sorted(cohort.table["arm"].unique().to_list())
    if control not in arms or len(arms) < 2:
        raise UsageError(
            f"there is nothing to hold against the arm {control!r}",
            expected="a control and another arm",
            found=", ".join(arms),
            next_step="set `arms` in nba.yaml, or name another --control",
        )
    return analyse(inputs, cohort, control)


def analysis_lines(found: pl.DataFrame, currency: str) -> list[str]:
    """Return an analysis as lines for people."""
    lines = []
    for row in found.filter(pl.col("outcome") == "margin").iter_rows(named=True):
        lines.append(f"{row['arm']} against {row['control']}: {SAID[row['verdict']]}")
        lines.append(
            f"  margin per customer {row['estimate']:+,.2f} {currency}, at any look between "
            f"{row['lower']:+,.2f} and {row['upper']:+,.2f} (95 %); {row['customers']:,} customers "
            f"against {row['held']:,}"
        )
        if row["on_contacted"] is not None:
            difference = f"{row['on_contacted']:+,.2f} {currency}"
            lines.append(f"  per customer contacted because of it {difference}")
        rest = found.filter((pl.col("arm") == row["arm"]) & (pl.col("outcome") != "margin"))
        lines += [
            f"  {lift['outcome']:<11} {lift['estimate']:+.4f} [{lift['lower']:+.4f}, "
            f"{lift['upper']:+.4f}]"
            for lift in rest.iter_rows(named=True)
        ]
        lines.append(f"  sizes of the arms: p = {row['ratio_p']:.2g}")
    return lines


def plan_test(wiring: Wiring, last: date, *, share: float) -> pl.DataFrame:
    """Return what a test of all customers could find, by its length, judged by the last quarter.

    Parameters
    ----------
    wiring : Wiring
    last : date
        The last day of sales that is looked at.
    share : float
        Of the customers in the control.

    Raises
    ------
    UsageError
        When the share is not between 0 and 1.
    NotFoundError
        When nobody bought in the year before.
    """
    if not 0 < share < 1:
        raise UsageError(
            "--share is not a share", expected="between 0 and 1, as 0.1", found=str(share)
        )
    start = last - timedelta(days=DAYS - 1)
    moment = datetime.combine(last + timedelta(days=1), time())
    tables = wiring.tables.at(moment)
    days = sales_days(tables, wiring.tables.collect, moment, start)
    customers = days.filter((pl.col("day") < start) & (pl.col("orders") > 0))
    if customers.is_empty():
        raise NotFoundError(
            f"nobody bought in the year before {start}",
            expected="tables with a year of sales",
            next_step="bring tables in with `nba ingest FOLDER`, or choose another --to",
        )
    table = customers.select("customer_id").unique().sort("customer_id")
    spans = table.with_columns(start=pl.lit(start), end=pl.lit(last), days_counted=pl.lit(DAYS))
    return plan_table(Cohort(with_purchases(spans, days)), share=share, weeks=WEEKS)


def plan_lines(found: pl.DataFrame, currency: str, share: float) -> list[str]:
    """Return what a test could find as lines for people."""
    head = (
        f"{found['customers'][0]:,} customers, {share:.0%} of them in the control; the smallest "
        "difference in margin that is found four times out of five:"
    )
    rows = [
        f"  {row['weeks']:>3} weeks  {row['detectable']:>12,.2f} {currency} per customer{_of(row)}"
        for row in found.iter_rows(named=True)
    ]
    return [head, *rows]


def _of(row: dict[str, Any]) -> str:
    share = row["share_of_margin"]
    return "" if share is None else f"  ({share:.1%} of their margin)"


def what_if_policy(wiring: Wiring, first: date | None, last: date | None, policy: str) -> WhatIf:
    """Return what another policy would have earned, from the log of these days.

    Parameters
    ----------
    wiring : Wiring
    first, last : date, optional
        Both in it; by default the days of all plans that are kept.
    policy : str
        `leave_alone`, `only MODE`, `without ACTION_TYPE` or `times NUMBER`.

    Raises
    ------
    ModelError
        When the log cannot say.
    """
    inputs = gather(wiring, *period(wiring, first, last))
    return what_if(listing_rows(inputs), inputs.chances, policy)


def what_if_lines(found: WhatIf, currency: str) -> list[str]:
    """Return an estimate as lines for people."""
    gap, estimate = found.difference, found.estimate
    sign = "proven" if gap.lower > 0 or gap.upper < 0 else "not told from zero"
    return [
        f"{found.policy}: {gap.value:+,.3f} {currency} per customer and day with an open action, "
        f"against what was done [{gap.lower:+,.3f}, {gap.upper:+,.3f}] (95 %): {sign}",
        f"  from {found.rows:,} decisions, worth {estimate.effective_rows:,.0f} of the policy's "
        f"own; {estimate.clipped_share:.1%} of the weights were cut",
    ]
