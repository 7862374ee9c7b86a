"""Small folders of tables, and a lake to load them into."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.mapping import Mapping
from nba.data.report import IngestReport

NOW = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)
LINES = """order_id,customer_id,product_id,ts,quantity,unit_price
o1,05,p1,2026-03-01 10:00:00,2,12.50
o1,05,p2,2026-03-01 10:00:00,1,3.00
o2,c2,p1,2026-04-02T09:30:00+08:00,1,12.50
o3,,p3,2026-04-03 18:00:00,-1,7.25
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


Load = Callable[..., IngestReport]


@pytest.fixture
def load(lake: Lake, folder: Path) -> Load:
    """Write `{file: text or bytes}` into a fresh folder and ingest it."""

    def run(
        files: dict[str, str | bytes],
        *,
        mapping: Mapping | str | None = None,
        now: datetime = NOW,
        check_only: bool = False,
        into: Lake | None = None,
        time_zone: str = "Asia/Shanghai",
        **said: str,
    ) -> IngestReport:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return ingest(
            folder,
            into or lake,
            mapping=mapping,
            time_zone=time_zone,
            now=now,
            check_only=check_only,
            **said,
        )

    return run


@pytest.fixture
def lines() -> str:
    return LINES


@pytest.fixture
def now() -> datetime:
    return NOW
