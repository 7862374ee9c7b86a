"""Done twice differently: files, requests and frames read a moment by the same rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from pydantic import ValidationError

from nba.data import clock
from nba.data.mapping import Mapping
from nba.data.moments import BadMomentError, moment_sql, parse_moment, unknown_zone_sql
from nba.errors import InputRefusedError, UsageError
from nba.serving.rows import parse_row
from nba.stores.feature_repository import utc_moments

NOW = datetime(2026, 11, 20, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = (
    "2026/03/01", "2026-3-1 9:05", "2026-03-01 24:00", "2026-03-01 24:30", "2026-03-01T10",
    "2026-03-01 10:00:00,5", "2026-03-01 10:00:00.1234567", "2026-03-01 10:00 PM", "01-05-2024",
    "2026-03-01 10:00:60", "2026-02-29", "2026-03-01 10:00:00 UTC", "2026-03-01 10:00:00 gmt",
    "2026-03-01 10:00:00Z", "2026-03-01t10:00:00z", "2026-03-01 10:00:00 CST",
    "2026-03-01 10:00:00+08", "2026-03-01 10:00:00 -0830", "2026-03-01 10:00:00+800",
    "2026-03-01 10:00:00+19:00", "2026-03-01 10:00:00 America/New_York",
    "2026-03-01 10:00:00 Mars/Olympus", "2026-10-25 01:30:00", "2026-03-29 01:30:00",
    "2026-10-25 01:30:00+00:00", "2026-03-01 10:00:00 GMT+8", "1714528800", "", "yesterday",
)  # fmt: skip


@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Shanghai", "America/Sao_Paulo"])
def test_one_text_is_one_moment_in_files_and_requests(zone: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for text in TEXTS:
            row = connection.execute(
                f"SELECT epoch_us({moment_sql('v', zone)}), {unknown_zone_sql('v')} "
                "FROM (SELECT CAST(? AS VARCHAR) AS v)",
                [text],
            ).fetchone()
            assert row is not None
            try:
                moment = parse_moment(text, ZoneInfo(zone)).value
                expected = ((moment - EPOCH) // timedelta(microseconds=1), False)
            except BadMomentError as error:
                expected = (None, error.rule == "zone")
            assert row == expected, text


def row(ts: str) -> dict[str, object]:
    return {"order_id": "o", "line_no": "1", "product_id": "p", "ts": ts, "quantity": 1}


def test_the_hour_that_happens_twice(shop, warned) -> None:
    shop.zone = "Europe/Paris"
    ts = "2026-10-25T02:15:00"
    report = shop.load(
        transactions=f"order_id,product_id,ts,quantity\no,p,{ts}\n".replace(f"{ts}\n", f"{ts},1\n")
    )
    assert warned(report)["clock.ambiguous"][0] == 1
    parsed = parse_row("transactions", row(ts), zone=ZoneInfo(shop.zone), now=NOW)
    assert shop.lines["ts"].to_list() == [parsed.values["ts"]]
    assert parsed.values["ts"] == datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    assert parsed.notes == (
        "ts: falls into an hour that happens twice in Europe/Paris; read as the second one",
    )


def test_the_hour_that_does_not_happen(shop) -> None:
    shop.zone = "America/New_York"
    ts = "2026-03-08 02:30:00"
    shop.load(transactions=f"order_id,product_id,ts,quantity\no,p,{ts},1\n")
    parsed = parse_row("transactions", row(ts), zone=ZoneInfo(shop.zone), now=NOW)
    assert shop.lines["ts"].to_list() == [parsed.values["ts"]]
    assert parsed.values["ts"] == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)


def test_white_space_around_an_id_is_dropped_alike(shop) -> None:
    shop.load(transactions="order_id,product_id,ts,quantity\n o\t,p\u3000,2026-03-01,1\n")
    given = row("2026-03-01") | {"order_id": " o\t", "product_id": "p\u3000"}
    parsed = parse_row("transactions", given, zone=ZoneInfo(shop.zone), now=NOW)
    for column in ("order_id", "product_id"):
        assert shop.lines[column].to_list() == [parsed.values[column]] == [given[column].strip()]


@pytest.mark.parametrize("text", ["2026-03-01 10:00 PST", "2026-03-01 10:00 Europe/Nowhere"])
def test_a_zone_that_is_not_understood_is_never_dropped(shop, text: str) -> None:
    shop.load(transactions=f"order_id,product_id,ts,quantity\no,p,{text},1\n")
    assert shop.quarantine == [("ts", "zone", text)]
    with pytest.raises(InputRefusedError) as caught:
        parse_row("transactions", row(text), zone=ZoneInfo("UTC"), now=NOW)
    assert "Asia/Shanghai" in caught.value.expected


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00", "0000-01-01T00:00:00"]
)
def test_moments_of_no_age_are_refused_by_the_row(shop, text: str) -> None:
    shop.load(transactions=f"order_id,product_id,ts,quantity\no,p,{text},1\no2,p,2026-01-01,1\n")
    assert len(shop.quarantine) == 1
    with pytest.raises(InputRefusedError):
        parse_row("transactions", row(text), zone=ZoneInfo("Asia/Shanghai"), now=NOW)


@pytest.mark.parametrize(
    ("formats", "text", "moment"),
    [
        (["%d.%m.%Y %H:%M %z", "%d.%m.%Y %H:%M"], "01.05.2023 14:00 +0530", (8, 30)),
        (["%d.%m.%Y %H:%M %z", "%d.%m.%Y %H:%M"], "01.05.2023 14:00", (6, 0)),
        (["%Y.%m.%d %H:%M %Z"], "2023.05.01 14:00 UTC", (14, 0)),
    ],
)
def test_a_format_with_a_zone(shop, formats, text, moment) -> None:
    mapping = {"time_formats": formats, "tables": {"transactions": {"source": "transactions"}}}
    rows = f"order_id,product_id,ts,quantity\no1,p,{text},1\no2,p,2023-05-01,1\n"
    shop.load(mapping, transactions=rows)
    assert shop.column("ts")[0] == datetime(2023, 5, 1, *moment)


@pytest.mark.parametrize("key", ["time_formats", "times"])
def test_a_zone_in_the_middle_of_a_format_is_refused(key: str) -> None:
    formats = ["%a %b %d %H:%M:%S %z %Y"]
    table = {"source": "transactions", **({"times": {"ts": formats}} if key == "times" else {})}
    whole = {"time_formats": formats} if key == "time_formats" else {}
    with pytest.raises(ValidationError, match="zone at the end"):
        Mapping.model_validate({"name": "m", "tables": {"transactions": table}, **whole})


def test_aware_frames_are_converted_and_not_relabelled() -> None:
    zone = ZoneInfo("America/New_York")
    aware = pl.Series("event_timestamp", [datetime(2026, 11, 20, 2, tzinfo=UTC)])
    naive = pl.Series("event_timestamp", [datetime(2026, 11, 19, 21)])
    text = pl.Series("event_timestamp", ["2026-11-19 21:00"])
    moments = [utc_moments(series, zone).to_list() for series in (aware, naive, text)]
    assert moments[0] == moments[1] == moments[2]
    twice = pl.Series(
        "event_timestamp", [datetime(2026, 11, 1, 1, 30), datetime(2026, 3, 8, 2, 30)]
    )
    assert utc_moments(twice, zone).to_list() == [
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC), datetime(2026, 3, 8, 7, 30, tzinfo=UTC),
    ]  # fmt: skip
    days = pl.Series("event_timestamp", [date(2026, 11, 20)])
    assert utc_moments(days, zone).to_list() == [datetime(2026, 11, 20, 5, tzinfo=UTC)]


@pytest.mark.parametrize("values", [[1714528800], ["soon"], [None]])
def test_frames_without_moments_are_refused(values: list[object]) -> None:
    with pytest.raises(UsageError, match="event_timestamp"):
        utc_moments(pl.Series("event_timestamp", values), ZoneInfo("UTC"))


def test_the_report_tells_times_in_the_projects_zone(shop) -> None:
    report = shop.load(transactions="order_id,product_id,ts,quantity\no,p,2025-01-01 00:30,1\n")
    assert any("from 2025-01-01 to 2025-01-01" in line for line in report.lines(verbose=True))


def test_months_and_gaps_of_a_report_are_those_of_the_projects_days(shop) -> None:
    # the export stands in New York's evening, on which Shanghai already has the next day
    mapping = {
        "time_zone": "America/New_York",
        "tables": {"transactions": {"source": "transactions"}},
    }
    rows = "order_id,product_id,ts,quantity\no1,p,2025-12-31 20:00,1\no2,p,2026-01-31 20:00,1\n"
    facts = shop.load(mapping, transactions=rows).tables["transactions"].facts
    assert facts["months"] == {"2026-01": 1, "2026-02": 1}
    assert facts["gaps"] == [{"until": "2026-02-01", "days": 30}]
    assert facts["first"].startswith("2026-01-01T09:00")


def test_codes_of_clock_changes_are_those_of_the_load() -> None:
    place = ZoneInfo("Europe/London")
    assert parse_moment("2026-10-25 01:30", place).change == clock.AMBIGUOUS
    assert parse_moment("2026-03-29 01:30", place).change == clock.MISSING
    assert parse_moment("2026-10-25 01:30 UTC", place).change == 0
