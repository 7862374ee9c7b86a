"""Seasons of demand are read from the shop's own sales, and what they do to contacts is learned."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tests.models.contact_value.planted import RHYTHM, planted_rows

from nba.models.contact_value.config import ContactValueConfig
from nba.models.contact_value.design import NAMES
from nba.models.contact_value.learning import learn
from nba.models.contact_value.responsiveness import Responsiveness
from nba.models.contact_value.season import AHEAD_DAYS, DemandSeason

FIRST = date(2025, 1, 1)
#: A festival from day 200 to 219 sells half as much again.
FESTIVAL = range(200, 220)


def purchases(days: int, per_day: float, *, seed: int = 1, factor: float = 1.5) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    mean = np.array([per_day * (factor if day in FESTIVAL else 1.0) for day in range(days)])
    counts = rng.poisson(mean)
    day = np.repeat(np.arange(days), counts)
    start = datetime(FIRST.year, FIRST.month, FIRST.day, 12)
    return pl.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(len(day))],
            "ts": [start + timedelta(days=int(d)) for d in day],
        }
    )


def at(season: DemandSeason, *days: int) -> np.ndarray:
    first = (FIRST - date(1970, 1, 1)).days
    return season.at(first + np.array(days))


def test_a_festival_counts_from_some_days_ahead_to_its_end_and_again_a_year_later() -> None:
    season = DemandSeason.of(purchases(400, 80.0))
    assert at(season, 203, 210).min() == 1.0
    assert at(season, 200 - AHEAD_DAYS + 1)[0] > 0.0
    assert at(season, 150, 240, 300).max() < 0.35
    assert at(season, 364 + 203, 364 + 210).min() == 1.0
    assert at(season, 364 + 150)[0] < 0.35


def test_a_small_shop_takes_no_noise_for_a_season() -> None:
    quiet = [DemandSeason.of(purchases(400, 2.0, seed=seed, factor=1.0)) for seed in range(20)]
    heights = np.array([season.height.mean() for season in quiet])
    assert heights.mean() < 0.03


def test_a_large_shop_is_counted_by_some_of_its_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    table = purchases(400, 80.0)
    monkeypatch.setattr("nba.models.contact_value.season.LARGEST", table.height // 3)
    season = DemandSeason.of(table)
    assert at(season, 203, 210).min() > 0.8
    assert season.level.mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("table", [purchases(30, 5.0), purchases(0, 5.0)])
def test_without_a_record_there_is_no_season(table: pl.DataFrame) -> None:
    season = DemandSeason.of(table.with_columns(pl.col("ts").cast(pl.Datetime("us"))))
    assert at(season, 0, 500).max() == 0.0
    assert np.allclose(season.demand(np.array([20_000]), 14), 0.0)


def test_it_is_kept_as_it_is() -> None:
    season = DemandSeason.of(purchases(400, 20.0))
    again = DemandSeason.read(season.state())
    days = np.arange(20_000, 21_000)
    assert (season.at(days) == again.at(days)).all()
    assert (season.demand(days, 14) == again.demand(days, 14)).all()


def test_what_a_season_does_to_contacts_is_learned() -> None:
    # Contacts work in the first half of the days alone.
    rows = planted_rows(30_000, scale=0.3, seed=3)
    first = (date(2026, 1, 1) - date(1970, 1, 1)).days
    off = planted_rows(30_000, scale=0.0, seed=3)
    early = (rows["ts"] < datetime(2026, 2, 15)).to_numpy()
    mixed = rows.with_columns(
        orders=pl.when(pl.Series(early)).then(rows["orders"]).otherwise(off["orders"])
    )
    height = np.where(np.arange(90 + AHEAD_DAYS) < 45, 1.0, 0.0)
    season = DemandSeason(first, np.ones(len(height)), height)
    found = learn(
        mixed, RHYTHM, Responsiveness.of(rows), ContactValueConfig(), seed=1, season=season
    )
    at = 1 + NAMES.index("season")
    assert found.posterior.mean[at] > 0.1
    assert found.posterior.mean[at] > 1.5 * found.posterior.covariance[at, at] ** 0.5
