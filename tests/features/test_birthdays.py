"""Days to a birthday: by the calendar, and the same in features, decisions and single dates."""

from __future__ import annotations

from calendar import isleap
from datetime import date, datetime, timedelta

import ibis
import polars as pl
import pytest

from nba.decisions import facts
from nba.features import customer_state
from nba.features.birthdays import days_to_birthday

LEAP_DAYS = [date(2028, 1, 1) + timedelta(days=n) for n in range(366)]
#: The days around leap days, and both ends of common and leap years.
TODAYS = [
    *(date(2028, 2, day) for day in (26, 27, 28, 29)),
    *(date(2027, 2, day) for day in (26, 27, 28)),
    *(date(2027, 3, 1), date(2028, 3, 1), date(2027, 12, 31), date(2028, 12, 31)),
    *(date(2028, 1, 1), date(2029, 1, 1), date(2100, 2, 28), date(2000, 2, 29)),
]


def by_walking(birthday: date, today: date) -> int:
    """Count the days by walking the calendar: the independent source."""
    for days in range(367):
        day = today + timedelta(days=days)
        is_leap_day = (birthday.month, birthday.day) == (2, 29) and not isleap(day.year)
        wanted = 28 if is_leap_day else birthday.day
        if (day.month, day.day) == (birthday.month, wanted):
            return days
    raise AssertionError("every birthday comes within 366 days")


@pytest.mark.parametrize("today", TODAYS, ids=str)
def test_feature_decision_and_calendar_agree(today: date) -> None:
    expected = [by_walking(day, today) for day in LEAP_DAYS]
    assert [days_to_birthday(day.month, day.day, today) for day in LEAP_DAYS] == expected
    texts = [f"1990-{day:%m-%d}" for day in LEAP_DAYS]
    texts[59] = "02-29"
    as_of = datetime(today.year, today.month, today.day)
    decided = pl.select(facts.days_to_birthday(pl.lit(pl.Series(texts)), as_of)).to_series()
    assert decided.to_list() == expected
    table = ibis.memtable({"birthday": texts, "n": range(366)})
    built = customer_state._birthday(table, as_of)["days_to_birthday"]
    rows = ibis.duckdb.connect().to_polars(table.select("n", days=built).order_by("n"))
    assert rows["days"].to_list() == expected


@pytest.mark.parametrize(
    ("birthday", "today", "age"),
    [
        ("2000-02-29", date(2028, 2, 28), 27),
        ("2000-02-29", date(2028, 2, 29), 28),
        ("2000-02-29", date(2027, 2, 28), 27),
        ("2000-03-01", date(2028, 2, 29), 27),
    ],
)
def test_the_age_changes_on_the_birthday(birthday: str, today: date, age: int) -> None:
    as_of = datetime(today.year, today.month, today.day)
    table = ibis.memtable({"birthday": [birthday]})
    built = customer_state._birthday(table, as_of)["age_years"]
    assert ibis.duckdb.connect().execute(table.select(a=built))["a"].tolist() == [age]
