"""Days that are over are planned again beside what stands today; of two starts one works."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from tests.command import nba
from tests.jobs.conftest import DAY

from nba.stores.lock import is_locked

#: How long to wait for a run to hold its project.
PATIENCE = 120


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop"))


def stands(shop: Path) -> dict[str, set[str]]:
    """Return every row of the project's stores, and every file of the current day, by place."""
    found: dict[str, set[str]] = {}
    for path in sorted((shop / "data").rglob("*.db")):
        if "mlflow" in path.name:
            continue
        engine = create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            for table in inspect(engine).get_table_names():
                rows = connection.execute(text(f'SELECT * FROM "{table}"')).all()
                found[f"{path.name}/{table}"] = {repr(tuple(row)) for row in rows}
        engine.dispose()
    for path in sorted((shop / "data" / "runs" / DAY.isoformat()).rglob("*")):
        if path.is_file():
            found[str(path.relative_to(shop))] = {path.read_bytes().hex()}
    return found


@pytest.mark.parametrize("days", [1, pytest.param(30, marks=pytest.mark.proof)])
def test_a_backfill_leaves_today_untouched(shop: Path, days: int) -> None:
    shown = nba("--project", shop, "actions", "show", "--as-of", DAY)
    before = stands(shop)
    first, last = DAY - timedelta(days=days), DAY - timedelta(days=1)
    nba("--project", shop, "run", "--backfill", f"{first}..{last}")
    after = stands(shop)
    lost = {place: rows - after.get(place, set()) for place, rows in before.items()}
    assert {place: rows for place, rows in lost.items() if rows} == {}
    assert nba("--project", shop, "actions", "show", "--as-of", DAY) == shown
    print(f"{days} days planned again: {sum(map(len, before.values())):,} rows as they were")


def test_of_two_starts_at_once_one_runs(shop: Path) -> None:
    command = [sys.executable, "-m", "nba", "--project", str(shop), "run", "--as-of"]
    tomorrow: date = DAY + timedelta(days=1)
    with subprocess.Popen(
        [*command, str(tomorrow)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        until = time.monotonic() + PATIENCE
        while not is_locked(shop / "data") and time.monotonic() < until:
            time.sleep(0.05)
        said = nba("--project", shop, "run", "--as-of", tomorrow, code=75)
        assert f"process {first.pid}" in said
        assert first.wait() == 0
    assert f"nothing to do: the plan of {tomorrow} stands" in nba(
        "--project", shop, "run", "--as-of", tomorrow
    )
