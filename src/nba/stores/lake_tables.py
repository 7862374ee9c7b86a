"""The lake's tables as one moment sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import ibis

    from nba.data.lake import Lake


class LakeTables:
    """Reads the tables of one project.

    Parameters
    ----------
    lake : Lake
    time_zone : str
        In which naive moments stand.
    margin_rate : float
        Of a product whose cost is not known.
    connect : callable
        Makes the Ibis connection that reads, where the caller gives none.
    """

    def __init__(
        self, lake: Lake, *, time_zone: str, margin_rate: float, connect: Callable[[], Any]
    ) -> None:
        self._lake = lake
        self._time_zone = time_zone
        self._margin_rate = margin_rate
        self._connect = connect

    @property
    def version(self) -> str:
        """The digest of what the lake holds."""
        return self._lake.version

    def at(self, as_of: datetime | None, connection: Any = None) -> Mapping[str, ibis.Table]:
        """Return every table of the contract as visible at `as_of` (None: all of it)."""
        from nba.data.tables import load_tables
        from nba.features.table_rules import apply_table_rules

        tables = load_tables(
            self._lake,
            as_of=as_of,
            time_zone=self._time_zone,
            connection=self._connect() if connection is None else connection,
        )
        return apply_table_rules(tables, margin_rate=self._margin_rate)

    def purchases(
        self,
        as_of: datetime,
        *,
        window_days: int,
        among: pl.DataFrame | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Return what was bought before `as_of`: one row per customer, product and day.

        Columns: customer_id, product_id, category, ts (00:00 of the day), quantity, amount,
        margin; as far back as `window_days`.

        Parameters
        ----------
        as_of : datetime
        window_days : int
        among : DataFrame, optional
            customer_id: of these customers alone.
        tables : mapping of str to ibis.Table, optional
            What `at` returned for `as_of`, where somebody has asked already.
        """
        from nba.features.prepare import purchases

        tables = self.at(as_of) if tables is None else tables
        if among is not None:  # before lines are put together, which takes most of the time
            lines = tables["transactions"]
            backend = lines.get_backend()
            backend.con.register(
                "among", among.select(pl.col("customer_id").cast(pl.String)).to_arrow()
            )
            tables = {
                **tables,
                "transactions": lines.semi_join(backend.table("among"), "customer_id"),
            }
        table = purchases(tables, as_of, window_days=window_days)
        days = self.collect(table)
        return days.with_columns(ts=pl.from_epoch("day", time_unit="d").cast(pl.Datetime("us")))

    @staticmethod
    def collect(table: Any) -> pl.DataFrame:
        """Return an Ibis expression as a polars table."""
        backend = table.get_backend()
        frame: pl.DataFrame = backend.con.execute(str(backend.compile(table))).pl()
        return frame
