"""The lake forgets a customer: every kept version, the quarantine, reports; and keeps them out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nba.data import quarantine
from nba.data.erasure import GONE, LakeEraser, Leaving, quarantined_customer
from nba.data.identity_keys import customer_digest
from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.tombstones import Tombstones

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SECRET = b"secret"
GONE_C1 = Tombstones(SECRET, frozenset({customer_digest("C1", SECRET)}))
SALES = """order_id,line_no,customer_id,product_id,ts,quantity,unit_price
o1,1,C1,p1,2026-01-05,1,10
o2,1,C10,p1,2026-01-06,2,10
o3,1,C1,p2,2026-02-07,1,5
o4,1,,p2,2026-02-08,1,5
o5,1,C1,p2,2026-02-09,many,5
o6,1,C2,p2,2026-02-09,few,5
"""
CONTACTS = """interaction_id,customer_id,clerk_id,ts,mode,action_id
i1,C1,k1,2026-01-07,private_partner,a1
i2,C2,k1,2026-01-07,private_partner,a2
"""
ANSWERS = """response_id,interaction_id,ts,kind
r1,i1,2026-01-08,replied
r2,i2,2026-01-08,replied
"""
FEEDBACK = """feedback_id,action_id,clerk_id,ts,kind
f1,a1,k1,2026-01-07,sent
f2,a2,k1,2026-01-07,sent
f3,a3,k1,2026-01-07,skipped
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, content in (
        ("transactions", SALES),
        ("interactions", CONTACTS),
        ("responses", ANSWERS),
        ("feedback", FEEDBACK),
    ):
        (folder / f"{name}.csv").write_text(content)
    return folder


@pytest.fixture
def lake(tmp_path: Path, source: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    ingest(source, lake, time_zone="UTC", now=NOW)
    return lake


def erase(lake: Lake, customer_id: str, **actions: str) -> dict[str, int]:
    tally = LakeEraser(lake, lambda: NOW).erase(Leaving.of([customer_id], actions))
    return tally.rows


def test_rows_about_the_customer_go_and_those_of_others_stay(lake: Lake) -> None:
    kept = lake.polars("transactions").filter(customer_id="C10")
    old_files = lake.files("transactions")
    assert erase(lake, "C1", a3="C1")["C1"] == 2 + 1 + 1 + 2 + 1
    sales = lake.polars("transactions")
    assert sorted(sales["order_id"]) == ["o2", "o4"]
    assert sales.filter(customer_id="C10").equals(kept)
    assert lake.polars("interactions")["interaction_id"].to_list() == ["i2"]
    assert lake.polars("responses")["response_id"].to_list() == ["r2"]
    assert lake.polars("feedback")["feedback_id"].to_list() == ["f2"]
    assert quarantine.quarantined(lake)["row"].str.contains("C2").to_list() == [True]
    # readers of the version before still find its files, without the customer
    assert all(path.exists() for path in old_files)
    held = {path: path.read_bytes() for path in lake.root.rglob("*.parquet")}
    assert not [path for path, content in held.items() if b'"C1"' in content]
    assert erase(lake, "C1") == {}


def test_the_digests_are_those_of_a_lake_that_never_knew_the_customer(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    erase(lake, "C1", a3="C1")
    for name in ("transactions", "interactions"):
        path = source / f"{name}.csv"
        lines = [line for line in path.read_text().splitlines() if ",C1," not in line]
        path.write_text("\n".join(lines) + "\n")
    for name, row in (("responses", "r1,"), ("feedback", "f1,"), ("feedback", "f3,")):
        path = source / f"{name}.csv"
        lines = [line for line in path.read_text().splitlines() if not line.startswith(row)]
        path.write_text("\n".join(lines) + "\n")
    other = Lake(tmp_path / "other")
    ingest(source, other, time_zone="UTC", now=NOW)
    assert lake.version == other.version


def test_a_load_keeps_erased_customers_out_and_counts_them(lake: Lake, source: Path) -> None:
    erase(lake, "C1", a3="C1")
    version = lake.version
    (source / "responses.csv").unlink()
    (source / "feedback.csv").unlink()
    report = ingest(source, lake, time_zone="UTC", now=NOW, tombstones=GONE_C1)
    assert lake.version == version
    assert {name: table.kept_out for name, table in report.tables.items()} == {
        "transactions": 3,
        "interactions": 1,
    }
    assert report.tables["transactions"].read.rows == 3
    assert "3 rows of erased customers were kept out" in "\n".join(report.lines())
    assert not quarantine.quarantined(lake)["row"].str.contains('"C1"').any()


def test_lines_that_are_no_records_name_nobody_who_was_erased(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "transactions.csv").write_text(SALES + "o7,1,C1,p1,2026-01-05,1,10,too,many\n")
    lake = Lake(tmp_path / "lake")
    ingest(folder, lake, time_zone="UTC", now=NOW, tombstones=GONE_C1)
    held = quarantine.quarantined(lake)
    assert GONE in held["value"].to_list()
    assert not [row for row in held.rows() if "C1" in str(row).replace("C10", "")]


def test_examples_in_reports_are_blanked(lake: Lake) -> None:
    texts = [path.read_text() for path in (lake.root / "reports").iterdir()]
    assert texts
    erase(lake, "C1")
    for path in (lake.root / "reports").iterdir():
        assert "'C1'" not in path.read_text()


@pytest.mark.parametrize(
    ("column", "value", "row", "expected"),
    [
        ("quantity", "many", '{"customer_id": "C1", "quantity": "many"}', "C1"),
        ("quantity", "many", '{"Customer ID": " C1 ", "quantity": "many"}', "C1"),
        ("quantity", "many", '{"customer_id": "C10"}', None),
        ("quantity", "7", '{"customer_id": "8", "quantity": "7"}', None),
        ("quantity", "x", '{"Kundennr": "7", "quantity": "x"}', "7"),
        ("", "o7,1,C1,p1", None, "C1"),
        ("", "o7,1,C10,p1", None, None),
    ],
)
def test_a_quarantined_row_names_a_customer_where_it_says_so(
    column: str, value: str, row: str | None, expected: str | None
) -> None:
    assert quarantined_customer(column, value, row, ["C1", "7"]) == expected
