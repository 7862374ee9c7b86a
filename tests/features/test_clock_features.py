"""Where days only stand for an order, weekday and hour are no features; all others stay."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from nba.features.clock_features import CLOCK_FEATURES
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.settings import Project
from nba.wiring import Wiring


@pytest.mark.parametrize("mapping", ["tafeng_nbr", ""])
def test_weekday_and_hour_are_empty_where_a_mapping_says_so(tmp_path: Path, mapping: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    if mapping:
        rows = "".join(f"u{n % 3},{n},i{n % 4}\n" for n in range(1, 20))
        (source / "tafeng.csv").write_text("user_id,basket_index,item_id\n" + rows)
    else:
        rows = "".join(f"o{n},u{n % 3},i{n % 4},2000-01-{n + 1:02d},1,1\n" for n in range(1, 20))
        head = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
        (source / "transactions.csv").write_text(head + rows)
    init_project(tmp_path / "project", {"time_zone": "UTC"})
    wiring = Wiring(Project.open(tmp_path / "project"))
    report = ingest_folder(wiring, source, mapping=mapping)
    as_of = datetime(2000, 1, 25)
    wiring.feature_store.build(as_of)
    found = wiring.feature_store.snapshot("customer_behaviour", as_of)
    clock = found.select(CLOCK_FEATURES["customer_behaviour"])
    others = found.select(pl.exclude(CLOCK_FEATURES["customer_behaviour"]))
    assert found.height == 3
    assert others["days_since_purchase"].null_count() == 0
    assert all(clock[name].null_count() == (3 if mapping else 0) for name in clock.columns)
    said = "features of weekday and hour stay empty" in "\n".join(report.lines(verbose=True))
    assert said == bool(mapping)
