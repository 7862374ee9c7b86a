"""A project whose chat platform is played on the loopback address."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nba.connect.chat.played import CORP_ID, SECRET, PlayedWeCom, served
from nba.connect.chat.session import Session
from nba.connect.chat.sync import Synced, sync
from nba.connect.chat.wecom import WeCom
from nba.data.ingest import ingest
from nba.jobs.init import init_project
from nba.settings import Project
from nba.wiring import Wiring

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Shop:
    """A project and the platform that it talks to."""

    wiring: Wiring
    played: PlayedWeCom
    platform: WeCom
    clock: Clock

    def sync(self, *, full: bool = True) -> Synced:
        return sync(self.wiring, self.platform, full=full, now=self.clock.now)

    def lake(self, table: str) -> pl.DataFrame:
        return self.wiring.lake.polars(table)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def played(clock: Clock) -> PlayedWeCom:
    return PlayedWeCom(clock=clock)


@pytest.fixture
def platform(played: PlayedWeCom) -> Iterator[WeCom]:
    with served(played) as url:
        yield WeCom(Session(url, CORP_ID, SECRET, pause=lambda seconds: None))


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat") / "shop"
    init_project(folder, {})
    wiring = Wiring(Project.open(folder))
    tables = folder / "tables"
    tables.mkdir()
    (tables / "transactions.csv").write_text(
        "order_id,line_no,customer_id,product_id,ts,quantity,unit_price\n"
        "O1,1,C1,P1,2026-02-01T10:00:00,1,99\n"
        "O2,1,C2,P1,2026-02-02T10:00:00,1,99\n"
    )
    (tables / "customers.csv").write_text(
        "customer_id,name,city,clerk_id,external_id\nC1,王丽,上海,K1,wm1\nC2,李雷,北京,K1,\n"
    )
    (tables / "clerks.csv").write_text("clerk_id,name,external_id\nK1,小美,xiaomei\nK2,小张,\n")
    ingest(tables, wiring.lake, time_zone="Asia/Shanghai", now=NOW - timedelta(days=20))
    wiring.plan_store.close()
    return folder


@pytest.fixture
def shop(
    empty_project: Path, tmp_path: Path, played: PlayedWeCom, platform: WeCom, clock: Clock
) -> Iterator[Shop]:
    folder = tmp_path / "shop"
    shutil.copytree(empty_project, folder)
    wiring = Wiring(Project.open(folder))
    wiring.plan_store._clock = clock
    yield Shop(wiring, played, platform, clock)
    wiring.plan_store.close()
