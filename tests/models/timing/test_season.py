"""The season: a planted autumn is found, forecast and shrunk; noise and the start are not."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nba.models.purchases import PurchaseDays, day_number, read_log
from nba.models.timing.season import MEMORY_DAYS, YEAR_DAYS, _learned_trust, fit_season

START = datetime(2024, 1, 1)


def log_of(
    days: int, autumn: float, customers: int = 1_500, seed: int = 3, begin: int = 0
) -> PurchaseDays:
    """Return customers at a rate of one in 40 days, times `autumn` in weeks 40 to 48."""
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    week = (day % YEAR_DAYS) // 7
    rate = np.where((week >= 40) & (week < 48), autumn, 1.0) / 40.0
    who, when = np.nonzero((rng.random((customers, days)) < rate) & (day >= begin))
    lines = pl.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in who],
            "ts": [START + timedelta(days=int(d)) for d in when],
            "amount": 1.0,
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us")))
    return read_log(lines, as_of=START + timedelta(days=days))


def at_week(week: int, years: int = 0) -> np.ndarray:
    first = day_number(START) + years * YEAR_DAYS + week * 7
    return np.arange(first, first + 7)


def test_a_planted_autumn_is_found_and_expected_again() -> None:
    days = YEAR_DAYS + 32 * 7
    today = day_number(START) + days
    season = fit_season(log_of(days, autumn=1.8), today, trust=0.75, level_trust=0.5)
    seen = season.at(at_week(44)).mean() - season.at(at_week(20)).mean()
    assert seen == pytest.approx(np.log(1.8), abs=0.15)
    ahead = season.at(at_week(44, years=1)).mean() - season.at(at_week(33, years=1)).mean()
    assert ahead == pytest.approx(0.75 * np.log(1.8), abs=0.15)


def test_a_shop_without_seasons_gets_none() -> None:
    days = YEAR_DAYS + 100
    season = fit_season(log_of(days, 1.0), day_number(START) + days, trust=1.0, level_trust=1.0)
    edges = np.array([0, 7, 30, 90])
    assert np.abs(season.offsets(season.today, edges)).max() < 0.06


def test_who_is_known_at_the_start_of_the_records_is_no_season() -> None:
    """Frequent customers are known first: the first weeks would seem a season, and last year's."""
    rng = np.random.default_rng(4)
    days = YEAR_DAYS + 30 * 7
    rate = np.exp(rng.normal(-4.5, 1.0, 2_000))
    who, when = np.nonzero(rng.random((len(rate), days)) < rate[:, None])
    lines = pl.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in who],
            "ts": [START + timedelta(days=int(d)) for d in when],
            "amount": 1.0,
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us")))
    log = read_log(lines, as_of=START + timedelta(days=days))
    season = fit_season(log, day_number(START) + days, trust=0.75, level_trust=0.0)
    first = day_number(START) + np.arange(MEMORY_DAYS)
    assert np.abs(season.at(first)).max() < 0.1
    assert season.trust == pytest.approx(0.75, abs=0.1)


def test_a_season_in_the_first_quarter_on_record_is_found() -> None:
    """After a year and two weeks it is all that is known of the season that comes."""
    days, shift = YEAR_DAYS + 20, 36 * 7  # the records begin in week 36
    rng = np.random.default_rng(5)
    week = ((np.arange(days) + shift) % YEAR_DAYS) // 7
    rate = np.where((week >= 41) & (week < 49), 1.8, 1.0) / 40.0
    own = np.exp(rng.normal(0.0, 0.5, (1_500, 1)))
    who, when = np.nonzero(rng.random((1_500, days)) < rate * own)
    lines = pl.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in who],
            "ts": [START + timedelta(days=int(d)) for d in when],
            "amount": 1.0,
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us")))
    log = read_log(lines, as_of=START + timedelta(days=days))
    today = day_number(START) + days
    season = fit_season(log, today, trust=1.0, level_trust=0.0)
    ahead = season.at(today + np.arange(90))
    assert ahead[30:70].mean() - season.at(today - np.arange(1, 90)).mean() > 0.35


def test_a_short_log_has_no_season() -> None:
    season = fit_season(log_of(50, 1.0), day_number(START) + 50, trust=1.0, level_trust=1.0)
    assert not len(season.index)
    assert (season.at(np.arange(season.today, season.today + 400)) == 0).all()


def test_years_ahead_repeat_the_last_on_record() -> None:
    days = YEAR_DAYS + 32 * 7
    today = day_number(START) + days
    season = fit_season(log_of(days, autumn=1.8), today, trust=0.75, level_trust=0.0)
    assert season.at(at_week(44, years=2)) == pytest.approx(season.at(at_week(44, years=1)))
    assert season.at(at_week(33, years=2)) == pytest.approx(season.at(at_week(33, years=1)))


def test_how_much_of_a_season_comes_again_is_learned_where_two_years_tell() -> None:
    days = 3 * YEAR_DAYS
    today = day_number(START) + days
    same = fit_season(log_of(days, autumn=1.8), today, trust=0.5, level_trust=0.0)
    assert same.trust > 0.75
    swings = np.concatenate([np.sin(np.arange(52) / 8.0), -np.sin(np.arange(52) / 8.0)])
    assert _learned_trust(swings, 0.75) < 0.2
    assert _learned_trust(swings[:52], 0.75) == 0.75
    assert _learned_trust(np.zeros(104), 0.75) == 0.75


def thirteen_months(autumn: float) -> tuple[PurchaseDays, int]:
    """Return a log that begins two weeks before an autumn, and ends where the next one begins."""
    days = YEAR_DAYS + 40 * 7
    return log_of(days, autumn, begin=38 * 7), day_number(START) + days


def test_weeks_without_one_of_a_year_ago_do_not_take_the_season_back() -> None:
    log, today = thirteen_months(autumn=2.0)
    season = fit_season(log, today, trust=0.75, level_trust=0.5)
    lately = season.weekly(today - np.arange(1, 90)).mean()
    ahead = season.weekly(today + np.arange(49)).mean() - lately
    assert ahead == pytest.approx(0.75 * np.log(2.0), abs=0.2)


def test_curves_without_a_season_get_that_of_their_days() -> None:
    log, today = thirteen_months(autumn=2.0)
    season = fit_season(log, today, trust=1.0, level_trust=0.0)
    even = np.exp(-0.01 * np.arange(50))[None, :]
    hazard = -np.log(season.put_into(even, today)[0, 49])
    assert hazard == pytest.approx(0.49 * np.exp(season.turn(today, 49)), rel=0.1)
    assert season.turn(today, 49) > 0.4
    trough = season.put_into(even, today - 120)
    assert -np.log(trough[0, 49]) < 0.49
