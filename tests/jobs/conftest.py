"""A project with a plan, made through the command line; and how tests call that."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from nba.settings import Project
from nba.simulation import WorldConfig, simulate
from nba.wiring import Wiring

START, DAYS = date(2025, 3, 1), 120
DAY = START + timedelta(days=DAYS)


def nba(*arguments: str | Path | date, code: int = 0, **environment: str) -> str:
    """Run the command line and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "nba", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a plan for DAY; tests work on copies."""
    folder = tmp_path_factory.mktemp("nights")
    config = WorldConfig(customers=150, clerks=3, stores=2, start=START, days=DAYS, seed=7)
    simulate(config, folder / "tables", folder / "truth")
    nba("init", folder / "project")
    nba("--project", folder / "project", "ingest", folder / "tables")
    said = nba("--project", folder / "project", "run", "--as-of", DAY)
    (folder / "said.txt").write_text(said, encoding="utf-8")
    return folder / "project"


def wiring(shop: Path) -> Wiring:
    return Wiring(Project.open(shop))
