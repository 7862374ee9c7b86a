"""Local times of moments by arithmetic, against DuckDB's calendar and Python's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import duckdb
import pytest

from nba.data import clock

ZONES = (
    "Asia/Shanghai",
    "Asia/Kathmandu",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
)


@pytest.mark.parametrize("zone", ZONES)
def test_local_times_are_those_of_the_calendar(zone: str) -> None:
    query = f"""
        WITH moments AS (
            SELECT TIMESTAMPTZ '1985-01-01 00:00:00+00' + to_hours(step) + INTERVAL 1 SECOND AS ts
            FROM range(0, 24 * 366 * 65, 5) AS r (step)
            UNION ALL VALUES (NULL), (TIMESTAMPTZ '0001-01-01 00:00:00+00'),
                (TIMESTAMPTZ '9999-12-31 00:00:00+00'), (TIMESTAMPTZ 'infinity'))
        SELECT ts FROM moments
        WHERE {clock.local("ts", zone)} IS DISTINCT FROM timezone('{zone}', ts)
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        assert connection.execute(query).fetchall() == []


@pytest.mark.parametrize("zone", ["Europe/London", "Australia/Lord_Howe"])
def test_local_times_change_at_the_very_second(zone: str) -> None:
    place, first = ZoneInfo(zone), datetime(2024, 1, 1, tzinfo=UTC)
    hours = [first + timedelta(hours=hour) for hour in range(24 * 366)]
    changes = [
        after
        for before, after in pairwise(hours)
        if before.astimezone(place).utcoffset() != after.astimezone(place).utcoffset()
    ]
    moments = [
        change + timedelta(seconds=second) for change in changes for second in (-3600, -1, 0, 1)
    ]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for moment in moments:
            (found,) = connection.execute(
                f"SELECT {clock.local('ts', zone)} FROM (SELECT ?::TIMESTAMPTZ AS ts)", [moment]
            ).fetchone() or (None,)
            assert found == moment.astimezone(place).replace(tzinfo=None)
    assert len(changes) == 2
