"""Holidays: a shop that closes on them is told so, a day that sells as others do is not."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nba.data.holidays import country_of, holidays_of
from nba.models.purchases import PurchaseDays, day_number, read_log
from nba.models.timing.holidays import HolidayEffects, fit_holidays
from nba.models.timing.season import fit_season

START = datetime(2023, 3, 1)
DAYS = 600
TODAY = day_number(START) + DAYS
TABLE = holidays_of("GB", START.date(), date(2026, 1, 1))


def shop(factors: dict[str, float], per_day: float = 60.0) -> PurchaseDays:
    """Return a shop that sells half as much at weekends, and `factors` on the holidays named."""
    rng = np.random.default_rng(2)
    named = dict(TABLE.iter_rows())
    days = [START + timedelta(days=number) for number in range(DAYS)]
    rate = np.array(
        [
            factors.get(named.get(day.date(), ""), 1.0) * (0.5 if day.weekday() > 4 else 1.0)
            for day in days
        ]
    )
    sold = rng.poisson(per_day * rate)
    when = [day for day, many in zip(days, sold, strict=True) for _ in range(many)]
    who = [f"c{number}" for number in rng.integers(0, 100_000, len(when))]
    lines = pl.DataFrame({"customer_id": who, "ts": when, "amount": 1.0})
    return read_log(lines.with_columns(pl.col("ts").cast(pl.Datetime("us"))), as_of=days[-1])


def on(effects: HolidayEffects, *days: date) -> np.ndarray:
    return effects.at(np.array([day_number(datetime(d.year, d.month, d.day)) for d in days]))


def test_a_day_on_which_the_shop_closes_is_expected_closed_again() -> None:
    log = shop({"Christmas Day": 0.0, "Good Friday": 2.0})
    effects = fit_holidays(log, TODAY, TABLE)
    christmas, friday, monday, any_day = on(
        effects, date(2024, 12, 25), date(2025, 4, 18), date(2025, 5, 5), date(2025, 6, 18)
    )
    assert christmas < -1.5
    assert friday == pytest.approx(np.log(2.0), abs=0.25)
    assert abs(monday) < 0.2
    assert any_day == 0.0


def test_small_shops_and_shops_without_a_calendar_are_told_nothing() -> None:
    log = shop({"Good Friday": 2.0}, per_day=0.5)
    assert np.abs(fit_holidays(log, TODAY, TABLE).factor).max() < 0.35
    assert not len(fit_holidays(log, TODAY, None).factor)


def test_the_season_of_a_week_is_free_of_its_holidays_and_their_days_are_not() -> None:
    log = shop({"Christmas Day": 0.0, "Boxing Day": 0.0})
    effects = fit_holidays(log, TODAY, TABLE)
    season = fit_season(log, TODAY, trust=1.0, level_trust=0.0, holidays=effects)
    week = day_number(datetime(2024, 12, 23))
    shift = season.offsets(week, np.array([0, 7]))[0] - season.weekly(week + np.arange(7)).mean()
    assert shift == pytest.approx(np.log(5 / 7), abs=0.12)


def test_the_country_is_that_of_the_time_zone() -> None:
    assert country_of("Asia/Shanghai") == "CN"
    days = holidays_of("CN", date(2025, 1, 1), date(2025, 12, 31))
    assert days.filter(pl.col("holiday").str.contains("Spring Festival")).height >= 3
    assert not days["holiday"].str.contains("substituted").any()
    monday = date(2025, 4, 21)  # Easter Monday: not in Scotland
    assert monday in holidays_of("GB-ENG", monday, monday)["day"]
    assert holidays_of("GB-SCT", monday, monday).is_empty()
    assert holidays_of("", date(2025, 1, 1), date(2025, 12, 31)).is_empty()
    assert holidays_of("ZZ", date(2025, 1, 1), date(2025, 12, 31)).is_empty()
