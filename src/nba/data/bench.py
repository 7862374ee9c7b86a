"""`nba bench ingest`: what a load costs against DuckDB copying the same file to Parquet."""

from __future__ import annotations

import multiprocessing
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
    CAST(1 + floor(random() * 20000) / 100 AS DECIMAL(10, 2)) AS unit_price,
    list_extract(['store', 'web', 'mini_program'], 1 + CAST(floor(random() * 3) AS INTEGER))
        AS channel
FROM range({lines}) AS t(i)
"""


@dataclass(frozen=True)
class IngestBench:
    """One measurement: seconds of the copy and of the load, their ratio, peak memory."""

    lines: int
    format: str
    line_numbers: bool
    copy_seconds: float
    ingest_seconds: float
    ratio: float
    peak_gib: float
    ok: bool

    def line(self) -> str:
        """Return the measurement as one line of text."""
        numbers = "with" if self.line_numbers else "without"
        return (
            f"{'PASS' if self.ok else 'FAIL'}  {self.lines:>11,} lines {self.format:<7} "
            f"{numbers:>7} line numbers: copy {self.copy_seconds:6.2f} s, "
            f"ingest {self.ingest_seconds:6.2f} s, ratio {self.ratio:4.2f}, "
            f"peak {self.peak_gib:4.2f} GiB"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as JSON data."""
        return asdict(self)


#: The bars: at most so many times the copy, and so much memory.
MAXIMUM_RATIO = 4.0
MAXIMUM_GIB = 3.0


def bench_ingest(
    folder: Path | str | None = None,
    *,
    lines: Sequence[int] = (1_000_000, 5_000_000, 20_000_000),
    formats: Sequence[str] = ("csv", "parquet"),
    line_numbers: Sequence[bool] = (True, False),
    repeats: int = 1,
    say: Callable[[str], None] = print,
) -> list[IngestBench]:
    """Measure loads of made-up lines against DuckDB's own COPY of the same file.

    Parameters
    ----------
    folder : Path, str or None
        Scratch space, emptied again; a temporary folder if None.
    lines : sequence of int
    formats : sequence of str
        `csv`, `parquet`.
    line_numbers : sequence of bool
        With the column `line_no`, or with the key derived from the lines.
    repeats : int
        The fastest of so many runs counts, for both sides.
    say : callable
        Gets a line per measurement.

    Returns
    -------
    list of IngestBench
    """
    results = []
    with tempfile.TemporaryDirectory(prefix="nba-bench-", dir=folder) as scratch:
        for number in lines:
            for format_ in formats:
                for numbered in line_numbers:
                    result = _measure(Path(scratch), number, format_, numbered, repeats)
                    say(result.line())
                    results.append(result)
    return results


def _measure(folder: Path, lines: int, format_: str, numbered: bool, repeats: int) -> IngestBench:
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    path = source / f"transactions.{format_}"
    _write(path, lines, numbered)
    copies = [_apart(_copy, path, folder / "copy.parquet")[0] for _ in range(repeats)]
    loads = [_apart(_load, source, folder / "lake") for _ in range(repeats)]
    for left in (source, folder / "lake"):
        shutil.rmtree(left, ignore_errors=True)
    (folder / "copy.parquet").unlink(missing_ok=True)
    copied, loaded = min(copies), min(seconds for seconds, _ in loads)
    peak = max(peak for _, peak in loads)
    ratio = loaded / copied
    return IngestBench(
        lines,
        format_,
        numbered,
        round(copied, 3),
        round(loaded, 3),
        round(ratio, 3),
        round(peak, 3),
        ratio <= MAXIMUM_RATIO and peak <= MAXIMUM_GIB,
    )


def _write(path: Path, lines: int, numbered: bool) -> None:
    query = _LINES.format(
        lines=lines,
        orders=max(1, lines // 3),
        customers=max(10, lines // 20),
        line_no=", CAST(i % 3 + 1 AS VARCHAR) AS line_no" if numbered else "",
    )
    options = "FORMAT csv, HEADER" if path.suffix == ".csv" else "FORMAT parquet"
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(f"COPY ({query}) TO {sql.text(str(path))} ({options})")


def _apart(task: Callable[[Path, Path], float], source: Path, target: Path) -> tuple[float, float]:
    """Run a task in a process of its own; return its seconds and its peak memory in GiB."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_timed, (task, source, target))


def _timed(task: Callable[[Path, Path], float], source: Path, target: Path) -> tuple[float, float]:
    seconds = task(source, target)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def _copy(source: Path, target: Path) -> float:
    read = "read_csv" if source.suffix == ".csv" else "read_parquet"
    with duckdb.connect() as connection:
        started = time.monotonic()
        connection.execute(
            f"COPY (SELECT * FROM {read}({sql.text(str(source))})) TO {sql.text(str(target))} "
            "(FORMAT parquet)"
        )
        return time.monotonic() - started


def _load(source: Path, target: Path) -> float:
    shutil.rmtree(target, ignore_errors=True)
    started = time.monotonic()
    ingest(source, Lake(target), time_zone="UTC", now=datetime.now(UTC))
    return time.monotonic() - started
