"""A project with a plan, made through the command line; and how tests call that."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.command import nba_apart

from nba.settings import Project
from nba.simulation import WorldConfig, simulate
from nba.wiring import Wiring

START, DAYS = date(2025, 3, 1), 120
DAY = START + timedelta(days=DAYS)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a plan for DAY; tests work on copies."""
    folder = tmp_path_factory.mktemp("nights")
    config = WorldConfig(customers=150, clerks=3, stores=2, start=START, days=DAYS, seed=7)
    simulate(config, folder / "tables", folder / "truth")
    nba_apart("init", folder / "project")
    nba_apart("--project", folder / "project", "ingest", folder / "tables")
    said = nba_apart("--project", folder / "project", "run", "--as-of", DAY)
    (folder / "said.txt").write_text(said, encoding="utf-8")
    return folder / "project"


def wiring(shop: Path) -> Wiring:
    return Wiring(Project.open(shop))
