"""Read what a report is made of: the lake's tables and what the nights kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import polars as pl

from nba.errors import NotFoundError
from nba.evaluation.impact.inputs import (
    HISTORY_DAYS,
    SEQUENCE_DAYS,
    ImpactInputs,
    day_of_log,
    watched_day,
)
from nba.features.exact import MONEY_UNITS
from nba.features.prepare import day_number, sales_lines
from nba.jobs.impact.live_record import moves_shares, own_changes, planned_shares, planned_units
from nba.pipeline.plan import GROUP
from nba.pipeline.shadow import OBSERVED
from nba.schema.words import CUSTOMER_ID, Mode
from nba.wiring import Wiring

_ACTIONS: Final = (
    "action_id",
    "customer_id",
    "clerk_id",
    "mode",
    "action_type",
    "arm",
    "minutes",
)
_LEDGER: Final = ("clerk_id", "store_id", "minutes", "minutes_planned", "price_per_minute")
_WHOLE: Final = ("feedback", "memberships", "friendships", "clerks", "stores", "content")


def period(wiring: Wiring, first: date | None, last: date | None) -> tuple[date, date]:
    """Return the days of a report: by default those of all plans that are kept.

    Raises
    ------
    NotFoundError
        When no plan is kept within them.
    """
    days = wiring.runs.planned_days()
    within = [d for d in days if (first or d) <= d <= (last or d)]
    if not within:
        raise NotFoundError(
            f"no plan is kept between {first or 'the beginning'} and {last or 'today'}",
            expected="days of which the nightly job has made a plan",
            found=f"plans of {days[0]} … {days[-1]}" if days else "no plan",
            next_step="choose other days, or run the nightly job",
        )
    return first or within[0], last or within[-1]


def gather(wiring: Wiring, first: date, last: date) -> ImpactInputs:
    """Read the tables of a report.

    Parameters
    ----------
    wiring : Wiring
    first, last : date
        Both in it.
    """
    moment = datetime.combine(last + timedelta(days=1), time())
    tables = wiring.tables.at(moment)
    collect = wiring.tables.collect
    whole = {name: collect(tables[name]) for name in _WHOLE}
    since = datetime.combine(first - timedelta(days=SEQUENCE_DAYS), time())
    recent = {
        name: collect(tables[name].filter(tables[name].ts >= since))
        for name in ("interactions", "responses")
    }
    known = collect(tables["customers"].select(CUSTOMER_ID))
    log, chances, actions, ledger = _plans(wiring, first, last)
    return ImpactInputs(
        first=first,
        last=last,
        outcome_days=wiring.settings.outcome_days,
        arm_period_days=wiring.decision_settings.arm_period_days,
        shares=planned_shares(wiring, first, last),
        log=log.join(known, on=CUSTOMER_ID, how="semi"),
        chances=chances,
        days=sales_days(tables, collect, moment, first),
        actions=actions.filter(pl.col("mode") != str(Mode.NONE)),
        ledger=ledger,
        watched=_watched(wiring, first, last),
        changes=own_changes(wiring.project),
        by_units=planned_units(wiring, first, last),
        stayed=moves_shares(wiring, first, last),
        **recent,
        **whole,
    )


def sales_days(tables: Any, collect: Any, moment: datetime, first: date) -> pl.DataFrame:
    """Return orders, amount and margin per customer and day; returns are deducted.

    Parameters
    ----------
    tables : mapping of str to ibis.Table
        As visible at `moment`.
    collect : callable
        Makes a polars table of an expression.
    moment : datetime
    first : date
        Sales are read from `HISTORY_DAYS` before it.
    """
    start = day_number(datetime.combine(first, time())) - HISTORY_DAYS
    lines = sales_lines(tables, moment)
    lines = lines.filter(lines.customer_id.notnull() & (lines.day >= start))
    days = lines.group_by([CUSTOMER_ID, "day"]).agg(
        orders=lines.order_id.nunique(where=lines.quantity > 0),
        amount=lines.amount_units.sum().cast("int64"),
        margin=lines.margin_units.sum().cast("int64"),
    )
    rows: pl.DataFrame = collect(days)
    return rows.with_columns(
        pl.from_epoch("day", time_unit="d").cast(pl.Date),
        pl.col("orders").cast(pl.Int64),
        pl.col("amount", "margin").cast(pl.Float64) / MONEY_UNITS,
    ).sort(CUSTOMER_ID, "day")


def _plans(
    wiring: Wiring, first: date, last: date
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return log, chances, actions and ledger of every kept plan in the period."""
    logs, chances, actions, ledgers = [], [], [], []
    for day in wiring.runs.planned_days():
        if not first <= day <= last:
            continue
        folder = wiring.runs.of(day)
        log, open_ = day_of_log(folder.read(f"{GROUP}/log"))
        logs.append(log)
        chances.append(open_)
        actions.append(_dated(folder.read(f"{GROUP}/actions"), _ACTIONS, day))
        ledgers.append(_dated(folder.read(f"{GROUP}/clerks"), _LEDGER, day))
    return pl.concat(logs), pl.concat(chances), pl.concat(actions), pl.concat(ledgers)


def _watched(wiring: Wiring, first: date, last: date) -> pl.DataFrame:
    """Return whom the watching engine could have listed on the days of the period."""
    name = f"{OBSERVED}/log"
    folders = [wiring.runs.of(day) for day in wiring.runs.planned_days() if first <= day <= last]
    days = [watched_day(folder.read(name)) for folder in folders if folder.has(name)]
    return pl.concat(days) if days else pl.DataFrame()


def _dated(table: pl.DataFrame, columns: Sequence[str], day: date) -> pl.DataFrame:
    return table.select(pl.lit(day).alias("day"), *columns)
