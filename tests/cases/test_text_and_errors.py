"""Text and paths, and errors that escape: odd ids, spreadsheets, mappings that miss a table."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl
import pytest

from nba.errors import NbaError
from nba.jobs.export import CsvStyle, write_table

LINES = "order_id,customer_id,product_id,ts,quantity\n"


@pytest.mark.parametrize("text", ["=1+1", "+8613800100100", "-2", "@SUM(1+1)", "\t=1", "＝1+1"])
def test_cells_for_people_are_no_formulas(tmp_path: Path, text: str) -> None:
    frame = pl.DataFrame({"customer_id": [text], "uplift": [-2.5], "name": ["您好"]})
    write_table(frame, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as handle:
        assert list(csv.reader(handle))[1] == [f"'{text}", "-2.5", "您好"]
    write_table(frame, tmp_path / "a.jsonl")
    write_table(frame, tmp_path / "a.parquet")
    assert pl.read_parquet(tmp_path / "a.parquet")["customer_id"].to_list() == [text]
    assert pl.read_ndjson(tmp_path / "a.jsonl")["customer_id"].to_list() == [text]


def test_a_mark_tells_spreadsheets_the_encoding(tmp_path: Path) -> None:
    frame = pl.DataFrame({"name": ["您好"]})
    write_table(frame, tmp_path / "a.csv", CsvStyle(bom=True))
    assert (tmp_path / "a.csv").read_bytes().startswith("\ufeffname".encode())
    write_table(frame, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes().startswith(b"name")


def test_odd_ids_come_through(shop) -> None:
    ids = ["=1+1", "WX/0001", "+86 138", "a'b", 'q"q', "ü😀", "..", "%2F"]
    rows = [
        f'o{n},"{one.replace(chr(34), chr(34) * 2)}",p,2026-05-01,1\n' for n, one in enumerate(ids)
    ]
    shop.load(transactions=LINES + "".join(rows))
    assert shop.column("customer_id") == ids


def test_a_quoted_line_break_and_a_column_after_the_last(shop) -> None:
    shop.load(transactions='order_id,product_id,ts,quantity,note,\no1,p,2026-05-01,1,"a\nb",\n')
    assert shop.column("order_id") == ["o1"]


def test_marks_before_the_header(shop) -> None:
    shop.load(transactions=("\ufeff\ufeff" + LINES + "o1,c1,p1,2026-05-01,1\n").encode())
    assert shop.column("order_id") == ["o1"]


def test_tabs_and_semicolons(shop) -> None:
    text = LINES + "o1,c1,p1,2026-05-01,1\n"
    shop.load(transactions=text.replace(",", "\t"))
    shop.load(transactions=text.replace(",", ";").replace("o1", "o2"))
    assert shop.column("order_id") == ["o1", "o2"]


@pytest.mark.parametrize("table", ["customers", "stock", "behaviour_free"])
def test_a_mapping_without_transactions(shop, table: str) -> None:
    name = table if table != "behaviour_free" else "stores"
    key = {"customers": "customer_id", "stock": "product_id", "stores": "store_id"}[name]
    mapping = {"tables": {name: {"source": "m", "rename": {key: "id"}}}}
    message = shop.refused(mapping, m="id,name\n1,a\n")
    assert "transactions" in message or "lacks the required" in message


def test_a_mapping_that_fits_once_lines_are_there(shop) -> None:
    shop.load(transactions=LINES + "o1,c1,p1,2026-05-01,1\n")
    shop.load(
        {"tables": {"customers": {"source": "m", "rename": {"customer_id": "id"}}}}, m="id\n1\n"
    )
    assert shop.lake.rows("customers") == 1


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfea", b"PK\x03\x04x", b"\x00\x01\x02\n", b"order_id,order_id\n1,2\n"]
)
def test_files_that_are_none(shop, content: bytes) -> None:
    with pytest.raises(NbaError) as caught:
        shop.load(transactions=content)
    assert "transactions" in str(caught.value)


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_lines_that_end_in_other_ways(shop, end: str) -> None:
    """A header of one program above the lines of another; a file of an old one."""
    header, *rows = TWO.splitlines(keepends=True)
    mixed = header + "".join(rows).replace("\n", end)
    shop.load(transactions=mixed)
    assert shop.column("order_id") == ["o1", "o2"]
    shop.load(transactions=TWO.replace("\n", end).replace("o1", "o3"))
    assert shop.column("order_id") == ["o1", "o2", "o3"]
    assert not shop.quarantine


TWO = (
    "order_id,customer_id,product_id,ts,quantity,unit_price\n"
    "o1,c1,p1,2026-05-01,1,5\no2,c2,p2,2026-05-02,1,5\n"
)
