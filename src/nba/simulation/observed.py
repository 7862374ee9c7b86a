"""What a retailer sees of a world: the tables delivered so far, and who may be contacted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from nba.schema.tables import TABLES, VALID_FROM
from nba.simulation.tables import canonical


@dataclass(frozen=True)
class Rules:
    """The contact rules that every policy of a comparison keeps.

    Parameters
    ----------
    per_week, per_month : int
        Most contacts of one customer in 7 and in 30 days.
    rest_days : int
        Full days without a contact after a contact.
    minutes_share : float
        Share of the clerks' minutes that the list may use.
    """

    per_week: int = 2
    per_month: int = 5
    rest_days: int = 2
    minutes_share: float = 1.0


class ObservedTables:
    """The tables delivered so far; days are added as they are played.

    Parameters
    ----------
    time_zone : str
        Zone in which days begin.
    """

    def __init__(self, time_zone: str) -> None:
        self.time_zone = time_zone
        self.latest: Mapping[str, pl.DataFrame] = {}
        self._parts: dict[str, list[pl.DataFrame]] = {}

    def add(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Take in the increments of a day."""
        self.latest = tables
        for name, frame in tables.items():
            self._parts.setdefault(name, []).append(frame)

    def delivered(self) -> dict[str, pl.DataFrame]:
        """Return all increments so far, one table each, in canonical form."""
        return {name: pl.concat(parts) for name, parts in self._parts.items() if parts}

    def copy(self) -> ObservedTables:
        """Return observed tables that can be continued independently."""
        twin = ObservedTables(self.time_zone)
        twin.latest = self.latest
        twin._parts = {name: list(parts) for name, parts in self._parts.items()}
        return twin

    def table(self, name: str) -> pl.DataFrame:
        """Return a table with times in the local zone; the last version of each key stands."""
        parts = self._parts.get(name, [])
        if len(parts) > 1:
            self._parts[name] = parts = [pl.concat(parts)]
        frame = parts[0] if parts else canonical(name, [])
        key = [column for column in TABLES[name].key if column != VALID_FROM]
        if TABLES[name].history or name in ("friendships", "benefits", "service_cases"):
            frame = frame.unique(key, keep="last", maintain_order=True)
        return frame.with_columns(
            pl.col(column).dt.convert_time_zone(self.time_zone).dt.replace_time_zone(None)
            for column, dtype in frame.schema.items()
            if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        )

    def contacts(self, day: dt.date) -> pl.DataFrame:
        """Return each customer's contacts of the last 7 and 30 days and the days since."""
        made = self.table("interactions").filter((pl.col("mode") != "none") & (pl.col("ts") < day))
        age = (pl.lit(day) - pl.col("ts").dt.date()).dt.total_days()
        return made.group_by("customer_id", maintain_order=True).agg(
            (age <= 7).sum().alias("contacts_7d"),
            (age <= 30).sum().alias("contacts_30d"),
            age.min().alias("days_since_contact"),
        )

    def clerks(self, day: dt.date, rules: Rules) -> pl.DataFrame:
        """Return the clerks who work on a day, with their minutes."""
        absent = self.table("absences").filter(pl.col("date") == day)
        return (
            self.table("clerks")
            .filter(pl.col("working_days").str.contains(str(day.isoweekday()), literal=True))
            .join(absent, on="clerk_id", how="anti", maintain_order="left")
            .select(
                "clerk_id",
                (pl.col("minutes_per_day") * rules.minutes_share).alias("budget"),
                "shift_start",
                "shift_end",
            )
        )

    def eligible(self, day: dt.date, rules: Rules) -> pl.DataFrame:
        """Return who may be contacted on a day under the rules, with their clerk's minutes.

        Friends who have agreed to contact, have not blocked or complained and are below
        the caps, of clerks who work.
        """
        customers = self.table("customers").filter(
            pl.col("friend_since").is_not_null()
            & pl.col("blocked_at").is_null()
            & pl.col("consent_contact")
        )
        gone = self.table("responses").filter(pl.col("kind").is_in(["blocked", "complained"]))
        return (
            customers.select("customer_id", "clerk_id", "store_id")
            .join(gone.select("customer_id").unique(), on="customer_id", how="anti")
            .join(self.clerks(day, rules), on="clerk_id", how="inner")
            .join(self.contacts(day), on="customer_id", how="left")
            .filter(
                (pl.col("contacts_7d").fill_null(0) < rules.per_week)
                & (pl.col("contacts_30d").fill_null(0) < rules.per_month)
                & (pl.col("days_since_contact").fill_null(999) > rules.rest_days)
            )
            .sort("customer_id")
        )

    def purchases(self) -> pl.DataFrame:
        """Return one row per customer, product and day bought, returns left out."""
        return (
            self.table("transactions")
            .filter(pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0))
            .with_columns(
                pl.col("ts").dt.date().alias("date"),
                (
                    pl.col("quantity").cast(pl.Float64) * pl.col("unit_price").cast(pl.Float64)
                    - pl.col("discount").fill_null(0).cast(pl.Float64)
                ).alias("amount"),
            )
            .select("customer_id", "product_id", "date", "amount")
        )
