"""Files of the plan's day that are old, cut off or gone: answers say less, or 503, never 500."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from tests.serving.conftest import DAY

from nba.errors import UnavailableError
from nba.features import VIEWS
from nba.serving.cards import ProjectCards
from nba.stores.customers import CustomerRows
from nba.stores.snapshots import Snapshots

Client = Callable[..., TestClient]
NIGHT = datetime(DAY.year, DAY.month, DAY.day)


class Rows:
    """The day's features from their files; nothing else is known."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def dimension(self, view: str, day: date) -> dict[str, dict[str, Any]]:
        rows = self._snapshots.read_served(VIEWS[view], datetime(day.year, day.month, day.day))
        return {row[f"{view}_id"]: row for row in rows.iter_rows(named=True)}

    def identities(self, customer_ids: Sequence[str], day: date | None) -> dict[str, Any]:
        return {}

    def product_pages(self, product_ids: Sequence[str]) -> dict[str, Any]:
        return {}

    def offers(self, offer_ids: Sequence[str]) -> dict[str, Any]:
        return {}


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    found = Snapshots(tmp_path)
    ids: dict[str, dict[str, str | None]] = {
        "clerk": {"clerk_id": "k1", "store_id": "s1", "name": "Ann"},
        "store": {"store_id": "s1", "timezone": "Asia/Tokyo"},
        "product": {"product_id": "05"},
    }
    for view, row in ids.items():
        columns = {name: row.get(name) for name in VIEWS[view].columns}
        part(found, view).parent.mkdir(parents=True)
        pl.DataFrame([columns]).write_parquet(part(found, view))
    return found


def part(snapshots: Snapshots, view: str) -> Path:
    return snapshots.folder(view, NIGHT) / "part-0.parquet"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.fixture
def admin(client: Client, snapshots: Snapshots) -> TestClient:
    rows: Any = Rows(snapshots)
    return client("admin", cards=ProjectCards(rows, lambda: DAY, time_zone="Asia/Shanghai"))


def clerk(admin: TestClient) -> Any:
    answer = admin.get("/v1/clerks")
    assert answer.status_code == 200
    return answer.json()["clerks"][0]


def test_whole_files_say_all(admin: TestClient) -> None:
    assert (clerk(admin)["name"], clerk(admin)["timezone"]) == ("Ann", "Asia/Tokyo")


def test_a_column_learned_since_is_empty(admin: TestClient, snapshots: Snapshots) -> None:
    for view, column in (("store", "timezone"), ("clerk", "name")):
        path = part(snapshots, view)
        pl.read_parquet(path).drop(column).write_parquet(path)
    assert (clerk(admin)["name"], clerk(admin)["timezone"]) == (None, None)


@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_without_stores_clerks_have_the_projects_zone(
    admin: TestClient, snapshots: Snapshots, damage: Callable[[Path], None]
) -> None:
    damage(part(snapshots, "store"))
    assert clerk(admin)["timezone"] is None


@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_without_clerks_lists_are_served_and_who_asks_for_clerks_is_told(
    admin: TestClient, snapshots: Snapshots, damage: Callable[[Path], None]
) -> None:
    kept = part(snapshots, "clerk").read_bytes()
    damage(part(snapshots, "clerk"))
    refused = admin.get("/v1/clerks")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert "nba run" in refused.json()["next_step"]
    assert refused.headers["retry-after"]
    assert admin.get("/v1/clerks/k1/actions").status_code == 200
    part(snapshots, "clerk").write_bytes(kept)  # the next night mends it without a restart
    assert clerk(admin)["name"] == "Ann"


def test_what_it_raises_names_the_view(snapshots: Snapshots) -> None:
    cut(part(snapshots, "product"))
    with pytest.raises(UnavailableError, match="cannot be read") as error:
        snapshots.read_served(VIEWS["product"], NIGHT)
    assert "product" in error.value.expected


def test_a_score_file_that_is_cut_off_or_of_another_shape_leaves_the_card_without(
    tmp_path: Path,
) -> None:
    nowhere: Any = None
    rows = CustomerRows(nowhere, nowhere, tmp_path)
    path = tmp_path / DAY.isoformat() / "scores" / "timing.parquet"
    path.parent.mkdir(parents=True)
    pl.DataFrame({"customer_id": ["c1"], "p_purchase_30d": [0.5]}).write_parquet(path)
    assert rows.scores("timing", "c1", DAY)[0]["p_purchase_30d"] == 0.5
    pl.DataFrame({"who": ["c1"]}).write_parquet(path)
    assert rows.scores("timing", "c1", DAY) == []
    cut(path)
    assert rows.scores("timing", "c1", DAY) == []


def test_who_asks_for_a_book_whose_files_are_cut_off_is_told(snapshots: Snapshots) -> None:
    features: Any = SimpleNamespace(snapshots=snapshots)
    nowhere: Any = None
    rows = CustomerRows(nowhere, features, Path())
    path = part(snapshots, "customer_state")
    path.parent.mkdir(parents=True)
    state = {"customer_id": ["c1"], "clerk_id": ["k1"], "is_friend": [True], "is_blocked": [False]}
    pl.DataFrame(state).write_parquet(path)
    assert [row["customer_id"] for row in rows.book("k1", DAY)] == ["c1"]
    cut(path)
    with pytest.raises(UnavailableError, match="cannot be read"):
        rows.book("k1", DAY)
