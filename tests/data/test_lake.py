"""The lake: upsert, idempotence, any order of increments, one transaction per load."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import ibis
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nba.data import quarantine
from nba.data.ingest import ingest
from nba.data.lake import MANIFEST, Lake
from nba.data.quarantine import quarantined
from nba.data.tables import load_tables
from nba.errors import LockHeldError, NbaError
from nba.features import VIEWS
from nba.features.engine import DuckDBEngine, digest_sql, write_views

NOW = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def sorted_bytes(lake: Lake, table: str) -> bytes:
    frame = lake.polars(table).drop("loaded_at")
    frame = frame.select(sorted(frame.columns))
    return frame.sort(frame.columns).write_ndjson().encode()


def test_a_repeated_load_changes_nothing(load, lake: Lake, lines: str) -> None:
    files = {"transactions.csv": lines, "products.csv": "product_id,price\np1,3\n"}
    load(files)
    manifest = (lake.root / MANIFEST).read_bytes()
    stamps = lake.polars("transactions")["loaded_at"].to_list()
    report = load(files, now=LATER)
    assert not report.changed
    assert report.tables["transactions"].unchanged == 4
    assert report.tables["products"].unchanged == 1
    assert (lake.root / MANIFEST).read_bytes() == manifest
    assert lake.polars("transactions")["loaded_at"].to_list() == stamps
    assert "nothing changed" in report.lines()[-1]


def test_a_repeated_key_replaces_the_earlier_row(load, lake: Lake, lines: str) -> None:
    first = "interaction_id,customer_id,ts,mode\ni1,a,2026-01-05,none\ni2,b,2026-01-06,none\n"
    load({"transactions.csv": lines, "interactions.csv": first})
    second = "interaction_id,customer_id,ts,mode\ni1,a,2026-01-05,topic_expert\n"
    report = load({"interactions.csv": second}, now=LATER)
    assert (report.tables["interactions"].changed, report.tables["interactions"].new) == (1, 0)
    rows = lake.polars("interactions").sort("interaction_id")
    assert rows["mode"].to_list() == ["topic_expert", "none"]
    assert rows["loaded_at"].to_list() == [LATER, NOW]


def test_a_row_can_move_to_another_month(load, lake: Lake, lines: str) -> None:
    head = "interaction_id,customer_id,ts,mode\n"
    load({"transactions.csv": lines, "interactions.csv": head + "i1,a,2026-01-05,none\n"})
    report = load({"interactions.csv": head + "i1,a,2026-03-05,none\n"}, now=LATER)
    assert report.exit_code == 0
    assert lake.polars("interactions")["ts"].to_list() == [datetime(2026, 3, 4, 16, tzinfo=UTC)]
    assert list(lake.state().tables["interactions"]) == ["2026-03"]


def test_lines_without_numbers_survive_splits_and_overlaps(load, lines: str, tmp_path) -> None:
    body = lines.splitlines(keepends=True)
    head, rows = body[0], [*body[1:], body[1]]
    whole, parts = Lake(tmp_path / "whole"), Lake(tmp_path / "parts")
    load({"transactions.csv": head + "".join(rows)}, into=whole)
    assert whole.rows("transactions") == 5
    # The order o1 is split over two loads; its two equal lines come together.
    load({"transactions.csv": head + rows[1] + rows[3]}, into=parts)
    load({"transactions.csv": head + rows[4] + rows[0] + rows[2] + rows[3]}, into=parts, now=LATER)
    assert parts.version == whole.version
    assert sorted_bytes(parts, "transactions") == sorted_bytes(whole, "transactions")


def test_only_touched_months_are_written(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines, "products.csv": "product_id\np1\n"})
    before = {path: path.stat().st_mtime_ns for path in lake.files("transactions")}
    head = lines.split("\n")[0] + "\n"
    load({"transactions.csv": head + "o7,c7,p1,2026-04-09,1,1\n"}, now=LATER)
    after = lake.files("transactions")
    assert sum(path in before for path in after) == 1
    assert lake.rows("products") == 1


def test_many_small_loads_leave_few_files(
    load, lake: Lake, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MOST_FILES", 3)
    load({"transactions.csv": lines})
    before = lake.state()
    head = lines.split("\n")[0] + "\n"
    for number in range(6):
        row = f"n{number},c1,p1,2026-03-{number + 1:02d} 10:00:00,1,1\n"
        load({"transactions.csv": f"{head}{row}bad{number},c1,p1,never,1,1\n"}, now=LATER)
    partitions = lake.state().tables["transactions"]
    assert [len(partition.files) for partition in partitions.values()] == [1, 1]
    assert len(lake.state().quarantine) <= 3
    assert quarantined(lake)["row"].n_unique() == 6
    # Who reads the version before still can.
    assert all(path.exists() for path in lake.files("transactions", before))


def test_a_reader_keeps_its_version_while_a_load_runs(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines})
    state = lake.state()
    files = lake.files("transactions", state)
    head = lines.split("\n")[0] + "\n"
    load({"transactions.csv": head + "o7,c7,p1,2026-04-09,1,1\n"}, now=LATER)
    assert pl.read_parquet(files).height == 4
    assert lake.rows("transactions") == 5


def test_files_of_old_versions_go_after_the_grace(
    load, lake: Lake, lines: str, monkeypatch
) -> None:
    from nba.data import lake as module

    load({"transactions.csv": lines})
    old = lake.files("transactions")
    changed = lines.replace("c2,", "c9,")
    load({"transactions.csv": changed}, now=LATER)
    assert all(path.exists() for path in old)
    monkeypatch.setattr(module, "GRACE_SECONDS", -1.0)
    load({"products.csv": "product_id\np1\n"}, now=LATER)
    kept = set(lake.files("transactions"))
    assert {path for path in old if path.exists()} == kept & set(old)


def test_two_loads_at_once(lake: Lake, folder: Path, lines: str) -> None:
    (folder / "transactions.csv").write_text(lines)
    with lake.writing(), pytest.raises(LockHeldError) as caught:
        ingest(folder, lake, time_zone="UTC", now=NOW)
    assert caught.value.exit_code == 75


def test_read_only_lake(load, lake: Lake, lines: str, tmp_path: Path, folder: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    (folder / "transactions.csv").write_text(lines)
    with pytest.raises(NbaError, match="cannot be written") as caught:
        ingest(folder, Lake(blocked / "lake"), time_zone="UTC", now=NOW)
    assert "what to do" in str(caught.value)


def test_full_disk(load, lake: Lake, lines: str) -> None:
    load({"transactions.csv": lines})
    version = lake.version
    big = lines.split("\n")[0] + "\n"
    big += "".join(f"o{i},c{i * 7919 % 99991},p{i},2026-01-01,1,{i}\n" for i in range(60_000))
    source = lake.root.parent / "big"
    source.mkdir()
    (source / "transactions.csv").write_text(big)
    code = (
        "import resource, signal, sys\n"
        "from datetime import datetime, UTC\n"
        "from nba.data.ingest import ingest\nfrom nba.data.lake import Lake\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "from nba.errors import NbaError\n"
        "try:\n"
        "    ingest(sys.argv[1], Lake(sys.argv[2]), time_zone='UTC', now=datetime.now(UTC))\n"
        "except NbaError as error:\n"
        "    print(error); sys.exit(error.exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(lake.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stdout
    assert "make room" in done.stdout
    assert lake.version == version
    assert lake.rows("transactions") == 4


IN_A_MOUNT = """
set -e
mount -t tmpfs -o size={size} tmpfs "$1"
cp -r "$2/." "$1"
{then}
"$3" -c "$4" "$5" "$1"; code=$?
"$3" -c "from nba.data.lake import Lake; import sys; print(Lake(sys.argv[1]).version)" "$1"
exit $code
"""
LOAD = """
import sys
from datetime import datetime, UTC
from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.errors import NbaError
try:
    ingest(sys.argv[1], Lake(sys.argv[2]), time_zone="UTC", now=datetime.now(UTC))
except NbaError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(
    ("size", "then", "found"),
    [("1m", "set +e", "No space left"), ("64m", 'mount -o remount,ro "$1"; set +e', "Read-only")],
)
def test_a_full_and_a_read_only_file_system(
    load, lake: Lake, lines: str, tmp_path: Path, size: str, then: str, found: str
) -> None:
    """A real small file system, in a mount name space of its own."""
    may = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if may.returncode:
        pytest.skip("needs the right to mount (unshare -m)")
    load({"transactions.csv": lines})
    source, mount = tmp_path / "big", tmp_path / "mount"
    source.mkdir()
    mount.mkdir()
    rows = "".join(
        f"o{n},c{n * 7919 % 99991},p{n * 31 % 5003},2026-01-01,1,{n}\n" for n in range(200_000)
    )
    (source / "transactions.csv").write_text(lines.split("\n")[0] + "\n" + rows)
    script = IN_A_MOUNT.format(size=size, then=then)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh"]
        + [str(part) for part in (mount, lake.root, sys.executable, LOAD, source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    for part in ("cannot be written", "expected: ", found, "what to do: make room"):
        assert part in done.stdout
    assert done.stdout.splitlines()[-1] == lake.version


def test_a_folder_that_looks_like_a_column(load, lines: str, tmp_path: Path) -> None:
    plain, odd = Lake(tmp_path / "plain"), Lake(tmp_path / "store_id=9" / "_state=2")
    for into in (plain, odd):
        report = load({"transactions.csv": lines}, into=into)
        assert not any(check.name.startswith("clock") for check in report.checks)
        load({"transactions.csv": lines.replace("12.50", "11")}, into=into, now=LATER)
    assert odd.version == plain.version
    assert set(odd.polars("transactions")["store_id"]) == {None}


def test_check_only_loads_nothing(load, lake: Lake, lines: str) -> None:
    report = load({"transactions.csv": lines}, check_only=True)
    assert report.tables["transactions"].accepted.rows == 4
    assert not report.committed
    assert lake.rows("transactions") == 0


def test_attributes_are_kept(load, lake: Lake, lines: str) -> None:
    text = lines.replace("unit_price", "unit_price,attr_colour", 1)
    text = "\n".join([text.split("\n")[0], *(row + ",red" for row in text.split("\n")[1:-1]), ""])
    load({"transactions.csv": lines})
    plain = lake.version
    load({"transactions.csv": text}, now=LATER)
    assert set(lake.polars("transactions")["attr_colour"]) == {"red"}
    assert lake.version != plain
    load({"transactions.csv": lines}, now=LATER)
    assert lake.version == plain


def test_an_absent_column_says_nothing(load, lake: Lake, lines: str) -> None:
    """A later export with fewer columns takes nobody's consent, name or attribute away."""
    first = (
        "customer_id,valid_from,name,consent_contact,consent_at,attr_club\n"
        "05,2026-01-01,Li Wei,false,2026-01-01,gold\n"
    )
    load({"transactions.csv": lines, "customers.csv": first})
    report = load({"customers.csv": "customer_id,city\n05,Wuhan\nc9,Xi'an\n"}, now=LATER)
    newest = lake.polars("customers").sort("valid_from").filter(pl.col("customer_id") == "05")[-1]
    assert newest["city"].item() == "Wuhan"
    assert newest["name"].item() == "Li Wei"
    assert newest["consent_contact"].item() is False
    assert newest["attr_club"].item() == "gold"
    assert any(check.name == "absent_columns" and check.count == 1 for check in report.checks)
    load({"customers.csv": "customer_id,name\n05,\n"}, now=LATER.replace(day=LATER.day + 1))
    newest = lake.polars("customers").sort("valid_from").filter(pl.col("customer_id") == "05")[-1]
    assert newest["name"].item() is None  # an empty field says that there is none
    assert newest["city"].item() == "Wuhan"


def test_an_old_row_is_filled_from_its_own_time(load, lake: Lake, lines: str) -> None:
    told = "customer_id,valid_from,name\n05,2026-02-01,early\n05,2026-04-01,late\n"
    load({"transactions.csv": lines, "customers.csv": told})
    load({"customers.csv": "customer_id,valid_from,city\n05,2026-03-01,Wuhan\n"}, now=LATER)
    rows = lake.polars("customers").sort("valid_from")
    assert rows["name"].to_list() == ["early", "early", "late"]


# --- any split, any order, with repeats ------------------------------------------------------

ORDERS = [
    ("transactions", "order_id,customer_id,product_id,ts,quantity,unit_price\n", rows)
    for rows in (
        [
            f"o{n},c{n % 3},p{n % 4},2026-0{1 + n % 5}-1{n % 9} 0{n % 9}:00:00,"
            f"{n % 3 - 1 or 2},{n}.5\n"
            for n in range(12)
        ]
        # equal lines of one order come together, as in any export of orders
        + ["o50,c1,p1,2026-02-02 10:00:00,1,2.00\n" * 2, "o51,,p2,2026-02-03,1,1\n" * 3],
    )
] + [
    (
        "customers",
        "customer_id,valid_from,consent_contact,consent_at\n",
        [
            "c0,2026-01-01,true,2026-01-01\n",
            "c0,2026-03-01,false,2026-03-01\n",
            "c1,2026-02-01,,\n",
        ],
    ),
    (
        "interactions",
        "interaction_id,customer_id,ts,mode\n",
        [f"i{n},c{n % 3},2026-0{1 + n % 4}-05,none\n" for n in range(6)],
    ),
    ("absences", "clerk_id,date\n", ["k1,2026-01-01\n", "k1,2026-01-02\n"]),
]
PIECES = [(table, head, row) for table, head, rows in ORDERS for row in rows]


def write(folder: Path, pieces) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for table, head, _ in ORDERS:
        rows = [row for name, _, row in pieces if name == table]
        if rows:
            (folder / f"{table}.csv").write_text(head + "".join(rows))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("whole")
    lake = Lake(root / "lake")
    write(root / "in", PIECES)
    ingest(root / "in", lake, time_zone="UTC", now=NOW)
    return lake


def features(lake: Lake) -> dict[str, tuple[int, str]]:
    """Return rows and digest of every feature view over the lake's tables."""
    as_of = datetime(2026, 5, 20)
    connection = ibis.duckdb.connect()
    tables = load_tables(lake, as_of=as_of, time_zone="UTC", connection=connection)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        written = write_views(
            DuckDBEngine(connection),
            VIEWS,
            tables,
            as_of,
            {name: Path(scratch) / name for name in VIEWS},
            event_timestamp=as_of,
            created_timestamp=as_of,
        )
        for view in written:
            query = digest_sql(VIEWS[view.view], f"{view.folder}/*.parquet")
            row = connection.con.execute(query).fetchone()
            found[view.view] = (row[0], row[1])
    connection.disconnect()
    return found


@pytest.fixture(scope="module")
def whole_features(whole: Lake) -> dict[str, tuple[int, str]]:
    found = features(whole)
    assert found["customer_behaviour"][0] == 2
    return found


def split_and_load(
    whole: Lake, expected: dict[str, tuple[int, str]], root: Path, data: st.DataObject
) -> None:
    """Load the pieces in drawn parts, order and repeats: the same lake, the same features."""
    parts = data.draw(st.lists(st.integers(0, 3), min_size=len(PIECES), max_size=len(PIECES)))
    order = data.draw(st.permutations(range(4)))
    repeats = data.draw(st.lists(st.integers(0, 3), max_size=2))
    numbered = list(zip(PIECES, parts, strict=True))
    # The first load of a lake needs transactions.
    first = next(
        part
        for part in order
        if any(piece[0] == "transactions" and number == part for piece, number in numbered)
    )
    lake = Lake(root / "lake")
    for step, part in enumerate([first, *order, *repeats]):
        pieces = [piece for piece, number in numbered if number == part]
        data.draw(st.randoms(use_true_random=False)).shuffle(pieces)
        if pieces:
            write(root / "in", pieces)
            ingest(root / "in", lake, time_zone="UTC", now=NOW + timedelta(hours=step))
    assert lake.version == whole.version
    for table, _, _ in ORDERS:
        assert sorted_bytes(lake, table) == sorted_bytes(whole, table)
    assert features(lake) == expected


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=3, deadline=None, suppress_health_check=QUIET)
@given(data=st.data())
def test_any_split_in_any_order_with_repeats(
    whole: Lake, whole_features, tmp_path_factory, data
) -> None:
    split_and_load(whole, whole_features, tmp_path_factory.mktemp("split"), data)


@pytest.mark.proof
@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
@given(data=st.data())
def test_many_splits_in_any_order_with_repeats(
    whole: Lake, whole_features, tmp_path_factory, data
) -> None:
    split_and_load(whole, whole_features, tmp_path_factory.mktemp("split"), data)


@pytest.mark.requires("data")
def test_real_totals(real_data: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    report = ingest(
        real_data / "online_retail_ii",
        lake,
        mapping="online_retail_ii_tidy",
        time_zone="UTC",
        now=NOW,
    )
    table = report.tables["transactions"]
    assert (table.read.rows, table.read.quantity) == (1_044_847, 10_441_843)
    assert table.read.money == Decimal("18909744.118")
    assert table.read == table.accepted + table.quarantined
    assert table.quarantined.rows == 5
    assert table.facts["exact_duplicates"] == 11_812
    assert lake.rows("transactions") == 1_044_842
    said = "\n".join(report.lines(verbose=True))
    assert "(22.5%)" in said
    assert "22,557 lines are returns" in said


@pytest.mark.proof
@pytest.mark.requires("data")
def test_both_years_in_either_order_give_one_lake(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "online_retail_ii"
    years = []
    for year in ("year_2009_2010", "year_2010_2011"):
        (tmp_path / year).mkdir()
        (tmp_path / year / f"{year}.parquet").symlink_to(source / f"{year}.parquet")
        years.append(tmp_path / year)
    rows = []
    versions = set()
    for name, folders in (("forth", years), ("back", years[::-1]), ("both", [source])):
        lake = Lake(tmp_path / name)
        for folder in folders:
            ingest(folder, lake, mapping="online_retail_ii_tidy", time_zone="UTC", now=NOW)
        versions.add(lake.version)
        rows.append(lake.polars("transactions").drop("loaded_at").sort("order_id", "line_no"))
    assert len(versions) == 1
    assert rows[0].equals(rows[1])
    assert rows[0].equals(rows[2])
