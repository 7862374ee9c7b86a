"""Bad input: a clear message, the documented exit code, and nothing lost."""

from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.mapping import Mapping
from nba.data.quarantine import quarantined
from nba.data.report import IngestReport, LoadRefusedError, Status, TableReport

HEADER = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
NOW = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)


def refused(load, files, **options) -> str:
    with pytest.raises(LoadRefusedError) as caught:
        load(files, **options)
    assert caught.value.exit_code == 65
    message = str(caught.value)
    for part in ("expected", "found", "what to do"):
        assert f"{part}: " in message
    return message


def reconciled(report) -> None:
    for table in report.tables.values():
        assert table.read == table.accepted + table.quarantined
        placed = table.new + table.changed + table.unchanged + table.repeated
        assert placed == table.accepted.rows


def one_bad(
    load, lake, bad: str, column: str, rule: str, good: int = 4, lines: str = ""
) -> pl.DataFrame:
    report = load({"transactions.csv": lines + bad})
    assert report.exit_code == 0
    reconciled(report)
    assert lake.rows("transactions") == good
    rows = quarantined(lake)
    assert rows["column"].to_list() == [column]
    assert rows["rule"].to_list() == [rule]
    assert rows["line"].to_list() == [6]
    return rows


def test_missing_folder(tmp_path: Path, lake: Lake) -> None:
    with pytest.raises(LoadRefusedError, match="does not exist") as caught:
        ingest(tmp_path / "nowhere", lake, time_zone="UTC", now=NOW)
    assert caught.value.exit_code == 65
    assert "check the path" in str(caught.value)


def test_empty_folder(load) -> None:
    assert "has no transactions" in refused(load, {})


@pytest.mark.parametrize(
    "name", ["transactions.csv", "transactions.parquet", "transactions.csv.gz"]
)
def test_empty_file(load, name: str) -> None:
    assert name in refused(load, {name: b""})


def test_truncated_parquet(load, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"order_id": ["a"] * 1000}).write_parquet(path)
    message = refused(load, {"transactions.parquet": path.read_bytes()[:-200]})
    assert "transactions.parquet" in message


def test_damaged_parquet_pages(load, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame(
        {
            "order_id": [f"o{i * 7919 % 1000}" for i in range(1000)],
            "product_id": [f"p{i * 31 % 1000}" for i in range(1000)],
            "ts": ["2026-01-01"] * 1000,
            "quantity": [1] * 1000,
        }
    ).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:900] = b"\xff" * 800
    assert "cannot be read" in refused(load, {"transactions.parquet": bytes(content)})


@pytest.mark.parametrize("cut", [4, 40])
def test_truncated_gzip(load, lines: str, cut: int) -> None:
    packed = gzip.compress((lines * 50).encode())
    message = refused(load, {"transactions.csv.gz": packed[:-cut]})
    assert "gzip" in message
    assert "transactions.csv.gz" in message


def test_required_column_absent(load, lake: Lake, lines: str) -> None:
    message = refused(load, {"transactions.csv": lines.replace("product_id", "sku")})
    assert "product_id" in message
    assert "sku" in message
    assert lake.rows("transactions") == 0


def test_wrong_type_column(load, lines: str) -> None:
    text = lines.replace("2026-03-01 10:00:00", "yesterday").replace("2026-04-0", "n/a-")
    message = refused(load, {"transactions.csv": text})
    assert "ts" in message
    assert "yesterday" in message or "n/a" in message


@pytest.mark.parametrize("good", [0, 1])
def test_a_table_of_which_no_row_is_accepted_is_told(load, lake: Lake, good: int) -> None:
    rows = "o1,c1,p1,13.05.2024,1,1\no2,c1,p1,14.05.2024,1,1\n"
    report = load({"transactions.csv": HEADER + rows + "o3,c1,p1,2026-03-01,1,1\n" * good})
    reconciled(report)
    assert (lake.rows("transactions"), quarantined(lake).height) == (good, 2)
    told = [check for check in report.checks if check.name == "nothing_accepted"]
    assert [(check.status, check.count) for check in told] == [(Status.WARN, 2)] * (not good)


def test_wrong_declared_type(load, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame(
        {"order_id": ["o"], "product_id": ["p"], "ts": [1234567890], "quantity": [1]}
    ).write_parquet(path)
    message = refused(load, {"transactions.parquet": path.read_bytes()})
    assert "BIGINT" in message


def test_refused_table_commits_nothing(load, lake: Lake, lines: str) -> None:
    refused(load, {"transactions.csv": lines, "clerks.csv": "name\nx\n"})
    assert lake.rows("transactions") == 0
    assert lake.version == Lake(lake.root / "other").version


@pytest.mark.parametrize(
    "bad",
    ["1970-01-01 00:00:00", "2099-01-01 00:00:00"],
)
def test_dates_out_of_range(load, lake: Lake, lines: str, bad: str) -> None:
    rows = one_bad(load, lake, f"o9,c9,p1,{bad},1,1.00\n", "ts", "time_range", lines=lines)
    assert rows["value"].to_list() == [bad]
    assert "between 1990-01-01" in rows["expected"][0]


@pytest.mark.parametrize(
    ("price", "rule"),
    [("NaN", "type"), ("-3", "range"), ("inf", "type"), ("12,50", "record"), ("1e400", "type")],
)
def test_bad_prices(load, lake: Lake, lines: str, price: str, rule: str) -> None:
    column = "" if rule == "record" else "unit_price"
    one_bad(load, lake, f"o9,c9,p1,2026-01-01,1,{price}\n", column, rule, lines=lines)


@pytest.mark.parametrize("value", ["infinity", "2025-02-29", "-infinity", "epoch", "2026-13-01"])
def test_impossible_times(load, lake: Lake, lines: str, value: str) -> None:
    one_bad(load, lake, f"o9,c9,p1,{value},1,1.00\n", "ts", "type", lines=lines)


def test_29_february(load, lake: Lake, lines: str) -> None:
    report = load(
        {
            "transactions.csv": lines,
            "customers.csv": "customer_id,birthday\na,2024-02-29\nb,2023-02-29\nc,02-29\nd,02-30\n",
        }
    )
    reconciled(report)
    assert lake.polars("customers")["customer_id"].sort().to_list() == ["a", "c"]
    assert quarantined(lake, table="customers")["value"].sort().to_list() == ["02-30", "2023-02-29"]


def test_nan_and_infinity_in_parquet(load, lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame(
        {
            "order_id": ["a", "b", "c", "d"],
            "product_id": ["p"] * 4,
            "ts": [datetime(2026, 1, 1)] * 4,
            "quantity": [1.0, 1.0, float("inf"), 1.0],
            "unit_price": [2.5, float("nan"), 1.0, None],
        }
    ).write_parquet(path)
    reconciled(load({"transactions.parquet": path.read_bytes()}))
    assert lake.polars("transactions")["order_id"].sort().to_list() == ["a", "d"]
    assert quarantined(lake)["line"].sort().to_list() == [2, 3]


def test_unknown_customer_and_product_are_kept(load, lake: Lake, lines: str) -> None:
    report = load(
        {
            "transactions.csv": lines,
            "customers.csv": "customer_id\n05\n",
            "products.csv": "product_id\np1\np2\n",
        }
    )
    reconciled(report)
    assert lake.rows("transactions") == 4
    text = "\n".join(report.lines())
    assert (
        "1 rows name 1 customer_id that customers does not have; they were kept; first: c2" in text
    )
    assert "1 rows name 1 product_id that products does not have; they were kept; first: p3" in text


def test_leading_zeros_stay(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines})
    assert set(lake.polars("transactions")["customer_id"]) == {"05", "c2", None}


def test_odd_ids_are_kept_as_they_are(load, lake: Lake, lines: str) -> None:
    odd = ["a  b", "客户😀", "x'\"y".replace('"', ""), "0x10", "1e5", "NULL", "true"]
    text = lines + "".join(f"q{i},{name},p1,2026-01-01,1,1\n" for i, name in enumerate(odd))
    reconciled(load({"transactions.csv": text}))
    assert set(odd) <= set(lake.polars("transactions")["customer_id"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_white_space_around_texts_makes_no_other_ids(
    load, lake: Lake, tmp_path: Path, kind: str
) -> None:
    """Shops write `13800138000` with a tab behind it, so that a spreadsheet keeps it as text."""
    ids = ["138\t", " 138", "138\u00a0", "\u3000138 ", "138"]
    frame = pl.DataFrame(
        {
            "order_id": [f"o{n}\t" for n in range(len(ids))],
            "customer_id": ids,
            "product_id": ["p1 "] * len(ids),
            "ts": ["2026-03-01 10:00:00\t"] * len(ids),
            "quantity": ["2\t"] * len(ids),
        }
    )
    path = tmp_path / f"x.{kind}"
    frame.write_parquet(path) if kind == "parquet" else frame.write_csv(path)
    customers = "customer_id\t,name,city\n138\t,Wang Li ,\t\n"
    report = load({f"transactions.{kind}": path.read_bytes(), "customers.csv": customers})
    reconciled(report)
    rows = lake.polars("transactions")
    assert (rows["customer_id"].unique().to_list(), rows["product_id"].unique().to_list()) == (
        ["138"],
        ["p1"],
    )
    assert set(rows["order_id"]) == {f"o{n}" for n in range(len(ids))}
    people = lake.polars("customers").select("customer_id", "name", "city")
    assert people.rows() == [("138", "Wang Li", None)]


def test_a_mapping_sees_texts_without_white_space_around_them(load, lake: Lake) -> None:
    tables = {
        "transactions": {
            "query": "SELECT * FROM items JOIN orders USING (order_id)",
            "values": {"clerk_id": {"0": ""}},
            "filter": "status <> 'void'",
        }
    }
    mapping = Mapping.model_validate(
        {"name": "m", "sources": {"items": "items", "orders": "orders"}, "tables": tables}
    )
    items = "order_id,product_id,quantity\no1\t,p1,1\no2,p1,1\n"
    orders = "order_id,ts,clerk_id,status\no1,2026-03-01,0\t,ok\no2 ,2026-03-01,7,void\t\n"
    load({"items.csv": items, "orders.csv": orders}, mapping=mapping)
    assert lake.polars("transactions").select("order_id", "clerk_id").rows() == [("o1", None)]


def test_huge_id(load, lake: Lake, lines: str) -> None:
    rows = one_bad(
        load,
        lake,
        f"o9,{'x' * 10_240},p1,2026-01-01,1,1\n",
        "customer_id",
        "id_length",
        lines=lines,
    )
    assert "1024 bytes" in rows["expected"][0]


def test_duplicate_key_in_one_file(load, lake: Lake, lines: str) -> None:
    report = load(
        {
            "transactions.csv": lines,
            "products.csv": "product_id,name,price\np1,old,1\np2,b,2\np1,new,3\n",
        }
    )
    reconciled(report)
    products = {row["product_id"]: row["name"] for row in lake.polars("products").to_dicts()}
    assert products == {"p1": "new", "p2": "b"}
    assert report.tables["products"].repeated == 1
    assert "1 rows repeat a key" in "\n".join(report.lines())


def test_broken_quote(load, lake: Lake, lines: str) -> None:
    for bad in ('o9,"c9,p1,2026-01-01,1,1\n', 'o9,c9",p1,2026-01-01,1,1\n'):
        fresh = Lake(lake.root / str(hash(bad)))
        report = load({"transactions.csv": lines + bad + lines.split("\n", 1)[1]}, into=fresh)
        reconciled(report)
        assert report.tables["transactions"].read.rows == 9
        assert fresh.rows("transactions") + quarantined(fresh).height == 9


def test_broken_quote_names_the_line(load, lake: Lake, lines: str) -> None:
    body = lines.split("\n", 1)[1]
    text = HEADER + 'o9,"c9,p1,2026-01-01,1,1\n' + body + "o8,c8,p1,nonsense,1,1\n"
    reconciled(load({"transactions.csv": text}))
    found = {(row["rule"], row["line"]) for row in quarantined(lake).to_dicts()}
    assert found == {("record", 2), ("type", 7)}
    assert lake.rows("transactions") == 4


NOTES = (
    "order_id,product_id,ts,quantity,note\n"
    'o1,p1,2026-03-01,1,"please\nwrap, ""soon"""\n'
    "o1,p2,2026-03-01,1,\n"
    '"o2",p1,2026-03-01,1,5" wide\n'
)


@pytest.mark.parametrize(
    ("end", "line"),
    [
        ('o9,p1,2026-03-01,1,"cut', 6),
        ('o9,p1,2026-03-01,1,"cut\n', 6),
        ('o9,"p1,2026-03-01,1,\no3,p1,2026-03-01,1,\n', 6),
        ('o9,"p1,2026-03-01,1,\no3,p1,2026-03-01,1,"with\nribbon"\n', 6),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_broken_quote_spoils_its_own_record_only(
    load, lake: Lake, end: str, line: int, ending: str
) -> None:
    content = (NOTES + end).replace("\n", ending)
    report = load({"transactions.csv": content.encode()})
    reconciled(report)
    rows = quarantined(lake).select("rule", "line").rows()
    assert rows == [("record", line)]
    lines = lake.polars("transactions").select("order_id", "product_id").rows()
    known = [("o1", "p1"), ("o1", "p2"), ("o2", "p1")]
    assert sorted(lines) == known + [("o3", "p1")] * ("o3" in end)


def test_of_a_record_that_is_cut_within_its_text_every_line_is_told(load, lake: Lake) -> None:
    report = load({"transactions.csv": NOTES + 'o9,p1,2026-03-01,1,"please\nwrap and\nsen'})
    reconciled(report)
    assert quarantined(lake)["rule"].to_list() == ["record"] * 3
    assert lake.rows("transactions") == 3


def test_latin_1_bytes(load, lake: Lake, lines: str) -> None:
    content = (lines + "o9,café,p1,2026-01-01,1,1\n").encode("latin-1")
    with pytest.raises(LoadRefusedError, match="'café' as windows-1252"):
        load({"transactions.csv": content})
    assert lake.rows("transactions") == 0
    reconciled(load({"transactions.csv": content}, encoding="utf-8"))
    rows = quarantined(lake)
    assert rows["rule"].to_list() == ["record"]
    assert rows["line"].to_list() == [6]
    assert lake.rows("transactions") == 4


def test_latin_1_as_encoding_of_a_mapping(load, lake: Lake, lines: str) -> None:
    from nba.data.mapping import CANONICAL

    content = (lines + "o9,café,p1,2026-01-01,1,1\n").encode("latin-1")
    mapping = CANONICAL.model_copy(update={"encoding": "latin-1"})
    load({"transactions.csv": content}, mapping=mapping)
    assert "café" in set(lake.polars("transactions")["customer_id"])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.replace("o1,05", '"o1","05"').encode(),
        lambda text: text.replace("order_id,", "order_id ,").encode(),
    ],
    ids=["bom", "semicolon", "tab", "crlf", "no-end", "empty-lines", "quoted", "space"],
)
def test_dialects(load, lake: Lake, lines: str, tmp_path: Path, change) -> None:
    load({"transactions.csv": lines})
    other = Lake(tmp_path / "other")
    load({"transactions.csv": change(lines)}, into=other)
    assert other.version == lake.version


def test_header_twice(load, lake: Lake, lines: str) -> None:
    reconciled(load({"transactions.csv": lines + lines}))
    rows = quarantined(lake)
    assert rows["rule"].to_list() == ["repeated_header"]
    assert rows["line"].to_list() == [6]
    assert lake.rows("transactions") == 8


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("said", ["sep={}", '"SEP={}"', "sep={}{}{}"])
def test_the_line_that_tells_a_spreadsheet_the_separator(
    load, lake: Lake, lines: str, tmp_path: Path, delimiter: str, said: str
) -> None:
    load({"transactions.csv": lines})
    first = said.format(*[delimiter] * 3)
    content = f"{first}\n{lines.replace(',', delimiter)}"
    other = Lake(tmp_path / "other")
    report = load({"transactions.csv": content}, into=other)
    assert other.version == lake.version
    assert "title" not in {check.name for check in report.checks}


@pytest.mark.parametrize("above", ["Sales 2026\n", "Sales 2026;;\nof 1, 2\n\n", "\nSales\n"])
def test_lines_above_the_header_are_passed_by_and_told(
    load, lake: Lake, lines: str, above: str
) -> None:
    number = above.count("\n")
    bad = "o9,c9,p1,never,1,1\n"
    report = load({"transactions.csv": above + lines + bad, "customers.csv": "customer_id\nc2\n"})
    reconciled(report)
    assert lake.rows("transactions") == 4
    assert quarantined(lake)["line"].to_list() == [number + 6]
    (told,) = [check for check in report.checks if check.name == "title"]
    assert (told.status, told.table, told.count) == (Status.WARN, "transactions", number)
    assert f"{number} lines above the header of transactions.csv" in told.message
    assert "Sales" in told.first


def test_a_title_above_columns_that_nobody_knows_is_named_as_the_cause(load, lines: str) -> None:
    unknown = lines.replace(HEADER, "a,b,c,d,e,f\n")
    message = refused(load, {"transactions.csv": "Sales 2026,,,,,\n" + unknown})
    assert "the first line looks like a title" in message


def test_column_twice_in_header(load, lines: str) -> None:
    assert "unit_price" in refused(
        load, {"transactions.csv": lines.replace("quantity", "unit_price")}
    )


def test_no_rows(load, lines: str) -> None:
    report = load({"transactions.csv": lines, "customers.csv": "customer_id\n"})
    assert "customers: the files have no rows" in "\n".join(report.lines())


def test_short_and_long_lines(load, lake: Lake, lines: str) -> None:
    reconciled(load({"transactions.csv": lines + "o9,c9\no9,c9,p1,2026-01-01,1,1,1,1\n"}))
    rows = quarantined(lake)
    assert rows["rule"].to_list() == ["record", "record"]
    assert sorted(rows["line"].to_list()) == [6, 7]


def test_folder_still_being_written(load, lines: str) -> None:
    message = refused(load, {"transactions.csv": lines, "customers.csv.tmp": "x"})
    assert "still being written" in message


def test_file_that_grows_while_it_is_read(
    lake: Lake, folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nba.data import prepare

    path = folder / "transactions.csv"
    path.write_text(lines)
    stage = prepare.stage_placed

    def growing(*args, **options):
        staged = stage(*args, **options)
        with path.open("a") as stream:
            stream.write("o9,c9,p1,2026-01-01,1,1\n")
        return staged

    monkeypatch.setattr(prepare, "stage_placed", growing)
    with pytest.raises(LoadRefusedError, match="changed while it was read"):
        ingest(folder, lake, time_zone="UTC", now=NOW)
    assert lake.rows("transactions") == 0


def test_another_process_is_still_writing(lake: Lake, folder: Path, lines: str) -> None:
    path = folder / "transactions.csv"
    path.write_text(lines)
    code = (
        "import sys, time\n"
        "with open(sys.argv[1], 'a') as stream:\n"
        "    for n in range(100_000):\n"
        "        stream.write(f'w{n},c9,p1,2026-01-01,1,1\\n'); stream.flush()\n"
        "        print(n, flush=True); time.sleep(.001)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(LoadRefusedError, match="changed while it was read") as caught:
            ingest(folder, lake, time_zone="UTC", now=NOW)
        process.kill()
    assert caught.value.exit_code == 65
    assert "load again when the export has ended" in str(caught.value)
    assert lake.rows("transactions") == 0


def test_ambiguous_and_missing_hours_are_reported(load, lake: Lake) -> None:
    text = HEADER + (
        "o1,c,p,2026-03-29 01:30:00,1,1\no2,c,p,2025-10-26 01:30:00,1,1\n"
        "o3,c,p,2026-03-29T01:30:00Z,1,1\no4,c,p,2026-03-29 02:30:00,1,1\n"
    )
    report = load({"transactions.csv": text}, time_zone="Europe/London")
    checks = {check.name: check.count for check in report.checks}
    assert checks["clock.missing"] == 1
    assert checks["clock.ambiguous"] == 1
    times = dict(zip(*lake.polars("transactions").select("order_id", "ts"), strict=True))
    assert times["o1"] == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert times["o4"] == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert times["o2"] == datetime(2025, 10, 26, 1, 30, tzinfo=UTC)


def test_column_type_changes_between_parts(load, lake: Lake, tmp_path: Path) -> None:
    parts = {}
    for name, orders, price in (
        ("a", [1, 2], [1.5, 2.5]),
        ("b", ["3", "4"], ["3.5", "4.5"]),
        ("c", [5.0, 6.0], [Decimal("5.5"), Decimal("6.5")]),
    ):
        path = tmp_path / "x.parquet"
        pl.DataFrame(
            {
                "order_id": orders,
                "product_id": ["p", "p"],
                "ts": [datetime(2026, 1, 1)] * 2,
                "quantity": [1, 2],
                "unit_price": price,
            }
        ).write_parquet(path)
        parts[f"transactions/{name}.parquet"] = path.read_bytes()
    reconciled(load(parts))
    rows = lake.polars("transactions").sort("order_id")
    assert rows["order_id"].to_list() == ["1", "2", "3", "4", "5", "6"]
    assert [float(price) for price in rows["unit_price"]] == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]


def test_required_column_absent_in_one_part(load, lines: str) -> None:
    message = refused(
        load,
        {"transactions/a.csv": lines, "transactions/b.csv": lines.replace("quantity", "qty")},
    )
    assert "b.csv" in message


def test_parquet_with_nanoseconds_zone_decimals_and_dictionary(
    load, lake: Lake, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "order_id": pa.array(["05", "06"]).dictionary_encode(),
            "product_id": pa.array([2**62, 7], pa.int64()),
            "ts": pa.array(
                [datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)],
                pa.timestamp("ns", tz="Europe/Paris"),
            ),
            "quantity": pa.array([Decimal("1.25"), Decimal("2.00")], pa.decimal128(30, 10)),
            "unit_price": pa.array([1.1, 2.2], pa.float32()),
        }
    )
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    reconciled(load({"transactions.parquet": path.read_bytes()}))
    rows = lake.polars("transactions").sort("order_id")
    assert rows["order_id"].to_list() == ["05", "06"]
    assert rows["product_id"].to_list() == [str(2**62), "7"]
    assert rows["ts"].to_list()[0] == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert rows["quantity"].to_list() == [Decimal("1.2500"), Decimal("2.0000")]
    assert rows["unit_price"].to_list() == [Decimal("1.1000"), Decimal("2.2000")]


def test_naive_nanoseconds_stand_in_the_projects_zone(load, lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    frame = pl.DataFrame(
        {"order_id": ["a"], "product_id": ["p"], "ts": [datetime(2026, 1, 1)], "quantity": [1]}
    )
    frame.with_columns(pl.col("ts").cast(pl.Datetime("ns"))).write_parquet(path)
    load({"transactions.parquet": path.read_bytes()})
    assert lake.polars("transactions")["ts"].to_list() == [datetime(2025, 12, 31, 16, tzinfo=UTC)]


def test_unknown_files_and_columns_are_reported(load, lines: str) -> None:
    text = lines.replace("unit_price", "unit_price,colour").replace(".50\n", ".50,x\n")
    text = text.replace("3.00\n", "3.00,x\n").replace("7.25\n", "7.25,x\n")
    report = load({"transactions.csv": text, "weather.csv": "a\n1\n"})
    said = "\n".join(report.lines(verbose=True))
    assert "colour" in said
    assert "weather.csv" in said


def test_response_needs_interaction_or_customer(load, lake: Lake, lines: str) -> None:
    responses = (
        "response_id,interaction_id,customer_id,ts,kind\n"
        "r1,,,2026-01-01,read\nr2,,c,2026-01-01,read\n"
    )
    reconciled(load({"transactions.csv": lines, "responses.csv": responses}))
    assert lake.rows("responses") == 1
    assert quarantined(lake)["rule"].to_list() == ["one_of"]


def test_values_outside_the_enumeration(load, lake: Lake, lines: str) -> None:
    responses = "response_id,customer_id,ts,kind\nr1,c,2026-01-01,READ\nr2,c,2026-01-01,read\n"
    reconciled(load({"transactions.csv": lines, "responses.csv": responses}))
    assert quarantined(lake)["value"].to_list() == ["READ"]


def test_the_report_is_a_line_per_table_and_what_needs_a_look(tmp_path: Path) -> None:
    report = IngestReport("folder", "none", "load", datetime(2026, 11, 21, tzinfo=UTC))
    report.tables["clerks"] = TableReport("clerks")
    report.add(Status.PASS, "clerks", "reconciled", "rows add up")
    report.add(Status.WARN, "clerks", "unknown", "one column is unknown")
    report.add(Status.FAIL, "clerks", "key", "clerk_id is missing")
    short, full = report.lines(), report.lines(verbose=True)
    assert [line for line in short if line.startswith("clerks:")] == [full[1]]
    assert set(full) - set(short) == {"PASS  clerks: rows add up"}
    assert {"WARN  clerks: one column is unknown", "FAIL  clerks: clerk_id is missing"} < set(short)
