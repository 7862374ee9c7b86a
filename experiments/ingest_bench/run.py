"""`nba bench ingest`: what a load costs against DuckDB copying the same file to Parquet."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from nba.data import sql
from nba.data.ingest import ingest
from nba.data.lake import Lake

#: Lines of one year, three per order, with customers and products that come back unevenly.
_LINES = """
SELECT printf('o%09d', i // 3) AS order_id{line_no},
    printf('c%07d', CAST(pow(random(), 2) * {customers} AS BIGINT)) AS customer_id,
    printf('p%05d', CAST(pow(random(), 3) * 20000 AS BIGINT)) AS product_id,
    TIMESTAMP '2025-01-01' + to_seconds(CAST((i // 3) * 31536000.0 / {orders} AS BIGINT)) AS ts,
    CAST(1 + floor(random() * 4) AS INTEGER) AS quantity,
    CAST((1 + floor(random() * 20000) / 100) * {sign} AS DECIMAL(10, 2)) AS unit_price,
    list_extract(['store', 'web', 'mini_program'], 1 + CAST(floor(random() * 3) AS INTEGER))
        AS channel
FROM range({lines}) AS t(i)
"""


#: The types of these columns, so that the copy need not guess them.
_TYPES = {
    "order_id": "VARCHAR",
    "line_no": "VARCHAR",
    "customer_id": "VARCHAR",
    "product_id": "VARCHAR",
    "ts": "TIMESTAMP",
    "quantity": "INTEGER",
    "unit_price": "DECIMAL(10, 2)",
    "channel": "VARCHAR",
}


@dataclass(frozen=True)
class IngestBench:
    """One measurement: seconds of the copy and of the load, their ratio, peak memory.

    `growth` is the load's seconds per line against those of the smallest load of the same kind.
    """

    lines: int
    format: str
    line_numbers: bool
    copy_seconds: float
    ingest_seconds: float
    ratio: float
    growth: float
    peak_gb: float
    load_average: float
    ok: bool

    def line(self) -> str:
        """Return the measurement as one line of text."""
        numbers = "with" if self.line_numbers else "without"
        return (
            f"{'PASS' if self.ok else 'FAIL'}  {self.lines:>11,} lines {self.format:<7} "
            f"{numbers:>7} line numbers: copy {self.copy_seconds:6.2f} s, "
            f"ingest {self.ingest_seconds:6.2f} s, ratio {self.ratio:4.2f}, "
            f"growth {self.growth:4.2f}, peak {self.peak_gb:4.2f} GB"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as JSON data."""
        return asdict(self)


#: The bars: at most so many times the copy, at most linear growth, and so much memory.
MAXIMUM_RATIO = 4.0
MAXIMUM_GROWTH = 1.0
MAXIMUM_GB = 3.0


def bench_ingest(
    folder: Path | str | None = None,
    *,
    lines: Sequence[int] = (1_000_000, 5_000_000, 20_000_000),
    formats: Sequence[str] = ("csv", "parquet"),
    line_numbers: Sequence[bool] = (True, False),
    bad_every: int = 0,
    repeats: int = 1,
    say: Callable[[str], None] = print,
) -> list[IngestBench]:
    """Measure loads of made-up lines against DuckDB's own COPY of the same file.

    The copy is the plain good way: types declared, Parquet compressed as the lake's is, every
    core. The lines stand in Asia/Shanghai, as those of most shops that we know.

    Parameters
    ----------
    folder : Path, str or None
        Scratch space, emptied again; a temporary folder if None.
    lines : sequence of int
        Ascending: `growth` compares with the first.
    formats : sequence of str
        `csv`, `parquet`.
    line_numbers : sequence of bool
        With the column `line_no`, or with the key derived from the lines.
    bad_every : int
        One line in so many breaks a rule; 0 for none.
    repeats : int
        The fastest of so many runs counts, for both sides.
    say : callable
        Gets a line per measurement.

    Returns
    -------
    list of IngestBench
    """
    results: list[IngestBench] = []
    with tempfile.TemporaryDirectory(prefix="nba-bench-", dir=folder) as scratch:
        for number in lines:
            for format_ in formats:
                for numbered in line_numbers:
                    source = _Source(Path(scratch), number, format_, numbered, bad_every)
                    result = _measure(source, repeats, results)
                    say(result.line())
                    results.append(result)
    return results


@dataclass(frozen=True)
class _Source:
    """One file to be loaded: where, how large, in which form."""

    folder: Path
    lines: int
    format: str
    numbered: bool
    bad_every: int

    @property
    def path(self) -> Path:
        return self.folder / "source" / f"transactions.{self.format}"


def _measure(source: _Source, repeats: int, earlier: Sequence[IngestBench]) -> IngestBench:
    folder = source.folder
    source.path.parent.mkdir(parents=True)
    _write(source)
    copies, loads = [], []
    for _ in range(repeats):
        copies.append(_apart(_copy, source.path, folder / "copy.parquet")[0])
        loads.append(_apart(_load, source.path.parent, folder / "lake"))
    for left in (source.path.parent, folder / "lake"):
        shutil.rmtree(left, ignore_errors=True)
    (folder / "copy.parquet").unlink(missing_ok=True)
    copied, loaded = min(copies), min(seconds for seconds, _ in loads)
    peak, ratio = max(peak for _, peak in loads), loaded / copied
    same = [
        result
        for result in earlier
        if (result.format, result.line_numbers) == (source.format, source.numbered)
    ]
    per_line = same[0].ingest_seconds / same[0].lines if same else loaded / source.lines
    growth = loaded / source.lines / per_line
    ok = ratio <= MAXIMUM_RATIO and growth <= MAXIMUM_GROWTH and peak <= MAXIMUM_GB
    return IngestBench(
        lines=source.lines,
        format=source.format,
        line_numbers=source.numbered,
        copy_seconds=round(copied, 3),
        ingest_seconds=round(loaded, 3),
        ratio=round(ratio, 3),
        growth=round(growth, 3),
        peak_gb=round(peak, 3),
        load_average=round(_busy(), 1),
        ok=ok,
    )


def _busy() -> float:
    """Return how many processes wanted a core in the last minute."""
    return os.getloadavg()[0]


def _write(source: _Source) -> None:
    query = _LINES.format(
        lines=source.lines,
        orders=max(1, source.lines // 3),
        customers=max(10, source.lines // 20),
        line_no=", CAST(i % 3 + 1 AS VARCHAR) AS line_no" if source.numbered else "",
        sign=f"CASE WHEN i % {source.bad_every} = 0 THEN -1 ELSE 1 END"
        if source.bad_every
        else "1",
    )
    options = "FORMAT csv, HEADER" if source.format == "csv" else "FORMAT parquet"
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(f"COPY ({query}) TO {sql.text(str(source.path))} ({options})")


def _apart(task: Callable[[Path, Path], float], source: Path, target: Path) -> tuple[float, float]:
    """Run a task in a process of its own; return its seconds and its peak memory in GB."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_timed, (task, source, target))


def _timed(task: Callable[[Path, Path], float], source: Path, target: Path) -> tuple[float, float]:
    seconds = task(source, target)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _copy(source: Path, target: Path) -> float:
    with duckdb.connect() as connection:
        read = f"read_parquet({sql.text(str(source))})"
        if source.suffix == ".csv":
            with source.open(encoding="utf-8") as stream:
                names = stream.readline().strip().split(",")
            columns = {name: _TYPES[name] for name in names}
            read = f"read_csv({sql.text(str(source))}, header = true, columns = {columns})"
        started = time.monotonic()
        connection.execute(
            f"COPY (SELECT * FROM {read}) TO {sql.text(str(target))} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
        return time.monotonic() - started


def _load(source: Path, target: Path) -> float:
    shutil.rmtree(target, ignore_errors=True)
    started = time.monotonic()
    ingest(source, Lake(target), time_zone="Asia/Shanghai", now=datetime.now(UTC))
    return time.monotonic() - started
