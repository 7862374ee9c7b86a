"""`nba bench nightly`: what a night takes on this machine, step by step, and beside its limits."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from nba.errors import NbaError
from nba.jobs.init import init_project
from nba.jobs.progress import to_stderr
from nba.pipeline.manifest import Manifest
from nba.settings import Project
from nba.simulation import WorldConfig, simulate
from nba.simulation.assortment import SPECS
from nba.simulation.config import Assortments
from nba.wiring import Wiring

_START: Final = date(2025, 1, 1)
#: A booster as large as those that ship, asked for every customer.
_TREES, _FEATURES, _LEAVES = 300, 60, 31
#: What no night can undercut, and the steps that are measured by it.
_PREDICT, _WRITE, _SCAN = "LightGBM predict", "Parquet write", "DuckDB scan"
_LIMIT_OF: Final = {
    "ingest": _SCAN,
    "features": _SCAN,
    "score": _PREDICT,
    "plan": _WRITE,
    "publish": _WRITE,
}
#: Where in the data folder a step keeps what it makes.
_KEPT: Final = {
    "ingest": ("lake",),
    "features": ("features",),
    "train": ("models",),
    "score": ("runs/*/scores",),
    "plan": ("runs/*/plan", "runs/*/inputs"),
    "publish": ("operational.db*", "feast"),
}
_PEAK = re.compile(r"peak_mb=(\d+)")
#: What a night lays ready once the plan stands is in its log alone.
_LAID = re.compile(
    r"Z (lists|cards|next_actions) .*\bseconds=([\d.]+) cpu_seconds=([\d.]+) peak_mb=(\d+)"
)


@dataclass(frozen=True)
class Measured:
    """One step of a night, or one limit that it is measured by.

    Parameters
    ----------
    night : str
        `first` (models are trained), `second` (they stand), or `limit`.
    step : str
    seconds : float
    cpu_seconds : float
        Of processor, of the process and its children.
    share : float
        Of the night's seconds; 0 for a limit.
    rows : int
        Lines of sales for `ingest` and the limits over them, else customers.
    rows_per_second : int
    peak_mb : int
        The most memory of the process in the step; 0 for a limit.
    disk_mb : float
        What the step keeps on disk, of all nights so far; 0 for a limit.
    over_limit : float
        Seconds over those of its limit; 0 where there is none.
    growth : float
        Seconds per customer over those of the smaller shop; 0 where there is none.
    cpu_growth : float
        The same of seconds of processor.
    """

    night: str
    step: str
    seconds: float
    cpu_seconds: float
    share: float
    rows: int
    rows_per_second: int
    peak_mb: int
    disk_mb: float = 0.0
    over_limit: float = 0.0
    growth: float = 0.0
    cpu_growth: float = 0.0


def bench_nightly(
    customers: int = 10_000,
    days: int = 365,
    threads: int = 0,
    partitions: int = 1,
    workers: int = 1,
    memory_limit: str = "4GB",
    nights: int = 2,
    smaller: int = 0,
    clerks: int = 0,
    stores: int = 0,
    products: int = 0,
    years: int = 1,
    folder: str = "",
) -> list[Measured]:
    """Make a shop, load it, and run two nights: one that trains, and one as most nights are.

    Parameters
    ----------
    customers : int
    days : int
        Of history before the first night.
    threads : int
        As `threads` in nba.yaml; 0: every core.
    partitions : int
        As `partitions` in nba.yaml.
    workers : int
        As `workers` in nba.yaml.
    memory_limit : str
        As `memory_limit` in nba.yaml: a shop whose features do not fit spills, and takes longer.
    nights : int
        1: only the night that trains; 0: the shop is made and loaded.
    smaller : int
        Customers of a second shop that is measured first, for the growth per customer; 0: none.
    clerks : int
        Of the larger shop, the smaller one has as many a customer; 0: one per 167 customers.
    stores : int
        The same of stores; 0: one per 3 clerks.
    products : int
        Of both shops, at least; 0: 24 for each category.
    years : int
        Of sales: those of `days` stand again in each of the years before, with ids of their own.
    folder : str
        Where the shops are made and stay; empty: a temporary folder. Tables that were made there
        for the same shop are used again.

    Notes
    -----
    Each night is a process of its own, as from a scheduler; its steps are printed as they end, so
    that a bench which is broken off has said what it measured. Memory is that of the process
    without Spark's virtual machine. The limits are a raw prediction of LightGBM, a raw write of
    Parquet and one scan of DuckDB over the same numbers of rows.
    """
    settings = {
        "threads": threads,
        "partitions": partitions,
        "workers": workers,
        "memory_limit": memory_limit,
    }
    named = ("first", "second")[:nights]
    sizes = [size for size in (smaller, customers) if size]
    with tempfile.TemporaryDirectory(prefix="nba-bench-") as made:
        place = Path(folder or made)
        shops = []
        for size in sizes:
            people = {"customers": size, "clerks": clerks * size // customers}
            world = _world(products, **people, stores=stores * size // customers, days=days)
            shops.append(_bench(place / str(size), world, years, settings, named))
    return _grown(*shops, ratio=customers / smaller) if smaller else shops[-1]


def _grown(less: list[Measured], more: list[Measured], *, ratio: float) -> list[Measured]:
    """Return both shops' measures, the larger one's with their growth per customer."""
    before = {(one.night, one.step): one for one in less}

    def growth(one: Measured, of: Callable[[Measured], float]) -> float:
        return round(of(one) / max(of(before[one.night, one.step]), 0.01) / ratio, 2)

    return less + [
        replace(
            one,
            growth=growth(one, lambda step: step.seconds),
            cpu_growth=growth(one, lambda step: step.cpu_seconds),
        )
        for one in more
    ]


def _world(products: int, **of: int) -> WorldConfig:
    """Return a shop with at least so many products."""
    least = WorldConfig.model_fields["products_per_category"].default
    each = -(-products // len(SPECS[Assortments.FASHION]))
    return WorldConfig.model_validate(
        {"start": _START, "products_per_category": max(each, least), **of}
    )


def _make(folder: Path, world: WorldConfig, years: int) -> None:
    """Write the shop's tables, unless they are there."""
    wanted, made = f"{world.model_dump_json()} years={years}\n", folder / "made"
    if made.exists() and made.read_text(encoding="utf-8") == wanted:
        return
    made.unlink(missing_ok=True)
    simulate(world, folder / "tables", folder / "truth")
    _repeat(folder / "tables" / "transactions.parquet", years)
    made.write_text(wanted, encoding="utf-8")


def _repeat(sales: Path, years: int) -> None:
    """Let sales stand again in each of the years before, with ids of their own."""
    if years == 1:
        return
    import duckdb

    written = sales.with_suffix(".years")
    with duckdb.connect() as connection:
        connection.execute(
            f"""COPY (
                SELECT * EXCLUDE (back) REPLACE (
                    order_id || repeat('-', back::INTEGER) AS order_id,
                    ts - to_days(365 * back::INTEGER) AS ts
                )
                FROM read_parquet('{sales}') CROSS JOIN range({years}) AS times(back)
            ) TO '{written}' (FORMAT parquet)"""
        )
    written.replace(sales)


def _bench(
    folder: Path, world: WorldConfig, years: int, settings: dict[str, Any], nights: Sequence[str]
) -> list[Measured]:
    customers, days = world.customers, world.days
    _make(folder, world, years)
    shop = folder / "shop"
    shutil.rmtree(shop, ignore_errors=True)
    init_project(shop, settings)
    to_stderr(f"{customers:,} customers are made: {_disk(folder / 'tables')} MB of tables")
    began, worked = time.perf_counter(), _children_seconds()
    said = _nba(shop, "ingest", str(folder / "tables"))
    loaded, spent = time.perf_counter() - began, _children_seconds() - worked
    wiring = Wiring(Project.open(shop))
    lines = wiring.lake.rows("transactions")
    peak = max((int(found) for found in _PEAK.findall(said)), default=0)
    pace = round(lines / loaded)
    done = [Measured("first", "ingest", round(loaded, 1), round(spent, 1), 0.0, lines, pace, peak)]
    for number, night in enumerate(nights):
        day = _START + timedelta(days=days + number)
        said = _nba(shop, "run", "--as-of", day.isoformat())
        done += _steps(night, Manifest.read(wiring.runs.of(day)), said, customers)
    limits = _limits(wiring, folder, customers, lines)
    seconds = {limit.step: limit.seconds for limit in limits}
    return [
        replace(
            one,
            disk_mb=_disk_mb(shop / "data", one.step),
            over_limit=round(one.seconds / seconds[_LIMIT_OF[one.step]], 1)
            if one.step in _LIMIT_OF
            else 0.0,
        )
        for one in done
    ] + limits


def _disk_mb(data: Path, step: str) -> float:
    """Return what a step keeps, in MB of 10^6 bytes."""
    return _disk(*(place for pattern in _KEPT.get(step, ()) for place in data.glob(pattern)))


def _disk(*places: Path) -> float:
    files = [file for place in places for file in (place, *place.rglob("*")) if file.is_file()]
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)


def _children_seconds() -> float:
    """Return the seconds of processor of the commands that ended so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _nba(shop: Path, *words: str) -> str:
    """Run a command in a process of its own, pass its log on as it comes, and return it."""
    said = []
    with subprocess.Popen(
        [sys.executable, "-m", "nba", "--project", str(shop), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NBA_LOG_FORMAT": "text", "NBA_LOG_LEVEL": "info"},
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            to_stderr(line.rstrip())
            said.append(line)
    if running.returncode:
        raise NbaError(f"nba {words[0]} failed", found="".join(said)[-2000:])
    return "".join(said)


def _steps(night: str, manifest: Manifest, said: str, customers: int) -> list[Measured]:
    reports = {name: report for name, report in manifest.steps.items() if name != "ingest"}
    for laid in _LAID.finditer(said):
        step, *figures = laid.groups()
        reports[step] = dict(
            zip(("seconds", "cpu_seconds", "peak_mb"), map(float, figures), strict=True)
        )
    whole = sum(report["seconds"] for report in reports.values())
    return [
        Measured(
            night,
            name,
            report["seconds"],
            report["cpu_seconds"],
            round(report["seconds"] / whole, 3),
            customers,
            round(customers / max(report["seconds"], 0.01)),
            int(report["peak_mb"]),
        )
        for name, report in reports.items()
    ]


def _limits(wiring: Wiring, folder: Path, customers: int, lines: int) -> list[Measured]:
    """Measure what no night can undercut: each once warm."""
    import duckdb
    import lightgbm
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(1)
    few = draw.random((2_000, _FEATURES))
    options = {"num_leaves": _LEAVES, "verbosity": -1, "num_threads": wiring.settings.threads}
    booster = lightgbm.train(options, lightgbm.Dataset(few, few[:, 0]), num_boost_round=_TREES)
    rows = draw.random((customers, _FEATURES))
    frame = pl.DataFrame(rows, schema=[f"f{number}" for number in range(_FEATURES)])
    sales = wiring.lake.relation("transactions")
    scan = f"SELECT count(DISTINCT customer_id), sum(quantity * unit_price) FROM ({sales})"
    with duckdb.connect() as connection:
        work: dict[str, tuple[int, Any]] = {
            _PREDICT: (customers, lambda: booster.predict(rows)),
            _WRITE: (customers, lambda: frame.write_parquet(folder / "limit.parquet")),
            _SCAN: (lines, lambda: connection.execute(scan).fetchall()),
        }
        found = [_timed(name, size, call) for name, (size, call) in work.items()]
    (folder / "limit.parquet").unlink()
    return found


def _timed(name: str, rows: int, call: Any) -> Measured:
    call()
    began, worked = time.perf_counter(), time.process_time()
    call()
    seconds, spent = time.perf_counter() - began, time.process_time() - worked
    pace = round(rows / max(seconds, 1e-6))
    return Measured("limit", name, round(seconds, 3), round(spent, 3), 0.0, rows, pace, 0)
