"""A small world, played once and copied by who changes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from nba.simulation import World, WorldConfig, simulate
from nba.simulation.observed import ObservedTables

CONFIG = WorldConfig(customers=600, clerks=6, stores=2, days=120, pilot_days=40, seed=3)


@dataclass(frozen=True)
class Played:
    """A world at the end of its history, with what a retailer saw."""

    world: World
    folder: Path
    truth: Path

    def tables(self) -> dict[str, pl.DataFrame]:
        return {path.stem: pl.read_parquet(path) for path in sorted(self.folder.glob("*.parquet"))}

    def observed(self) -> ObservedTables:
        observed = ObservedTables(self.world.config.time_zone)
        observed.add(self.tables())
        return observed


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("world")
    world = simulate(CONFIG, folder / "shop")
    return Played(world, folder / "shop", folder / "shop_truth")
