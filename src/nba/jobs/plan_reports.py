"""The reports of a plan: posts of groups and moments, and the days ahead."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from nba.jobs.export import FOR_PEOPLE, CsvStyle, by_store_clocks, write_table
from nba.jobs.listing import MODES, WIDE
from nba.pipeline.plan import GROUP, OUTLOOK, POSTS
from nba.wiring import Wiring

POST_HEADINGS = {
    "en": (
        "clerk",
        "audience",
        "mode",
        "content",
        "when",
        "members",
        "min per member",
        "value",
        "post?",
    ),
    "zh": ("导购", "受众", "模式", "内容", "时间", "人数", "人均分钟", "价值", "发送"),
}
DAY_HEADINGS = {
    "en": ("clerk", "best day", "customers", "mean chance then", "mean chance today"),
    "zh": ("导购", "最佳日期", "顾客数", "当日平均概率", "今日平均概率"),
}
ANSWERS = {True: {"en": "yes", "zh": "发"}, False: {"en": "no", "zh": "不发"}}


def read_report(wiring: Wiring, as_of: datetime, name: str) -> pl.DataFrame:
    """Return a report of the plan of a day; `NotFoundError` where no plan or none is kept."""
    return wiring.runs.planned(as_of.date()).read(f"{GROUP}/{name}")


def write_report(
    wiring: Wiring, as_of: datetime, name: str, out: Path, style: CsvStyle = FOR_PEOPLE
) -> int:
    """Write a report of the plan of a day to a file; return the rows.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
        The day of the plan.
    name : str
        `POST_MEMBERS`: whom the day's posts reach, a row per post and member. `OUTLOOK`: each
        customer's best day within the horizon.
    out : Path
        The file; its ending says the format.
    style : CsvStyle
        How CSV is written; for Parquet it does not matter.
    """
    rows = read_report(wiring, as_of, name)
    write_table(rows, out, style)
    return rows.height


def print_posts(wiring: Wiring, as_of: datetime, *, locale: str = "en") -> None:
    """Print what each group and each clerk's moments could be sent today, the best first."""
    posts = read_report(wiring, as_of, POSTS).sort("value", "audience", descending=[True, False])
    content = wiring.tables.collect(wiring.tables.at(as_of)["content"]).select(
        "content_id", "title"
    )
    titled = posts.join(content, on="content_id", how="left")
    currency = wiring.settings.currency
    rows = [
        (
            str(row["clerk_id"]),
            str(row["audience"]),
            MODES[row["mode"]][locale],
            str(row["title"] or row["content_id"]),
            f"{row['contact_from']:%H:%M}–{row['contact_to']:%H:%M}",
            str(row["members"]),
            f"{row['minutes_per_member']:.2f}",
            f"{row['value']:.2f} {currency}",
            ANSWERS[row["posted"]][locale],
        )
        for row in by_store_clocks(wiring, as_of, titled).iter_rows(named=True)
    ]
    _print(f"{as_of.date()} · {posts.height} posts", POST_HEADINGS[locale], rows)


def print_outlook(wiring: Wiring, as_of: datetime, *, clerk_id: str, locale: str = "en") -> None:
    """Print for how many customers each of the coming days is the best, per clerk.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
        The day of the plan.
    clerk_id : str
        Only this clerk's; empty for all.
    locale : str
        `en` or `zh`.
    """
    ahead = read_report(wiring, as_of, OUTLOOK).drop_nulls("best_day")
    if clerk_id:
        ahead = ahead.filter(pl.col("clerk_id") == clerk_id)
    days = (
        ahead.group_by("clerk_id", "best_day")
        .agg(pl.len().alias("customers"), pl.col("p_purchase", "p_purchase_today").mean())
        .sort("clerk_id", "best_day")
    )
    rows = [
        (clerk, str(day), str(customers), f"{then:.3f}", f"{today:.3f}")
        for clerk, day, customers, then, today in days.iter_rows()
    ]
    _print(f"{as_of.date()} · {ahead.height} customers", DAY_HEADINGS[locale], rows)


def _print(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
