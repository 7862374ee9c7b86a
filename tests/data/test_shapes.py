"""Tables of the contract as people have them: workbooks, archives, tabs, other encodings."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import pytest
from openpyxl import Workbook

from nba.data.lake import Lake
from nba.data.mapping import CANONICAL, Mapping
from nba.data.report import LoadRefusedError
from nba.data.suggest import suggest_mapping

SALES = [
    ["order_id", "line_no", "customer_id", "product_id", "ts", "quantity", "unit_price"],
    *([str(1000 + n), "1", f"c{n % 3}", "p1", f"2026-03-0{n} 10:30:00", "1", "5.50"]
      for n in range(1, 9)),
]  # fmt: skip
PEOPLE = [["customer_id", "name", "birthday"], ["c1", "王小明", "1990-05-03"], ["c2", "", ""]]


def text(rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def workbook(sheets: Dict[str, Sequence[Sequence[str]]]) -> bytes:
    """Return a workbook with cells of their types, and a mark far below the last row."""
    book, stream = Workbook(), io.BytesIO()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append([_cell(value) for value in row])
        sheet.cell(300, 20).number_format = "0.00"
    book.save(stream)
    return stream.getvalue()


def _cell(value: str) -> object:
    if len(value) == 19 and value[4] == "-":
        return datetime.fromisoformat(value)
    if len(value) == 10 and value[4] == "-":
        return date.fromisoformat(value)
    return float(value) if value.replace(".", "").isdigit() else value or None


def zipped(members: Dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


TABLES: dict[str, dict[str, str | bytes]] = {
    "tabs": {"transactions.tsv": text(SALES, "\t"), "customers.txt": text(PEOPLE, "\t")},
    "capitals": {"Transactions.CSV.GZ": gzip.compress(text(SALES).encode()),
                 "CUSTOMERS.csv": text(PEOPLE)},
    "workbooks": {"transactions.xlsx": workbook({"Sheet1": SALES}),
                  "customers.xlsx": workbook({"人员": PEOPLE})},
    "one workbook": {"shop.xlsx": workbook({"transactions": SALES, "Customers": PEOPLE})},
    "an archive": {"all.zip": zipped({"a/transactions.csv": text(SALES),
                                      "a/customers.csv": text(PEOPLE)})},
    "parts": {"transactions/1.csv": text(SALES[:5]),
              "transactions/2.xlsx": workbook({"S": [SALES[0], *SALES[5:]]}),
              "customers.csv": text(PEOPLE)},
}  # fmt: skip


@pytest.mark.parametrize("shape", TABLES)
def test_every_shape_makes_the_same_lake(load, lake: Lake, tmp_path: Path, shape: str) -> None:
    usual = Lake(tmp_path / "usual")
    load({"transactions.csv": text(SALES), "customers.csv": text(PEOPLE)}, into=usual)
    report = load(TABLES[shape])
    assert not sum(table.quarantined.rows for table in report.tables.values())
    assert lake.version == usual.version


def test_a_row_of_a_workbook_is_named_by_its_number(load) -> None:
    broken = [*SALES, [], ["9", "1", "c1", "p1", "never", "1", "5"]]
    report = load({"shop.xlsx": workbook({"transactions": broken, "Returns": PEOPLE})})
    first = [check.first for check in report.checks if "type" in check.message]
    assert any("shop.xlsx/transactions, line 11" in one for one in first)
    (left,) = [check for check in report.checks if check.name == "unknown_files"]
    assert left.first == "shop.xlsx/Returns"


def test_an_id_of_a_workbook_is_read_as_it_is_shown(load, lake: Lake) -> None:
    """A spreadsheet holds 000042 as 42 with a format; beside it stands the same id as text."""
    book, stream = Workbook(), io.BytesIO()
    sheet = book.worksheets[0]
    shown = [("000000", 42), ("General", "000042"), ("000000;@", 42.0), ("000-000", 42), ("0", 42)]
    sheet.append(["order_id", "product_id", "ts", "quantity", "customer_id"])
    for number, (number_format, value) in enumerate(shown, start=2):
        sheet.append([f"o{number}", "p1", "2026-03-01", 2, value])
        sheet.cell(number, 5).number_format = number_format
        sheet.cell(number, 4).number_format = "00"
    book.save(stream)
    load({"transactions.xlsx": stream.getvalue()})
    lines = lake.polars("transactions").sort("order_id")
    assert lines["customer_id"].to_list() == ["000042"] * 3 + ["000-042", "42"]
    assert set(lines["quantity"]) == {2}


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("customers.xls", b"\xd0\xcf\x11\xe0", "save it as .xlsx or CSV"),
        ("customers.jsonl", b'{"customer_id": "c1"}\n', "write it as Parquet or CSV"),
        ("customers.rar", b"Rar!", "unpack it, or pack it as .zip"),
        ("customers.xlsx", b"PK\x03\x04", "export it again"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(
    load, lake: Lake, name: str, content: bytes, remedy: str
) -> None:
    with pytest.raises(LoadRefusedError, match=remedy) as caught:
        load({"transactions.csv": text(SALES), name: content})
    assert name in str(caught.value)
    assert caught.value.exit_code == 65
    assert not lake.rows("transactions")


def test_a_table_that_stands_twice_is_refused(load) -> None:
    both = {"transactions.csv": text(SALES), "Transactions.xlsx": workbook({"S": SALES})}
    with pytest.raises(LoadRefusedError, match=r"Transactions\.xlsx, transactions\.csv"):
        load(both)


def test_an_archive_beside_what_was_unpacked_of_it_is_told(load) -> None:
    packed = zipped({"transactions.csv": text(SALES)})
    report = load({"transactions.csv": text(SALES), "archive.zip": packed})
    assert report.tables["transactions"].new == len(SALES) - 1
    (left,) = [check for check in report.checks if check.name == "unknown_files"]
    assert left.first == "archive.zip/transactions.csv"


TAIWAN = [["customer_id", "name"], ["c1", "王小明"], ["c2", "陳美麗"]]
GERMAN = [["customer_id", "name"], ["c1", "Müller"], ["c2", "Jäger"]]


@pytest.mark.parametrize(
    ("rows", "encoding", "found"),
    [
        (TAIWAN, "big5", "'王小明' as big5"),
        ([["customer_id", "name"], ["c1", "山田太郎"]], "shift_jis", "'山田太郎' as shift_jis"),
        (GERMAN, "windows-1252", "'Müller' as windows-1252"),
        (GERMAN, "mac-roman", "as windows-1252"),
    ],
)
def test_an_encoding_that_nobody_can_tell_is_refused(
    load, lake: Lake, rows: list[list[str]], encoding: str, found: str
) -> None:
    files = {"transactions.csv": text(SALES), "customers.csv": text(rows).encode(encoding)}
    with pytest.raises(LoadRefusedError, match=found) as caught:
        load(files)
    assert "--encoding" in str(caught.value)
    assert not lake.rows("transactions")
    mapping = Mapping.model_validate({"name": "m", "tables": dict(CANONICAL.tables)})
    with pytest.raises(LoadRefusedError, match=found):
        load(files, mapping=mapping)
    load(files, encoding=encoding)
    assert set(lake.polars("customers")["name"]) == {row[1] for row in rows[1:]}


def test_what_is_recognised_is_read(load, lake: Lake) -> None:
    for encoding in ("gb18030", "utf-16", "utf-16-le", "utf-32"):
        files = {"transactions.csv": text(SALES), "customers.csv": text(PEOPLE).encode(encoding)}
        load(files)
        assert lake.polars("customers")["name"].drop_nulls().to_list() == ["王小明"]


@pytest.mark.parametrize("said", ["", "gb18030"])
def test_half_a_character_spoils_its_line_only(load, lake: Lake, said: str) -> None:
    """Tills cut names after so many bytes, in the middle of a character."""
    names = [[f"c{n}", f"喜欢红茶的客人{n}"] for n in range(40)]
    content = text([["customer_id", "name"], *names]).encode("gb18030")
    content += "c99,喜欢".encode("gb18030")[:-1] + b"\n"
    report = load({"transactions.csv": text(SALES), "customers.csv": content}, encoding=said)
    table = report.tables["customers"]
    assert (table.accepted.rows, table.quarantined.rows) == (40, 1)
    (check,) = [one for one in report.checks if one.name == "quarantine.record"]
    assert "line 42" in check.first


def test_a_draft_of_a_workbook(tmp_path: Path, load, lake: Lake) -> None:
    names = ["订单号", "行号", "会员号", "商品编码", "下单时间", "数量", "单价"]
    content = workbook({"Sheet1": [names, *SALES[1:]]})
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "销售.xlsx").write_bytes(content)
    (shop / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    draft = suggest_mapping(shop)
    assert "# from 销售.xlsx" in draft
    assert "# no table was found for: old.xls" in draft
    path = tmp_path / "m.yaml"
    path.write_text(draft, encoding="utf-8")
    load({"销售.xlsx": content}, mapping=str(path))
    assert lake.rows("transactions") == len(SALES) - 1
