"""Score and plan the same shop in one process and in tasks of Spark, with one core and with two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from nba.errors import NbaError
from nba.jobs.init import init_project
from nba.settings import Project
from nba.simulation import WorldConfig, simulate
from nba.wiring import Wiring

_START: Final = date(2025, 1, 1)
_STEPS: Final = ("score", "plan", "publish")
#: What tells the rows of a table apart: the first that does.
_KEYS: Final = (
    ("action_id",),
    ("customer_id", "need_id"),
    ("customer_id", "category"),
    ("customer_id", "feature"),
    ("customer_id", "mode"),
    ("customer_id", "rank"),
    ("customer_id",),
    ("clerk_id",),
)
_PLAN: Final = ("log", "actions", "clerks", "preferred_mode", "handovers")
_SCORES: Final = ("timing", "timing_category", "affinity", "needs", "mode", "contributions")


def spark_night(
    *,
    sizes: Sequence[int] = (2_000, 10_000),
    cores: Sequence[int] = (1, 2),
    days: int = 100,
    partitions: int = 4,
    folder: str = "",
) -> dict[str, Any]:
    """Return seconds and memory of nights on Spark, and how far they are from one without.

    Parameters
    ----------
    sizes : sequence of int
        Customers; a clerk for each 250, a store for each 1,000.
    cores : sequence of int
        Of Spark on this machine.
    days : int
        Of sales.
    partitions : int
        Tasks.
    folder : str
        Where shops are made and stay, to be used again; empty: a temporary folder.

    Notes
    -----
    `driver_mb` is the most memory of the driver's Python process in the step, `jvm_mb` that of
    Spark's virtual machine over all steps, in which on this machine driver and executors are one.
    """
    if folder:
        return {"nights": _nights(Path(folder), sizes, cores, days, partitions)}
    with tempfile.TemporaryDirectory(prefix="spark-night-") as made:
        return {"nights": _nights(Path(made), sizes, cores, days, partitions)}


def _nights(
    folder: Path, sizes: Sequence[int], cores: Sequence[int], days: int, partitions: int
) -> list[dict[str, Any]]:
    rows, day = [], _START + timedelta(days=days)
    for size in sizes:
        shop = _shop(folder / str(size), size, days)
        rows.append({"customers": size, "cores": 0, **_night(shop, day, {"threads": max(cores)})})
        print(rows[-1], flush=True)
        plain = _kept(shop, day)
        for count in cores:
            settings = {"score_engine": "spark", "threads": count, "partitions": partitions}
            row = {"customers": size, "cores": count, **_night(shop, day, settings)}
            rows.append({**row, **_difference(plain, _kept(shop, day))})
            print(rows[-1], flush=True)
    return rows


def _shop(folder: Path, customers: int, days: int) -> Path:
    """Make a shop and its first night, which trains, where they are not there."""
    shop = folder / "shop"
    if (shop / "made").exists():
        return shop
    config = WorldConfig(
        customers=customers,
        clerks=max(6, customers // 250),
        stores=max(4, customers // 1_000),
        start=_START,
        days=days,
    )
    simulate(config, folder / "tables", folder / "truth")
    init_project(shop, {})
    _nba(shop, "ingest", str(folder / "tables"))
    _nba(shop, "train", "--as-of", str(_START + timedelta(days=days)))
    (shop / "made").touch()
    return shop


def _night(shop: Path, day: date, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Score, plan and publish under these settings; return seconds and memory by step."""
    file = shop / "nba.yaml"
    plain = file.read_text(encoding="utf-8")
    try:
        changed = {**(yaml.safe_load(plain) or {}), **settings}
        file.write_text(yaml.safe_dump(changed, allow_unicode=True), encoding="utf-8")
        jvm = _nba(shop, "run", "--as-of", str(day), "--from", "score", "--force")
    finally:
        file.write_text(plain, encoding="utf-8")
    steps = Wiring(Project.open(shop)).runs.of(day)
    done = json.loads(steps.read_text("manifest.json") or "{}")["steps"]
    return {
        "seconds": {name: done[name]["seconds"] for name in _STEPS},
        "driver_mb": {name: done[name]["peak_mb"] for name in _STEPS},
        "jvm_mb": jvm,
    }


def _nba(shop: Path, *words: str) -> int:
    """Run a command in a process of its own; return the most memory of its Java child, in MB."""
    command = [sys.executable, "-m", "nba", "--project", str(shop), *words]
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(command, stdout=said, stderr=said, env=dict(os.environ))
        peak = 0
        while True:
            with suppress(subprocess.TimeoutExpired):
                running.wait(timeout=0.5)
                break
            peak = max(peak, _java_mb(running.pid))
        if running.returncode:
            said.seek(0)
            raise NbaError(f"nba {words[0]} failed", found=said.read().decode()[-2000:])
    return peak


def _java_mb(pid: int) -> int:
    """Return the most memory that the Java children of a process held so far, in MB; 0: none."""
    peak = 0
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if "java" in lines["Name"] and "VmHWM" in lines:  # one that has ended holds nothing
                peak = max(peak, int(lines["VmHWM"].split()[0]) * 1024 // 1_000_000)
    return peak


def _kept(shop: Path, day: date) -> dict[str, pl.DataFrame]:
    """Return scores and plan, sorted by what tells rows apart."""
    run = Wiring(Project.open(shop)).runs.of(day)
    names = [f"plan/{name}" for name in _PLAN] + [f"scores/{name}" for name in _SCORES]
    tables = {name: run.read(name).drop("policy_version", strict=False) for name in names}
    return {name: table.sort(_key(table)) for name, table in tables.items()}


def _key(table: pl.DataFrame) -> tuple[str, ...]:
    """Return what tells the rows of a table apart: another order of equals would differ."""
    among = (key for key in _KEYS if set(key) <= set(table.columns))
    return next(key for key in among if not table.select(key).is_duplicated().any())


def _difference(
    plain: Mapping[str, pl.DataFrame], spark: Mapping[str, pl.DataFrame]
) -> dict[str, Any]:
    """Return how many values are unequal, and the largest difference of a float (relative).

    `unequal_in` counts by table and column.
    """
    largest, unequal = 0.0, Counter[str]()
    for name, table in plain.items():
        other = spark[name]
        if table.shape != other.shape:
            raise NbaError(f"{name} has another shape", expected=str(table.shape))
        for column in table.columns:
            for one, two in _leaves(table[column], other[column]):
                if one.dtype.is_float():
                    scale = pl.max_horizontal(one.abs(), two.abs(), pl.lit(1.0))
                    apart = pl.select(((one - two).abs() / scale).max()).item()
                    largest = max(largest, apart or 0.0)
                    apart_in = one.is_null() != two.is_null()
                else:
                    apart_in = one.ne_missing(two)
                unequal[f"{name}.{column}"] += int(apart_in.sum())
    return {
        "unequal": unequal.total(),
        "unequal_in": dict(+unequal),
        "largest_difference": largest,
        "rows": sum(map(len, plain.values())),
    }


def _leaves(one: pl.Series, two: pl.Series) -> Iterator[tuple[pl.Series, pl.Series]]:
    """Yield what two columns of one type hold, lists and structs taken apart."""
    if isinstance(one.dtype, pl.List):
        yield one.list.len(), two.list.len()
        if one.list.len().equals(two.list.len()):
            yield from _leaves(one.explode(), two.explode())
    elif isinstance(one.dtype, pl.Struct):
        for field in one.dtype.fields:
            yield from _leaves(one.struct.field(field.name), two.struct.field(field.name))
    else:
        yield one, two
