"""`nba experiment analyse|power`: running arms looked at any day, and how long a test must run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import polars as pl

from nba.errors import ModelError, NotFoundError, UsageError
from nba.evaluation.impact.cohort import CONTROL, Cohort, build_cohort, with_purchases
from nba.evaluation.impact.inputs import day_of_log
from nba.evaluation.impact.listings import listing_rows
from nba.evaluation.impact.live import analyse, plan_table
from nba.evaluation.impact.what_if import WhatIf, challenged, what_if
from nba.evaluation.unit_effects import MIN_UNITS
from nba.jobs.impact.gather import gather, period, sales_days
from nba.jobs.impact.live_record import running_test
from nba.jobs.impact.live_units import power_by_units, refuse_few, split, units_now
from nba.jobs.impact.what_if import what_if_lines
from nba.pipeline.shadow import challenger_group
from nba.schema.words import Arm, DrawUnit, Mode
from nba.wiring import Wiring

#: Lengths of a test that are shown, in weeks, and the days of sales that they are judged by.
WEEKS: Final = (2, 4, 8, 13, 26)
DAYS: Final = 91
KEY: Final = ("day", "customer_id")
SAID: Final = {
    "go_on": "go on: nothing is proven yet",
    "few_units": "cannot be told: too few units in an arm for an interval",
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
        Both in it; by default the days of the test that runs, else of all plans that are kept.
    control : str
        The arm that the others are held against.

    Raises
    ------
    UsageError
        When the control is no arm of these days, or the only one.
    """
    inputs = gather(wiring, *period(wiring, first or _test_begins(wiring), last))
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


def _test_begins(wiring: Wiring) -> date | None:
    """Return the first day of the test that runs, once a day was planned under it."""
    test, planned = running_test(wiring.project), wiring.runs.planned_days()
    return test.started if test is not None and planned and planned[-1] >= test.started else None


def analysis_lines(found: pl.DataFrame, currency: str) -> list[str]:
    """Return an analysis as lines for people."""
    lines = []
    for row in found.filter(pl.col("outcome") == "margin").iter_rows(named=True):
        lines.append(f"{row['arm']} against {row['control']}: {SAID[row['verdict']]}")
        if row["verdict"] == "few_units":
            lines.append(
                f"  {row['units']} {row['unit']}s against {row['units_held']}; at least "
                f"{MIN_UNITS} of each are needed"
            )
            continue
        lines.append(
            f"  margin per customer {row['estimate']:+,.2f} {currency}, at any look between "
            f"{row['lower']:+,.2f} and {row['upper']:+,.2f} (95 %); {row['customers']:,} customers "
            f"against {row['held']:,}{_of_units(row)}"
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


def _of_units(row: dict[str, Any]) -> str:
    """Return which units drew the two arms, for people; nothing where each customer did."""
    if row["units"] is None:
        return ""
    return f", drawn by {row['unit']}: {row['units']} against {row['units_held']}"


def plan_test(
    wiring: Wiring, last: date, *, share: float, unit: DrawUnit = DrawUnit.CUSTOMER
) -> pl.DataFrame:
    """Return what a test of all customers could find, by its length, judged by the last quarter.

    Parameters
    ----------
    wiring : Wiring
    last : date
        The last day of sales that is looked at.
    share : float
        Of the customers, or of the units that draw for theirs, in the control.
    unit : DrawUnit
        Who draws.

    Returns
    -------
    DataFrame
        As `plan_table`; where clerks, stores or groups draw with `units`, `units_held` and
        `correlation` (within them).

    Raises
    ------
    UsageError
        When the share is not between 0 and 1, or leaves an arm too few units.
    NotFoundError
        When nobody bought in the year before, or no plan tells whose customers are whose.
    """
    if not 0 < share < 1:
        raise UsageError(
            "--share is not a share", expected="between 0 and 1, as 0.1", found=str(share)
        )
    past = last_quarter(wiring, last)
    sizes = plan_table(past, share=share, weeks=WEEKS)
    if unit is DrawUnit.CUSTOMER:
        return sizes
    units = units_now(wiring, unit)
    counts = split(units["unit"].n_unique(), share)
    refuse_few(unit, {"arm": counts[0], "control": counts[1]})
    planned = wiring.decision_settings.shares_of_customers[Arm.ENGINE]
    power = power_by_units(past, units, counts, planned)
    longer = (pl.col("weeks") * 7 / DAYS).sqrt()
    found = pl.lit(power.detectable) * longer
    return sizes.with_columns(
        customers=pl.lit(round(power.customers)),
        detectable=found,
        share_of_margin=pl.col("share_of_margin") * found / pl.col("detectable"),
        units=pl.lit(counts[0]),
        units_held=pl.lit(counts[1]),
        correlation=pl.lit(power.correlation),
    )


def last_quarter(wiring: Wiring, last: date) -> Cohort:
    """Return who bought in the year before the last quarter, with what they bought in it.

    Parameters
    ----------
    wiring : Wiring
    last : date
        The last day of sales that is looked at.

    Raises
    ------
    NotFoundError
        When nobody bought in the year before.
    """
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
    return Cohort(with_purchases(spans, days))


def plan_lines(
    found: pl.DataFrame, currency: str, share: float, unit: DrawUnit = DrawUnit.CUSTOMER
) -> list[str]:
    """Return what a test could find as lines for people.

    Parameters
    ----------
    found : DataFrame
        As `plan_test` gives it.
    currency : str
    share : float
        Of the customers, or of the units, in the control.
    unit : DrawUnit
        Who draws.
    """
    who = f"{found['customers'][0]:,} customers, {share:.0%} of them in the control"
    if unit is not DrawUnit.CUSTOMER:
        first = found.row(0, named=True)
        who = (
            f"{first['units']} {unit}s against {first['units_held']} in the control, with "
            f"{first['customers']:,} customers (intra-cluster correlation "
            f"{first['correlation']:.3f})"
        )
    head = f"{who}; the smallest difference in margin that is found four times out of five:"
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


@dataclass(frozen=True)
class Comparison:
    """A challenger's plans beside those that were served.

    Parameters
    ----------
    model : str
    nights : int
        With a plan of the challenger.
    served, wanted, both : int
        Contacts that were served, that the challenger would have served, and in common.
    value : WhatIf or None
        What its plans would have earned; None where the log cannot say.
    why_not : str
        Then why.
    """

    model: str
    nights: int
    served: int
    wanted: int
    both: int
    value: WhatIf | None
    why_not: str = ""

    def figures(self) -> dict[str, Any]:
        """Return everything as plain values."""
        told = None if self.value is None else asdict(self.value.difference)
        counts = {name: getattr(self, name) for name in ("nights", "served", "wanted", "both")}
        return {"model": self.model, **counts, "difference": told, "why_not": self.why_not}


def compare_challenger(
    wiring: Wiring, model: str, first: date | None, last: date | None
) -> Comparison:
    """Return what a challenger's plans, which nobody was served, would have changed and earned.

    Parameters
    ----------
    wiring : Wiring
    model : str
        `timing`, `affinity` or `mode`.
    first, last : date, optional
        Both in it; by default the days of all plans that are kept.

    Raises
    ------
    NotFoundError
        When no challenger scored on these days.
    """
    first, last = period(wiring, first, last)
    group = challenger_group(model)
    days = [d for d in wiring.runs.planned_days() if first <= d <= last]
    folders = {
        d: f
        for d in days
        if (f := wiring.runs.of(d)).has(f"{group}/log") and f.read(f"{group}/log").height
    }
    if not folders:
        raise NotFoundError(
            f"no challenger of {model!r} scored on these days",
            expected="a night after a fit that its trial refused",
            next_step="`nba experiment models` lists the versions",
        )
    served = pl.concat(_contacts(f.read("plan/actions"), d) for d, f in folders.items())
    wanted = pl.concat(_contacts(f.read(f"{group}/actions"), d) for d, f in folders.items())
    inputs = gather(wiring, first, last)
    chances = pl.concat(day_of_log(f.read(f"{group}/log"))[1] for f in folders.values())
    rows = listing_rows(inputs).filter(pl.col("day").is_in(list(folders)))
    counts = (len(folders), served.height, wanted.height, served.join(wanted, on=KEY).height)
    try:
        return Comparison(model, *counts, challenged(rows, inputs.chances, chances))
    except ModelError as error:
        return Comparison(model, *counts, None, str(error))


def _contacts(actions: pl.DataFrame, day: date) -> pl.DataFrame:
    return actions.filter(pl.col("mode") != str(Mode.NONE)).select(
        "customer_id", day=pl.lit(day, dtype=pl.Date)
    )


def comparison_lines(found: Comparison, currency: str) -> list[str]:
    """Return a comparison as lines for people."""
    head = (
        f"challenger of {found.model}: {found.nights} nights; {found.wanted:,} contacts against "
        f"{found.served:,} served, {found.both:,} with the same customer on the same day"
    )
    if found.value is None:
        return [head, f"  what it would have earned: {found.why_not.partition(chr(10))[0]}"]
    return [head, *(f"  {line.strip()}" for line in what_if_lines(found.value, currency))]
