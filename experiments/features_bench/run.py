"""How fast the views are built, against SQL written by hand for the same columns.

Each run is a process of its own, so that its peak memory is its own. Both sides read the same
Parquet tables, share what several views need, and write every view as sorted Parquet; every
value is compared, so that the faster one cannot be the one that does less.

    python -m experiments features_bench
    python -m experiments features_bench sizes='[[100000, 5000000]]' repeats=3
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from experiments.common.data import REPOSITORY
from experiments.features_bench.reference import queries, shared_statements
from nba.features import VIEWS
from nba.features.engine import DuckDBEngine, write_views
from nba.schema.tables import TABLES, Kind, Table

AS_OF: Final = datetime(2025, 9, 1)
SIDES: Final = ("views", "sql")
SIZES: Final = ((100_000, 5_000_000), (1_000_000, 50_000_000))
_TYPES: Final = {
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.DATE: "DATE",
    Kind.INTEGER: "BIGINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.ZONE: "VARCHAR",
    Kind.ID_LIST: "VARCHAR[]",
    Kind.MONEY: "DOUBLE",
    Kind.QUANTITY: "DOUBLE",
    Kind.NUMBER: "DOUBLE",
}
#: Columns of each generated table; `i` counts rows, `u(n)` is a hash of it in 0..1.
_GENERATED: Final = {
    "customers": (
        "{customers}",
        "customer_id: 'c' || i, store_id: 's' || i % 200, clerk_id: 'k' || i % 1000,"
        "joined_at: moment(u(1)), friend_since: CASE WHEN u(2) < .6 THEN moment(u(3)) END,"
        "birthday: '1990-' || lpad(CAST(1 + i % 12 AS VARCHAR), 2, '0') || '-15'",
    ),
    "products": (
        "{products}",
        "product_id: 'p' || i, name: 'product ' || i, category: 'g' || i % 40,"
        "price: round(5 + 200 * u(1) * u(2), 2), cost: CASE WHEN u(3) < .7 THEN 3 + 50 * u(1) END",
    ),
    "categories": (
        "40",
        "category: 'g' || i, kind: ['short', 'group', 'premium'][1 + i % 3],"
        "replenishable: i % 2 = 0, margin_rate: .2 + i / 100",
    ),
    "stores": ("200", "store_id: 's' || i"),
    "clerks": ("1000", "clerk_id: 'k' || i, store_id: 's' || i % 200, minutes_per_day: 60.0"),
    "transactions": (
        "{lines}",
        "order_id: 'o' || i // 3, line_no: CAST(i % 3 AS VARCHAR),"
        "customer_id: CASE WHEN v(1) < .9"
        " THEN 'c' || CAST(floor(pow(v(2), 1.6) * {customers}) AS BIGINT) END,"
        "product_id: 'p' || CAST(floor(pow(u(3), 2.5) * {products}) AS BIGINT), ts: moment(v(4)),"
        "quantity: CASE WHEN u(5) < .03 THEN -1.0 ELSE 1.0 + floor(3 * u(6) * u(6)) END,"
        "unit_price: round(5 + 150 * u(7) * u(8), 2),"
        "discount: CASE WHEN u(9) < .2 THEN 1.5 ELSE 0 END,"
        "channel: ['store', 'mini_program', 'web'][1 + CAST(floor(v(10) * 3) AS INTEGER)],"
        "store_id: 's' || CAST(floor(v(11) * 200) AS INTEGER)",
    ),
    "interactions": (
        "{contacts}",
        "interaction_id: 'i' || i,"
        "customer_id: 'c' || CAST(floor(u(1) * {customers}) AS BIGINT), clerk_id: 'k' || i % 1000,"
        "ts: moment(u(2)), mode: ['shopping_assistant', 'topic_expert', 'private_partner',"
        " 'none'][1 + CAST(floor(u(3) * 4) AS INTEGER)], channel: 'chat', minutes: 1.0 + i % 9",
    ),
    "responses": (
        "{answers}",
        "response_id: 'r' || i, interaction_id: 'i' || CAST(floor(u(1) * {contacts}) AS BIGINT),"
        "ts: moment(u(2)), kind: ['read', 'replied', 'clicked', 'purchased', 'complained']"
        "[1 + CAST(floor(u(3) * 5) AS INTEGER)]",
    ),
}


@dataclass(frozen=True)
class Run:
    """One side's run: seconds from tables to written views, and peak memory."""

    side: str
    seconds: float
    peak_gib: float


@dataclass(frozen=True)
class Comparison:
    """Both sides over the same tables; seconds are the best of the repeats, `ratio` of them.

    Growth is at most linear where `views_seconds_per_million_lines` does not rise with the size;
    `different` counts the rows that differ, by view; empty where there are none.
    """

    customers: int
    lines: int
    views_seconds: float
    sql_seconds: float
    views_peak_gib: float
    sql_peak_gib: float
    ratio: float
    views_seconds_per_million_lines: float
    different: dict[str, int]

    def line(self) -> str:
        """Return the comparison as one line of text."""
        same = "the same values" if not self.different else f"DIFFERENT: {self.different}"
        return (
            f"{self.customers:,} customers, {self.lines:,} lines: views {self.views_seconds:.1f} s "
            f"({self.views_peak_gib:.1f} GiB), SQL by hand {self.sql_seconds:.1f} s "
            f"({self.sql_peak_gib:.1f} GiB), ratio {self.ratio:.2f}, "
            f"{self.views_seconds_per_million_lines:.2f} s per million lines, {same}"
        )


def make_tables(folder: Path, *, customers: int, lines: int, seed: int = 7) -> None:
    """Write tables of the contract for `customers` and `lines` as Parquet into `folder`.

    Two years of purchases with a heavy head of customers and products, five contacts per
    customer and two responses; the lines of an order share customer, moment and channel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {
        "customers": customers,
        "lines": lines,
        "products": 20_000,
        "contacts": customers * 5,
        "answers": customers * 2,
    }
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        for macro in (
            f"h(n, k) AS (hash(n, k, {seed}) % 1000003) / 1000003.0",
            "moment(x) AS TIMESTAMP '2023-09-10' + to_seconds(CAST(x * 62208000 AS BIGINT))",
        ):
            connection.execute(f"CREATE MACRO {macro}")
        for name, table in TABLES.items():
            rows, given = _GENERATED.get(name, ("0", ""))
            query = _generator(table, rows.format(**sizes), given.format(**sizes))
            connection.execute(f"COPY ({query}) TO '{folder / name}.parquet' (FORMAT parquet)")


def _generator(table: Table, rows: str, given: str) -> str:
    given = given.replace("u(", "h(i, ").replace("v(", "h(i // 3, ")
    columns = {}
    depth, start = 0, 0
    for at, letter in enumerate(given + ","):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            name, _, value = given[start:at].partition(":")
            columns[name.strip()] = value
            start = at + 1
    parts = ", ".join(
        f"CAST({columns.get(column.name) or 'NULL'} AS {_TYPES.get(column.kind, 'VARCHAR')}) "
        f'AS "{column.name}"'
        for column in table.columns
    )
    return f"SELECT {parts} FROM range({rows}) AS t(i)"


def run_side(side: str, folder: Path, out: Path, *, threads: int, memory_limit: str) -> Run:
    """Build every view on one side in this process, and write it below `out`."""
    import ibis

    out.mkdir(parents=True)
    connection = ibis.duckdb.connect(
        threads=threads, memory_limit=memory_limit, temp_directory=str(out / "spill")
    )
    raw = connection.con
    raw.execute("SET preserve_insertion_order = false")
    raw.execute("SET enable_progress_bar = false")
    for name in TABLES:
        raw.execute(f"CREATE VIEW \"{name}\" AS FROM read_parquet('{folder / name}.parquet')")
    folders = {name: out / name for name in VIEWS}
    started = time.perf_counter()
    if side == "views":
        tables = {name: connection.table(name) for name in TABLES}
        write_views(
            DuckDBEngine(connection),
            VIEWS,
            tables,
            AS_OF,
            folders,
            event_timestamp=AS_OF,
            created_timestamp=AS_OF,
        )
    else:
        _write_reference(raw, folders)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Run(side, seconds, peak)


def _write_reference(connection: Any, folders: dict[str, Path]) -> None:
    for statement in shared_statements(AS_OF):
        connection.execute(statement)
    stamp = f"TIMESTAMPTZ '{AS_OF.isoformat()}+00'"
    for name, query in queries(AS_OF).items():
        folders[name].mkdir(parents=True)
        keys = ", ".join(VIEWS[name].entity_keys)
        connection.execute(
            f"COPY (SELECT *, {stamp} AS event_timestamp, {stamp} AS created_timestamp "
            f"FROM ({query}) ORDER BY {keys}) TO '{folders[name] / 'part-0.parquet'}' "
            "(FORMAT parquet)"
        )


def bench_features(
    sizes: Sequence[tuple[int, int]] = SIZES,
    *,
    threads: int = 4,
    memory_limit: str = "8GB",
    repeats: Sequence[int] = (3, 1),
    folder: Path | None = None,
) -> list[Comparison]:
    """Build all views on both sides for each size, in turns; return the comparisons.

    Parameters
    ----------
    sizes : sequence of (customers, lines)
    threads : int
    memory_limit : str
        Of DuckDB; the process takes somewhat more.
    repeats : sequence of int
        Runs per side, in turns, for each size (the last number for all that follow); the best
        counts.
    folder : Path, optional
        Where tables and views are written; by default a temporary folder.
    """
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for at, (customers, lines) in enumerate(sizes):
            root = Path(temporary) / f"{lines}"
            make_tables(root / "tables", customers=customers, lines=lines)
            runs: dict[str, list[Run]] = {side: [] for side in SIDES}
            for turn in range(repeats[min(at, len(repeats) - 1)]):
                for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
                    shutil.rmtree(root / side, ignore_errors=True)
                    runs[side].append(_in_process(side, root, threads, memory_limit))
            different = {name: _different_rows(name, root, memory_limit) for name in VIEWS}
            rows.append(_compared(customers, lines, runs, different))
            print(rows[-1].line(), file=sys.stderr, flush=True)
            shutil.rmtree(root)
    return rows


def _in_process(side: str, root: Path, threads: int, memory_limit: str) -> Run:
    command = [sys.executable, "-m", "experiments.features_bench.run", side, str(root / "tables"),
               str(root / side), str(threads), memory_limit]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _different_rows(name: str, root: Path, memory_limit: str) -> int:
    """Count the rows of a view that differ, key or value: floats by more than 1e-9."""
    view = VIEWS[name]
    tests = []
    for feature in view.features:
        mine, other = f'a."{feature.name}"', f'b."{feature.name}"'
        if feature.dtype == "float64":
            tests.append(
                f"({mine} IS NULL) <> ({other} IS NULL) OR abs({mine} - {other}) > "
                f"1e-9 * greatest(abs({mine}), abs({other}), 1e-3)"
            )
        else:
            tests.append(f"{mine} IS DISTINCT FROM {other}")
    # Both sides are sorted by key: row stands beside row.
    tests += [f'a."{key}" IS DISTINCT FROM b."{key}"' for key in view.entity_keys]
    sides = [f"read_parquet('{root / side / name}/*.parquet')" for side in SIDES]
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{memory_limit}'; SET enable_progress_bar = false")
        count = connection.execute(
            f"SELECT count(*) FROM {sides[0]} a POSITIONAL JOIN {sides[1]} b "
            f"WHERE {' OR '.join(tests)}"
        ).fetchone()
    assert count is not None
    return int(count[0])


def _compared(
    customers: int, lines: int, runs: dict[str, list[Run]], different: dict[str, int]
) -> Comparison:
    views, sql = (min(runs[side], key=lambda run: run.seconds) for side in SIDES)
    return Comparison(
        customers,
        lines,
        views.seconds,
        sql.seconds,
        views.peak_gib,
        sql.peak_gib,
        views.seconds / sql.seconds,
        views.seconds / lines * 1e6,
        {name: rows for name, rows in different.items() if rows},
    )


if __name__ == "__main__":
    side, source, target, thread_count, memory = sys.argv[1:]
    result = run_side(
        side, Path(source), Path(target), threads=int(thread_count), memory_limit=memory
    )
    print(json.dumps(asdict(result)))
