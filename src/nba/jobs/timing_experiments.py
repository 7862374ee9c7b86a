"""The timing experiments: CDNOW, Online Retail II, a world with known truth, any table.

Run with `NBA_DATA` pointing at the public data sets::

    python -m nba.jobs.timing_experiments timing_cdnow
    python -m nba.jobs.timing_experiments timing_online_retail
    python -m nba.jobs.timing_experiments timing_world
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from nba.errors import UsageError
from nba.evaluation.timing import TimingResult, run_timing_experiment
from nba.evaluation.timing_benchmarks import (
    BARS,
    SEED,
    judge,
    timing_cdnow,
    timing_online_retail,
    timing_world,
)
from nba.evaluation.timing_report import markdown, write_results
from nba.jobs.public_data import public_data
from nba.jobs.timing_world import play, run_world
from nba.models.timing.hazard import HazardConfig

WORLD_CUSTOMERS: Final = 2_000
WORLD_DAYS: Final = 720
RETAIL_CUSTOMERS: Final = 3_000
FUTURES: Final = 24
HORIZON_DAYS: Final = 90
EXPERIMENTS: Final = ("timing_cdnow", "timing_online_retail", "timing_world")


Findings = dict[str, dict[str, float]]


def run_benchmark(
    name: str, *, draws: int = 100, seed: int = SEED, threads: int = 0
) -> tuple[dict[str, TimingResult], Findings]:
    """Run one of the benchmarks that ship; return results by part and further findings.

    Raises
    ------
    UsageError
        When there is no such benchmark, or its data are missing.
    """
    if name == "timing_cdnow":
        return timing_cdnow(public_data(), draws=draws, seed=seed, threads=threads), {}
    if name == "timing_online_retail":
        return timing_online_retail(public_data(), draws=draws, seed=seed, threads=threads), {}
    if name == "timing_world":
        return _world(draws=draws, seed=seed, threads=threads)
    raise UsageError(f"no experiment {name!r}", expected=", ".join(EXPERIMENTS), found=name)


def _world(*, draws: int, seed: int, threads: int) -> tuple[dict[str, TimingResult], Findings]:
    """Run the world of planted rhythms, then the simulated retail world in both presets."""
    results = _planted(draws=draws, seed=seed, threads=threads)
    findings: Findings = {}
    for preset in ("published", "conservative"):
        played = play(preset, customers=RETAIL_CUSTOMERS, seed=seed, futures=FUTURES)
        config = HazardConfig()
        found, figures = run_world(played, config=config, draws=draws, seed=seed, threads=threads)
        results |= {f"{preset}_{name}": result for name, result in found.items()}
        findings[preset] = figures
    return results, findings


def _planted(*, draws: int, seed: int, threads: int) -> dict[str, TimingResult]:
    from nba.simulation.planted import planted_rhythm

    world = planted_rhythm(seed=seed, customers=WORLD_CUSTOMERS, days=WORLD_DAYS)
    price = pl.col("quantity").cast(pl.Float64) * pl.col("unit_price").cast(pl.Float64)
    purchases = world.tables["transactions"].select(
        "customer_id",
        pl.col("ts").dt.replace_time_zone(None).cast(pl.Datetime("us")),
        price.alias("amount"),
    )
    cutoff = world.as_of.replace(tzinfo=None) - timedelta(days=HORIZON_DAYS)
    return timing_world(
        purchases, world.truth, cutoff=cutoff, draws=draws, seed=seed, threads=threads
    )


def purchases_of_folder(
    folder: Path, *, mapping: str | Path | None, time_zone: str, now: datetime
) -> pl.DataFrame:
    """Read a retailer's tables through the lake into the purchases that timing reads.

    Raises
    ------
    InputRefusedError
        When the folder or a file in it cannot be loaded; the message says which.
    """
    import ibis

    from nba.data.ingest import ingest
    from nba.data.lake import Lake
    from nba.data.tables import load_tables

    with tempfile.TemporaryDirectory(prefix="nba-timing-") as place:
        lake = Lake(Path(place))
        ingest(folder, lake, mapping=mapping, time_zone=time_zone, now=now)
        connection = ibis.duckdb.connect()
        tables = load_tables(lake, as_of=None, time_zone=time_zone, connection=connection)
        lines = tables["transactions"]
        lines = lines.filter(lines.customer_id.notnull() & (lines.quantity > 0))
        amount = lines.quantity * lines.unit_price.fill_null(0.0)
        chosen = lines.select("customer_id", "ts", quantity=lines.quantity, amount=amount)
        table = chosen.to_pyarrow()
        connection.disconnect()
    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("us")))


def run_on_folder(
    folder: Path,
    *,
    mapping: str | Path | None,
    cutoff: datetime,
    now: datetime,
    time_zone: str = "Asia/Shanghai",
    horizon_days: int = HORIZON_DAYS,
    active_days: int = 365,
    config: HazardConfig | None = None,
    draws: int = 100,
    seed: int = SEED,
    threads: int = 0,
) -> dict[str, TimingResult]:
    """Run the timing protocol on any transactions table, with all baselines."""
    purchases = purchases_of_folder(folder, mapping=mapping, time_zone=time_zone, now=now)
    result = run_timing_experiment(
        purchases,
        cutoff=cutoff,
        horizon_days=horizon_days,
        active_days=active_days,
        config=config or HazardConfig(active_days=active_days),
        draws=draws,
        seed=seed,
        threads=threads,
    )
    return {cutoff.date().isoformat(): result}


def report(
    name: str,
    results: Mapping[str, TimingResult],
    folder: Path,
    *,
    command: str,
    findings: Findings | None = None,
) -> str:
    """Write the results into `folder` and return their tables."""
    bars = judge(results, BARS[name]) if name in BARS else []
    write_results(folder, results, command=command, bars=bars, findings=findings)
    return markdown(results, command=command, bars=bars, findings=findings)


def main(arguments: Sequence[str]) -> None:
    """Run the experiments named on the command line into `experiments/NAME`."""
    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    for name in arguments:
        results, findings = run_benchmark(name, threads=threads)
        command = f"python -m nba.jobs.timing_experiments {name}"
        place = Path("experiments") / name
        print(report(name, results, place, command=command, findings=findings))


if __name__ == "__main__":
    main(sys.argv[1:])
