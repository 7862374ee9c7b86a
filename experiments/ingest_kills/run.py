"""Loads that are killed at random moments: what is left of the lake, and what repeating gives."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from nba.data.ingest import ingest
from nba.data.lake import Lake

NOW: Final = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)
#: Head and lines of each table of the lake that is there before the load.
TABLES: Final = {
    "transactions": (
        "order_id,customer_id,product_id,ts,quantity,unit_price\n",
        [
            f"o{n},c{n % 3},p{n % 4},2026-0{1 + n % 5}-1{n % 9} 0{n % 9}:00:00,"
            f"{n % 3 - 1 or 2},{n}.5\n"
            for n in range(12)
        ],
    ),
    "customers": (
        "customer_id,valid_from,consent_contact,consent_at\n",
        ["c0,2026-01-01,true,2026-01-01\n", "c0,2026-03-01,false,2026-03-01\n"],
    ),
    "interactions": (
        "interaction_id,customer_id,ts,mode\n",
        [f"i{n},c{n % 3},2026-0{1 + n % 4}-05,none\n" for n in range(6)],
    ),
    "absences": ("clerk_id,date\n", ["k1,2026-01-01\n", "k1,2026-01-02\n"]),
}
#: What the load adds.
ADDED: Final = [f"x{n},c1,p1,2026-0{1 + n % 5}-03,1,1\n" for n in range(200)]
#: The load, in a process of its own.
LOAD: Final = (
    "import sys\nfrom datetime import datetime, UTC\n"
    "from nba.data.ingest import ingest\nfrom nba.data.lake import Lake\n"
    "print('ready', flush=True)\n"
    "ingest(sys.argv[1], Lake(sys.argv[2]), time_zone='UTC', now=datetime.now(UTC))\n"
)


def ingest_kills(*, kills: int = 100, seed: int = 2) -> dict[str, int]:
    """Kill loads at random moments, and repeat each.

    Parameters
    ----------
    kills : int
    seed : int
        Of the moments, drawn evenly over the time that a load takes here.

    Returns
    -------
    dict
        How often the lake was the one `before`, the one `after` or `neither`; how often files of
        the killed load were left (`left_files`) or a table could not be read (`unread`); how often
        repeating gave the lake after with no other file (`same_after_repeat`).
    """
    names = ("before", "after", "neither", "left_files", "unread", "same_after_repeat")
    seen = dict.fromkeys(names, 0)
    with tempfile.TemporaryDirectory(prefix="nba-kills-") as place:
        root = Path(place)
        source, lake = root / "in", Lake(root / "lake")
        versions = _lakes(root, source, lake)
        saved = root / "saved"
        shutil.copytree(lake.root, saved)
        draw, span = random.Random(seed), _span(source, lake)
        for _ in range(kills):
            shutil.rmtree(lake.root)
            shutil.copytree(saved, lake.root)
            _kill(source, lake, draw.uniform(0, span))
            seen[versions.get(lake.version, "neither")] += 1
            seen["left_files"] += any((lake.root / "scratch").rglob("*.parquet"))
            tables = lake.state().tables
            seen["unread"] += any(lake.polars(name).height != lake.rows(name) for name in tables)
            ingest(source, lake, time_zone="UTC", now=NOW)
            same = versions.get(lake.version) == "after" and not _strays(lake)
            seen["same_after_repeat"] += same
    return {"seed": seed, "kills": kills, **seen}


def _lakes(root: Path, source: Path, lake: Lake) -> dict[str, str]:
    """Write the tables, load them, and return the versions before and after the load."""
    _write(source, [])
    ingest(source, lake, time_zone="UTC", now=NOW)
    _write(source, ADDED)
    other = Lake(root / "other")
    ingest(source, other, time_zone="UTC", now=NOW)
    return {lake.version: "before", other.version: "after"}


def _write(folder: Path, added: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for table, (head, rows) in TABLES.items():
        more = added if table == "transactions" else []
        (folder / f"{table}.csv").write_text(head + "".join([*rows, *more]))


def _started(source: Path, lake: Lake) -> subprocess.Popen[bytes]:
    """Start a load and return when its imports are done."""
    command = [sys.executable, "-c", LOAD, str(source), str(lake.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _span(source: Path, lake: Lake) -> float:
    """Return the seconds that a whole load takes here."""
    process = _started(source, lake)
    started = time.monotonic()
    process.communicate()
    return time.monotonic() - started


def _kill(source: Path, lake: Lake, after: float) -> None:
    process = _started(source, lake)
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def _strays(lake: Lake) -> bool:
    """Return whether there are files that no version needs, or not all that one needs."""
    used = {str(path) for table in lake.state().tables for path in lake.files(table)}
    retired = {str(lake.root / name) for name in lake.state().retired}
    there = {str(path) for path in (lake.root / "tables").rglob("*.parquet")}
    return there != used | retired
