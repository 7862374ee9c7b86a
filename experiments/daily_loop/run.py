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
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from nba.errors import NbaError
from nba.simulation import World, WorldConfig

START, HISTORY = date(2025, 1, 1), 240


def nba(project: Path, *arguments: object) -> float:
    """Run the command line and return the seconds it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "nba", "--project", str(project), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NbaError(
            f"nba {arguments[0]} did not end well",
            expected="exit code 0",
            found=f"{done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}",
        )
    return time.perf_counter() - started


def write(tables: dict[str, pl.DataFrame], folder: Path) -> Path:
    """Write an increment as Parquet files."""
    folder.mkdir(parents=True)
    for name, frame in tables.items():
        if frame.height:
            frame.write_parquet(folder / f"{name}.parquet")
    return folder


def read_export(path: Path) -> list[dict[str, Any]]:
    """Return the rows of an export."""
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


class Seen:
    """Who may be contacted, by the tables alone, read by nothing of the engine."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pl.DataFrame]] = {}

    def add(self, tables: dict[str, pl.DataFrame]) -> None:
        """Add an increment."""
        for name, frame in tables.items():
            self.parts.setdefault(name, []).append(frame)

    def table(self, name: str, *key: str) -> pl.DataFrame:
        """Return a table, the last row of each key."""
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
        """Return customers who are a friend of a clerk."""
        friendships = self.table("friendships", "customer_id", "clerk_id", "since")
        return set(friendships.filter(pl.col("ended_at").is_null())["customer_id"])

    def minutes(self) -> dict[str, float]:
        """Return the minutes of each clerk."""
        clerks = self.table("clerks", "clerk_id")
        return dict(clerks.select("clerk_id", "minutes_per_day").iter_rows())


def daily_loop(
    *, customers: int = 4000, clerks: int = 16, days: int = 14, seed: int = 3
) -> dict[str, Any]:
    """Drive the engine by the command line, day after day, with each day's increment.

    Parameters
    ----------
    customers, clerks : int
        Size of the shop.
    days : int
        After a history of 240 days.
    seed : int
        Of the world.

    Returns
    -------
    dict
        Per day the actions listed, whether it trained, seconds, and the promises `broken`.
    """
    with tempfile.TemporaryDirectory(prefix="nba-daily-") as place:
        folder = Path(place)
        config = WorldConfig(customers=customers, clerks=clerks, stores=4, start=START, seed=seed)
        world, seen, project = World(config), Seen(), folder / "shop"
        nba(folder, "init", project)
        for day in range(HISTORY):
            seen.add(world.step(day, habitual=True).tables)
        history = {name: pl.concat(parts) for name, parts in seen.parts.items()}
        nba(project, "ingest", write(history, folder / "history"))
        played = [_one_day(world, seen, project, HISTORY + number) for number in range(days)]
    return {"customers": customers, "clerks": clerks, "days": played}


def _one_day(world: World, seen: Seen, project: Path, number: int) -> dict[str, Any]:
    """Run and export a day, check its promises, act it out, and ingest what came of it."""
    today = START + timedelta(days=number)
    export = project.parent / f"{today}.csv"
    seconds = nba(project, "run", "--as-of", today)
    seconds += nba(project, "actions", "export", "--as-of", today, "--out", export)
    rows = read_export(export)
    listed = [row for row in rows if row["mode"] != "none"]
    broken = broken_promises(listed, rows, seen)
    plan = pl.read_csv(export, infer_schema_length=None, try_parse_dates=True)
    plan = plan.with_columns(pl.col("product_ids").str.json_decode(pl.List(pl.String)))
    outcome = world.step(number, plan)
    seen.add(outcome.tables)
    seconds += nba(project, "ingest", write(outcome.tables, project.parent / f"inc-{today}"))
    return {
        "day": str(today),
        "actions": len(listed),
        "trained": "fitted" in trained_models(project, today),
        "broken": broken,
        "seconds": round(seconds, 1),
    }


def broken_promises(
    listed: list[dict[str, Any]], rows: list[dict[str, Any]], seen: Seen
) -> list[str]:
    """Return which promises a day's export breaks, by the world's own tables."""
    customers = [row["customer_id"] for row in rows]
    contacted = {row["customer_id"] for row in listed}
    used: dict[str, float] = {}
    for row in listed:
        used[row["clerk_id"]] = used.get(row["clerk_id"], 0.0) + float(row["minutes"])
    budget = seen.minutes()
    broken = {
        "nobody is listed": not listed,
        "two actions for a customer": len(set(customers)) < len(customers),
        "a customer who refused or blocked is listed": bool(contacted & seen.refused()),
        "a customer who is no friend is listed": not contacted <= seen.friends(),
        "a clerk's minutes are overrun": any(used[name] > budget[name] + 1e-9 for name in used),
    }
    return [promise for promise, is_broken in broken.items() if is_broken]


def trained_models(project: Path, day: date) -> str:
    """Return what the train step of a day reported."""
    manifest = json.loads((project / "data" / "runs" / str(day) / "manifest.json").read_text())
    return str({k: v for k, v in manifest["steps"]["train"].items() if k != "versions"})
