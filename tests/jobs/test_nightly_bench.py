"""The bench of a night: what it measures adds up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from nba.jobs.nightly import SEQUENCE
from nba.jobs.nightly_bench import Measured, _grown, _repeat, _world, bench_nightly

#: What a night lays ready once its plan stands.
LAID = ("lists", "cards", "next_actions")


@pytest.mark.proof
def test_two_nights_are_measured_step_by_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench_nightly(customers=80, days=90, threads=1, folder=str(tmp_path))
    for night in ("first", "second"):
        steps = [one for one in found if one.night == night and one.step != "ingest"]
        assert [one.step for one in steps] == [*(step.name for step in SEQUENCE), *LAID]
        assert sum(one.share for one in steps) == pytest.approx(1, abs=0.01)
        assert all(one.seconds > 0 and one.peak_mb > 50 for one in steps)
        assert [one.step for one in steps if not one.disk_mb] == list(LAID)
        assert [one.step for one in steps if not one.over_limit] == ["train", *LAID]
        assert all(one.cpu_seconds > 0 for one in steps if one.step != "train")
    said = capsys.readouterr().err
    assert [said.count(f"Z {step.name} ") for step in SEQUENCE] == [2] * len(SEQUENCE)
    loaded = next(one for one in found if one.step == "ingest")
    assert loaded.peak_mb > 50
    assert [one.step for one in found if one.night == "limit"] == [
        "LightGBM predict", "Parquet write", "DuckDB scan",
    ]  # fmt: skip


def test_growth_is_per_customer() -> None:
    def shop(seconds: float, spent: float) -> list[Measured]:
        return [Measured("second", "score", seconds, spent, 1.0, 1, 1, 100)]

    less, more = _grown(shop(2.0, 3.0), shop(8.0, 6.0), ratio=2.0)
    assert (less.growth, less.cpu_growth) == (0.0, 0.0)
    assert (more.growth, more.cpu_growth) == (2.0, 1.0)


def test_sales_stand_again_in_the_years_before(tmp_path: Path) -> None:
    sales = tmp_path / "transactions.parquet"
    lines = {"order_id": ["a", "b"], "line_no": ["1", "1"], "quantity": [2, 3]}
    days = [datetime(2025, 3, 1, 8, tzinfo=UTC), datetime(2025, 9, 1, tzinfo=UTC)]
    pl.DataFrame({**lines, "ts": days}).write_parquet(sales)
    _repeat(sales, 3)
    found = pl.read_parquet(sales)
    assert found.columns == ["order_id", "line_no", "quantity", "ts"]
    assert not found.select("order_id", "line_no").is_duplicated().any()
    assert sorted(found["ts"].dt.year()) == [2023, 2023, 2024, 2024, 2025, 2025]
    assert found["quantity"].sum() == 15


def test_a_shop_has_at_least_so_many_products() -> None:
    world = _world(20_000, customers=10_000, clerks=0, stores=0, days=90)
    assert (world.clerks, world.stores, world.days) == (60, 20, 90)
    assert 20_000 <= world.products_per_category * 14 < 20_014
    assert _world(0, customers=1_000).products_per_category == 24
