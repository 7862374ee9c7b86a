"""The lake's tables as one moment sees them: of everybody, and of some."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.stores.engines import duckdb_connection
from nba.stores.lake_tables import LakeTables

AS_OF = datetime(2026, 3, 2)


@pytest.fixture
def tables(tmp_path: Path) -> LakeTables:
    """Return the tables of three customers; `p2` has a price from the sales of others alone."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "transactions.csv").write_text(
        "order_id,line_no,customer_id,product_id,ts,quantity,unit_price\n"
        "o1,1,c1,p1,2026-02-01T10:00:00,2,5\n"
        "o2,1,c1,p2,2026-02-03T10:00:00,1,\n"
        "o3,1,c2,p2,2026-02-02T10:00:00,1,7\n"
        "o4,1,c2,p1,2026-02-02T10:00:00,-1,5\n"
        "o5,1,c3,p1,2026-03-02T10:00:00,1,5\n"
        "o6,1,,p2,2026-02-01T10:00:00,1,9\n"
    )
    lake = Lake(tmp_path / "lake")
    ingest(folder, lake, time_zone="Asia/Shanghai", now=datetime(2026, 3, 3, tzinfo=UTC))
    return LakeTables(
        lake,
        time_zone="Asia/Shanghai",
        margin_rate=0.4,
        connect=lambda: duckdb_connection(spill=tmp_path / "spill"),
    )


@pytest.mark.parametrize("ids", [["c1"], ["c2"], ["c1", "c2", "c3"], ["nobody"], []])
def test_purchases_of_some_are_theirs_among_those_of_everybody(
    tables: LakeTables, ids: list[str]
) -> None:
    whole = tables.purchases(AS_OF, window_days=90)
    among = pl.DataFrame({"customer_id": ids})  # of nobody, without a type
    some = tables.purchases(AS_OF, window_days=90, among=among)
    assert some.equals(whole.filter(pl.col("customer_id").is_in(ids)))
    assert some.schema == whole.schema
    assert whole["customer_id"].to_list() == ["c1", "c1", "c2"]
    assert whole["amount"].to_list() == [10.0, 7.0, 7.0]
