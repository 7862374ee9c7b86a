"""Exports: moments with offsets, cells that no spreadsheet takes for formulas, raw on request."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from nba.errors import UsageError
from nba.jobs.export import CsvStyle, with_offsets, write_table

SYDNEY = ZoneInfo("Australia/Sydney")
START = datetime(2027, 2, 25)


def plan() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "clerk_id": ["K1", "K2", None],
            "as_of": [START] * 3,
            "contact_from": [START.replace(hour=13), START.replace(hour=10), None],
            "expires_at": [datetime(2027, 2, 26, 3), datetime(2027, 2, 26), None],
        },
        schema_overrides=dict.fromkeys(("as_of", "contact_from", "expires_at"), pl.Datetime("us")),
    )


def test_windows_carry_the_stores_offset_and_the_rest_the_projects() -> None:
    found = with_offsets(plan(), {"K1": "Australia/Perth"}, SYDNEY, as_text=True)
    assert found["contact_from"].to_list() == [
        "2027-02-25T10:00:00+08:00",
        "2027-02-25T10:00:00+11:00",
        None,
    ]
    assert found["expires_at"][0] == "2027-02-26T00:00:00+08:00"
    assert found["as_of"].unique().to_list() == ["2027-02-25T00:00:00+11:00"]


def test_parquet_holds_moments_in_the_projects_zone() -> None:
    found = with_offsets(plan(), {"K1": "Australia/Perth"}, SYDNEY, as_text=False)
    assert found.schema["contact_from"] == pl.Datetime("us", "Australia/Sydney")
    assert found["contact_from"][0] == datetime(2027, 2, 25, 13, tzinfo=SYDNEY)


def test_an_hour_that_happens_twice_is_the_second_one() -> None:
    twice = plan().with_columns(
        contact_from=pl.lit(datetime(2027, 4, 4, 2, 30)).cast(pl.Datetime("us"))
    )
    found = with_offsets(twice, {}, SYDNEY, as_text=True)
    assert found["contact_from"][0] == "2027-04-04T02:30:00+10:00"


def test_cells_are_safe_for_people_and_raw_for_programs(tmp_path: Path) -> None:
    ids = ["=1+1", "+86138", "-2+3", "@SUM(A1)", "\tx", "\rx", "plain", "复购"]
    frame = pl.DataFrame({"customer_id": ids, "value": [-1.5] * len(ids)})

    def read(name: str, style: CsvStyle) -> list[list[str]]:
        write_table(frame, tmp_path / name, style)
        with (tmp_path / name).open(encoding="utf-8-sig", newline="") as handle:
            return list(csv.reader(handle))[1:]

    safe = [row[0] for row in read("safe.csv", CsvStyle())]
    assert safe == [f"'{one}" for one in ids[:6]] + ids[6:]
    assert [row[0] for row in read("raw.csv", CsvStyle(raw=True))] == ids
    assert {row[1] for row in read("bom.csv", CsvStyle(bom=True))} == {"-1.5"}
    assert (tmp_path / "bom.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert not (tmp_path / "safe.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_every_report_refuses_a_file_of_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot tell the format"):
        write_table(plan(), tmp_path / "a.xls")
    assert list(tmp_path.iterdir()) == []
