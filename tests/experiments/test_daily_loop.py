"""Fourteen days from outside, by the command line alone: what a retailer's scheduler does.

A shop of 4,000 customers and 16 clerks lives in the simulated world. Each day its increment is
ingested, the nightly job runs, the actions are exported, and the world acts them out. The
checks read nothing but the exports and the world's own tables.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nba.simulation import World, WorldConfig

START, HISTORY, DAYS = date(2025, 1, 1), 240, 14
#: A day that trains may take longer: the models' spec says when that is.
LIMIT_SECONDS = 60.0


def nba(project: Path, *arguments: object) -> float:
    """Run the command line and return the seconds it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "nba", "--project", str(project), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return time.perf_counter() - started


def write(tables: dict[str, pl.DataFrame], folder: Path) -> Path:
    """Write an increment as Parquet files."""
    folder.mkdir(parents=True)
    for name, frame in tables.items():
        if frame.height:
            frame.write_parquet(folder / f"{name}.parquet")
    return folder


def read_export(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


class ObservedTables:
    """Who may be contacted, by the tables alone, read by nothing of the engine."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pl.DataFrame]] = {}

    def add(self, tables: dict[str, pl.DataFrame]) -> None:
        for name, frame in tables.items():
            self.parts.setdefault(name, []).append(frame)

    def table(self, name: str, *key: str) -> pl.DataFrame:
        frame = pl.concat(self.parts[name])
        return frame.unique(key, keep="last", maintain_order=True) if key else frame

    def refused(self) -> set[str]:
        """Return customers who are blocked or do not consent."""
        customers = self.table("customers", "customer_id")
        no = customers.filter(~pl.col("consent_contact").fill_null(True))["customer_id"]
        friendships = self.table("friendships", "customer_id", "clerk_id", "since")
        contacts = self.table("interactions").select("interaction_id", who="customer_id")
        blocks = (
            self.table("responses")
            .filter(pl.col("kind") == "blocked")
            .join(contacts, on="interaction_id", how="left")
            .select(customer_id=pl.coalesce("customer_id", "who"), at="ts")
            .group_by("customer_id")
            .agg(pl.col("at").max())
        )
        renewed = friendships.group_by("customer_id").agg(last=pl.col("since").max())
        still = blocks.join(renewed, on="customer_id", how="left").filter(
            pl.col("last").is_null() | (pl.col("last") <= pl.col("at"))
        )
        return {*no, *still["customer_id"]}

    def friends(self) -> set[str]:
        friendships = self.table("friendships", "customer_id", "clerk_id", "since")
        return set(friendships.filter(pl.col("ended_at").is_null())["customer_id"])

    def minutes(self) -> dict[str, float]:
        clerks = self.table("clerks", "clerk_id")
        return dict(clerks.select("clerk_id", "minutes_per_day").iter_rows())


@pytest.mark.proof
def test_fourteen_days_by_the_command_line(tmp_path: Path, repository: Path) -> None:
    world = World(WorldConfig(customers=4000, clerks=16, stores=4, start=START, seed=3))
    observed = ObservedTables()
    project = tmp_path / "shop"
    subprocess.run([sys.executable, "-m", "nba", "init", str(project)], check=True)
    for day in range(HISTORY):
        observed.add(world.step(day, habitual=True).tables)
    history = {name: pl.concat(parts) for name, parts in observed.parts.items()}
    nba(project, "ingest", write(history, tmp_path / "history"))

    days = []
    for number in range(DAYS):
        today = START + timedelta(days=HISTORY + number)
        export = tmp_path / f"{today}.csv"
        seconds = nba(project, "run", "--as-of", today)
        seconds += nba(project, "actions", "export", "--as-of", today, "--out", export)
        rows = read_export(export)
        listed = [row for row in rows if row["mode"] != "none"]
        assert listed
        check_day(listed, rows, observed)
        trained = "fitted" in trained_models(project, today)
        days.append({"day": str(today), "actions": len(listed), "trained": trained})
        plan = pl.read_csv(export, infer_schema_length=None, try_parse_dates=True)
        plan = plan.with_columns(pl.col("product_ids").str.json_decode(pl.List(pl.String)))
        outcome = world.step(HISTORY + number, plan)
        observed.add(outcome.tables)
        seconds += nba(project, "ingest", write(outcome.tables, tmp_path / f"inc-{today}"))
        days[-1]["seconds"] = round(seconds, 1)
    report = {"customers": 4000, "clerks": 16, "days": days}
    print(json.dumps(report, indent=1))
    folder = repository / "experiments" / "daily_loop"
    (folder / "result.json").write_text(json.dumps(report, indent=1) + "\n")
    assert all(day["seconds"] < LIMIT_SECONDS for day in days if not day["trained"])


def check_day(
    listed: list[dict[str, Any]], rows: list[dict[str, Any]], observed: ObservedTables
) -> None:
    """Check the promises of one day."""
    customers = [row["customer_id"] for row in rows]
    assert len(set(customers)) == len(customers)
    contacted = {row["customer_id"] for row in listed}
    assert not contacted & observed.refused()
    assert contacted <= observed.friends()
    for clerk_id, budget in observed.minutes().items():
        used = sum(float(row["minutes"]) for row in listed if row["clerk_id"] == clerk_id)
        assert used <= budget + 1e-9


def trained_models(project: Path, day: date) -> str:
    """Return what the train step of a day reported."""
    manifest = json.loads((project / "data" / "runs" / str(day) / "manifest.json").read_text())
    return str({k: v for k, v in manifest["steps"]["train"].items() if k != "versions"})
