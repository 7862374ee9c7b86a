"""The quarantine: list, show, try again; and the data report."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from nba.data.ingest import retry
from nba.data.lake import Lake
from nba.data.mapping import CANONICAL, Mapping, TableMapping
from nba.data.quarantine import quarantined, summary

NOW = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)
RESPONSES = (
    "response_id,customer_id,ts,kind\nr1,05,2026-01-01,READ\nr2,05,2026-01-01,read\n"
    "r3,05,2026-01-01,LIKED\n"
)


def fixed() -> Mapping:
    own = TableMapping(source=("responses",), values={"kind": {"READ": "read"}})
    return CANONICAL.model_copy(update={"tables": {**CANONICAL.tables, "responses": own}})


def test_summary_and_rows(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines + "o9,c9,p1,1970-01-01,1,1\n", "responses.csv": RESPONSES})
    found = summary(lake).to_dicts()
    assert [(row["table"], row["column"], row["rule"], row["rows"]) for row in found] == [
        ("responses", "kind", "values", 2),
        ("transactions", "ts", "time_range", 1),
    ]
    assert quarantined(lake, table="responses", limit=1).height == 1
    row = json.loads(quarantined(lake, table="transactions")["row"][0])
    assert row["order_id"] == "o9"


def test_the_same_offence_is_kept_once(load, lake: Lake, lines: str) -> None:
    files = {"transactions.csv": lines, "responses.csv": RESPONSES}
    load(files)
    report = load(files, now=NOW + timedelta(days=1))
    assert not report.changed
    assert quarantined(lake).height == 2


def test_retry_with_a_corrected_mapping(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines + 'o9,"x,p1,1970-01-01,1,1\n', "responses.csv": RESPONSES})
    assert quarantined(lake).height == 3
    report = retry(lake, mapping=fixed(), time_zone="Asia/Shanghai", now=NOW + timedelta(days=1))
    assert report.tables["responses"].new == 1
    assert sorted(lake.polars("responses")["response_id"]) == ["r1", "r2"]
    left = quarantined(lake)
    assert sorted(left["rule"]) == ["record", "values"]
    assert set(left["loaded_at"]) == {NOW}
    again = retry(lake, mapping=fixed(), time_zone="Asia/Shanghai", now=NOW + timedelta(days=2))
    assert not again.changed
    assert quarantined(lake).equals(left)


def test_retry_empties_the_quarantine(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines, "responses.csv": RESPONSES.replace("LIKED", "READ")})
    retry(lake, mapping=fixed(), time_zone="Asia/Shanghai", now=NOW)
    assert lake.rows("responses") == 3
    assert quarantined(lake).height == 0
    retry(lake, mapping=fixed(), time_zone="Asia/Shanghai", now=NOW)


def test_rows_of_parquet_can_be_retried(load, lake: Lake, lines: str, tmp_path) -> None:
    import polars as pl

    path = tmp_path / "x.parquet"
    pl.DataFrame(
        {
            "interaction_id": ["i1"],
            "customer_id": ["05"],
            "ts": [datetime(2026, 1, 1, tzinfo=UTC)],
            "mode": ["Topic"],
            "product_ids": [["p1", "p, 2"]],
        }
    ).write_parquet(path)
    load({"transactions.csv": lines, "interactions.parquet": path.read_bytes()})
    assert lake.rows("interactions") == 0
    own = TableMapping(source=("interactions",), values={"mode": {"Topic": "topic_expert"}})
    mapping = CANONICAL.model_copy(update={"tables": {**CANONICAL.tables, "interactions": own}})
    retry(lake, mapping=mapping, time_zone="Asia/Shanghai", now=NOW)
    row = lake.polars("interactions").to_dicts()[0]
    assert row["ts"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert row["product_ids"][0] == "p1"


def test_report_is_written_as_json_and_html(load, lake: Lake, lines: str) -> None:
    report = load({"transactions.csv": lines + "o9,<b>,p1,1970-01-01,1,1\n"})
    path = lake.root / "reports" / f"{report.load_id}"
    content = json.loads(path.with_suffix(".json").read_text())
    assert content["tables"]["transactions"]["read"]["rows"] == 5
    assert content["tables"]["transactions"]["facts"]["months"] == {"2026-03": 2, "2026-04": 2}
    page = path.with_suffix(".html").read_text()
    assert "time_range" in page
    assert "<b>,p1" not in page
    assert content["exit_code"] == 0
