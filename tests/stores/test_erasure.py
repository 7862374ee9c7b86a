"""Customers who were erased stand nowhere: files, Parquet, both databases; and stay out."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient
from polars.testing import assert_frame_equal
from sqlalchemy import text
from tests.stores.conftest import create_database

from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.nightly import run_nightly
from nba.jobs.privacy import erase_customer, search, search_lines
from nba.jobs.progress import silent
from nba.pipeline.replay import replay_action
from nba.schema.tables import TABLES
from nba.schema.words import FeedbackKind, TagSource
from nba.serving import Access, create_app
from nba.serving.run import services_of
from nba.settings import Project
from nba.simulation import WorldConfig, simulate
from nba.stores.feedback import Feedback
from nba.stores.people import Consent, Tag
from nba.wiring import Wiring

START, DAYS = date(2025, 3, 1), 60
DAY = datetime(2025, 4, 30)
NOW = datetime(2025, 4, 30, 2, tzinfo=UTC)
CUSTOMERS = 5
LAKE = ("customers", "transactions", "interactions", "friendships", "memberships")


class Shop:
    """A project with a plan, customers to be erased, and a count of the bytes of their ids."""

    def __init__(self, root: Path, tables: Path, url: str) -> None:
        self.root, self.tables, self.url = root, tables, url
        init_project(root, {"operational_url": url} if url else {})
        ingest_folder(self.wiring, tables)
        run_nightly(self.wiring, DAY, progress=silent)

    @cached_property
    def wiring(self) -> Wiring:
        return Wiring(Project.open(self.root))

    def bytes_of(self, customer_id: str) -> int:
        """Count the id in everything that is kept."""
        return self.bytes_of_each([customer_id])[customer_id]

    def bytes_of_each(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """Count ids in every file, also as stored in Parquet and archives, and in databases."""
        found = dict.fromkeys(customer_ids, 0)
        for content in self._contents():
            for one in customer_ids:
                found[one] += content.count(one.encode())
        return found

    def _contents(self) -> Iterator[bytes]:
        for path in self.root.rglob("*"):
            if not path.is_file():
                continue
            yield path.read_bytes()
            if path.suffix == ".parquet":
                yield pl.read_parquet(path, hive_partitioning=False).write_json().encode()
            if path.suffix == ".npz":
                with zipfile.ZipFile(path) as archive:
                    yield from (archive.read(name) for name in archive.namelist())
        if self.url:
            with self.wiring.plan_store.database.reading() as connection:
                names = connection.scalars(
                    text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                ).all()
                for name in names:
                    rows = connection.execute(text(f'SELECT t::text FROM "{name}" AS t')).all()
                    yield str(rows).encode()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    config = WorldConfig(customers=90, clerks=2, stores=1, start=START, days=DAYS, seed=11)
    simulate(config, folder / "tables", folder / "truth")
    return folder / "tables"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.requires("postgres"))])
def shop(request: pytest.FixtureRequest, tables: Path, tmp_path: Path) -> Iterator[Shop]:
    url = ""
    if request.param == "postgres":
        url = create_database(request.getfixturevalue("postgres_url"))
    made = Shop(tmp_path / "project", tables, url)
    yield made
    made.wiring.plan_store.close()


def live(wiring: Wiring, customer_ids: Sequence[str], actions: pl.DataFrame) -> None:
    """Let clerks and customers say something about each customer."""
    store = wiring.plan_store
    for number, one in enumerate(customer_ids):
        store.put_tag(one, Tag("likes_tea", None, TagSource.CLERK, NOW, None), author="clerk")
        store.put_consent(one, Consent(True, True, NOW), author="admin")
        with store.writing() as writer:
            answer = {"rows": [{"problem": {"found": one}}]}
            writer.remember("clerk", f"key-{number}", "d", answer)
    for row in actions.filter(pl.col("customer_id").is_in(customer_ids)).iter_rows(named=True):
        if row["mode"] != "none":
            store.record(
                [
                    Feedback(
                        f"f-{row['rank']}-{row['clerk_id']}",
                        row["action_id"],
                        row["clerk_id"],
                        NOW,
                        FeedbackKind.SENT,
                    )
                ]
            )


def rows_of_others(wiring: Wiring, gone: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return what lake and plan hold of everybody else."""
    tables = {name: wiring.lake.polars(name) for name in LAKE}
    folder = wiring.runs.of(DAY.date())
    tables |= {name: folder.read(f"plan/{name}") for name in ("actions", "log", "outlook")}
    tables |= {name: folder.read(f"scores/{name}") for name in ("timing", "affinity", "mode")}
    theirs = pl.col("customer_id").is_in(list(gone)) | pl.col("customer_id").str.starts_with(
        "erased:"
    )
    others = {name: table.filter(~theirs.fill_null(False)) for name, table in tables.items()}
    return others | {name: others[name].sort(TABLES[name].key) for name in LAKE}


def test_erased_customers_stand_nowhere_and_stay_out(shop: Shop) -> None:
    wiring = shop.wiring
    actions = wiring.runs.of(DAY.date()).read("plan/actions")
    listed = actions.filter(pl.col("mode") != "none")["customer_id"].to_list()
    buyers = wiring.lake.polars("transactions")["customer_id"].drop_nulls().unique().sort()
    gone = list(dict.fromkeys([*listed[:3], *buyers.to_list()]))[:CUSTOMERS]
    live(wiring, gone, actions)
    before = rows_of_others(wiring, gone)
    assert all(shop.bytes_of(one) > 5 for one in gone)
    propensities = wiring.runs.of(DAY.date()).read("plan/log")["propensity"].to_list()

    # the API takes some of them out of the operational store; the night does the rest
    client = TestClient(
        create_app(services_of(wiring, Access.OPEN)),
        base_url="http://localhost",
        client=("127.0.0.1", 1),
    )
    by_night, at_once = gone[:3], gone[3:]
    for one in by_night:
        receipt = client.delete(f"/v1/customers/{one}").json()
        assert receipt["completed_at"] is None
        assert client.delete(f"/v1/customers/{one}").json()["receipt_id"] == receipt["receipt_id"]
    for one in at_once:
        done = erase_customer(wiring, one, by="a letter")
        assert done.completed_at is not None
        assert done.requested_by == "a letter"
        assert done.counts["lake: rows"] > 0
        assert done.counts["features: rows"] > 0
        assert done.counts["plans and scores: files"] > 5
        assert shop.bytes_of(one) == 0

    run_nightly(shop.wiring, DAY + timedelta(days=1), progress=silent)
    assert {one: shop.bytes_of(one) for one in gone} == dict.fromkeys(gone, 0)
    assert shop.wiring.plan_store.pending_erasures() == {}
    for one in by_night:
        again = client.delete(f"/v1/customers/{one}").json()
        assert again["completed_at"] is not None
        assert again["counts"]["lake: rows"] > 0

    # what is said of the others stands as it stood, and every decision keeps its propensity
    for name, table in rows_of_others(shop.wiring, gone).items():
        assert_frame_equal(table, before[name])
    log = shop.wiring.runs.of(DAY.date()).read("plan/log")
    assert log["propensity"].to_list() == propensities

    # the old files bring nobody back, and the load says so
    version = shop.wiring.lake.version
    report = ingest_folder(shop.wiring, shop.tables)
    kept_out = {name: table.kept_out for name, table in report.tables.items()}
    assert kept_out["customers"] >= CUSTOMERS
    assert kept_out["transactions"] > 0
    assert any("kept out" in line for line in report.lines())
    assert shop.wiring.lake.version == version
    assert {one: shop.bytes_of(one) for one in gone} == dict.fromkeys(gone, 0)
    for one in gone:
        found = search(shop.wiring, one)
        assert found.kept == [], search_lines(found)

    # decisions about others are still recomputed
    others = actions.filter(~pl.col("customer_id").is_in(gone), pl.col("mode") != "none")
    for action_id in others["action_id"].to_list()[:2]:
        replayed = replay_action(shop.wiring, shop.wiring.settings, action_id)
        assert replayed.same or replayed.erased_beside > 0
    client.close()


@pytest.mark.proof
def test_fifty_random_customers(shop: Shop) -> None:
    wiring = shop.wiring
    actions = wiring.runs.of(DAY.date()).read("plan/actions")
    everybody = wiring.lake.polars("customers")["customer_id"].to_list()
    gone = random.Random(50).sample(everybody, 50)
    live(wiring, gone, actions)
    counted = {"before": shop.bytes_of_each(gone)}
    client = TestClient(
        create_app(services_of(wiring, Access.OPEN)),
        base_url="http://localhost",
        client=("127.0.0.1", 1),
    )
    for one in gone:
        assert client.delete(f"/v1/customers/{one}").status_code == 200
    client.close()
    counted["after the call"] = shop.bytes_of_each(gone)
    run_nightly(shop.wiring, DAY + timedelta(days=1), progress=silent)
    counted["after the next night"] = shop.bytes_of_each(gone)
    ingest_folder(shop.wiring, shop.tables)
    counted["after the old files were loaded again"] = shop.bytes_of_each(gone)
    for stage, found in counted.items():
        print(f"{'PostgreSQL' if shop.url else 'SQLite'}, {stage}: {sum(found.values()):,} times")
    assert all(counted["before"].values())
    for stage in ("after the next night", "after the old files were loaded again"):
        assert counted[stage] == dict.fromkeys(gone, 0)
    assert shop.wiring.plan_store.pending_erasures() == {}
