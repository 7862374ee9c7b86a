"""The feature store: builds once, joins point-in-time through Feast, serves what it built."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from experiments.features_online.run import answers_online, bench_online, questions
from nba.data.erasure import Leaving
from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.tables import load_tables
from nba.errors import ConflictError, NotFoundError, UsageError
from nba.features import VIEWS
from nba.stores.feature_store import FeastFeatureStore
from nba.stores.online_packed import PackedStore

FIRST, SECOND = datetime(2025, 9, 1), datetime(2025, 9, 2)


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    repository: Path,
    make_tables: Callable[..., Any],
    load_into: Callable[..., Any],
) -> FeastFeatureStore:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(repository / "features", root / "features")
    arrow = make_tables(3)
    store = FeastFeatureStore(
        root / "data",
        root / "features",
        lambda as_of, connection: load_into(connection, arrow),
        clock=lambda: datetime(2025, 9, 3, tzinfo=UTC),
    )
    store.build(FIRST)
    store.build(SECOND)
    return store


@pytest.fixture
def store(made: FeastFeatureStore) -> Iterator[FeastFeatureStore]:
    yield made
    made.online_store.close()


def test_building_again_does_nothing(store: FeastFeatureStore) -> None:
    before = store.snapshots.manifest(FIRST)
    again = store.build(FIRST)
    assert again["built"] is False
    assert store.snapshots.manifest(FIRST) == before


def test_a_forced_build_gives_the_same_digest(store: FeastFeatureStore) -> None:
    before = store.snapshots.manifest(FIRST)
    assert before is not None
    again = store.build(FIRST, force=True)
    assert {n: v["digest"] for n, v in again["views"].items()} == {
        n: v["digest"] for n, v in before["views"].items()
    }


def test_other_input_is_refused_without_force(store: FeastFeatureStore) -> None:
    store._input_version = lambda: "other"
    try:
        with pytest.raises(ConflictError, match="--force"):
            store.build(FIRST)
    finally:
        store._input_version = lambda: ""


def test_an_unknown_snapshot_says_what_there_is(store: FeastFeatureStore) -> None:
    with pytest.raises(NotFoundError, match="2025-09-01"):
        store.snapshot("product", datetime(2024, 1, 1))


@pytest.mark.parametrize("name", VIEWS)
def test_historical_is_the_snapshot_of_the_moment(store: FeastFeatureStore, name: str) -> None:
    view = VIEWS[name]
    frames = []
    for moment in (SECOND, FIRST):
        snapshot = store.snapshot(name, moment)
        stamp = pl.lit(moment).cast(pl.Datetime("us")).alias("event_timestamp")
        frames.append(snapshot.with_columns(stamp))
    expected = pl.concat(frames).sample(fraction=1.0, shuffle=True, seed=1)
    found = store.historical(name, expected.select(*view.entity_keys, "event_timestamp"))
    assert_frame_equal(found.select(expected.columns), expected)


def test_historical_never_reads_a_later_or_too_old_snapshot(store: FeastFeatureStore) -> None:
    customer = store.snapshot("customer_behaviour", FIRST)["customer_id"][0]
    asked = pl.DataFrame(
        {
            "customer_id": [customer] * 3,
            "event_timestamp": [FIRST - timedelta(seconds=1), FIRST, SECOND + timedelta(days=9)],
        }
    )
    found = store.historical("customer_behaviour", asked)["days_since_purchase"]
    assert found.is_null().to_list() == [True, False, True]


def test_a_service_joins_several_views(store: FeastFeatureStore) -> None:
    keys = store.snapshot("customer_state", FIRST).select("customer_id")
    asked = keys.with_columns(pl.lit(FIRST).cast(pl.Datetime("us")).alias("event_timestamp"))
    found = store.historical("eligibility", asked)
    assert found["is_friend"].null_count() == 0
    assert found.columns[:2] == ["customer_id", "event_timestamp"]


def test_an_unknown_service_suggests_the_nearest(store: FeastFeatureStore) -> None:
    with pytest.raises(UsageError, match="timing"):
        store.online("timming", pl.DataFrame({"customer_id": ["c1"]}))


def test_ids_that_are_not_text_are_refused(store: FeastFeatureStore) -> None:
    with pytest.raises(UsageError, match="text"):
        store.online("customer_behaviour", pl.DataFrame({"customer_id": [5]}))


@pytest.mark.parametrize("name", VIEWS)
def test_online_equals_offline(store: FeastFeatureStore, name: str) -> None:
    store.materialise(SECOND)
    expected = store.snapshot(name, SECOND)
    found = store.online(name, expected.select(VIEWS[name].entity_keys))
    assert_frame_equal(found, expected, check_exact=True)


def test_all_rows_of_a_customer_come_back(store: FeastFeatureStore) -> None:
    store.materialise(SECOND)
    expected = store.snapshot("customer_product", SECOND).filter(pl.col("customer_id") == "c1")
    assert_frame_equal(store.online_rows("customer_product", ["c1"]), expected)


def test_a_backfill_never_sets_the_online_store_back(store: FeastFeatureStore) -> None:
    assert all(store.materialise(SECOND).values())
    assert not any(store.materialise(FIRST).values())
    expected = store.snapshot("customer_behaviour", SECOND)
    keys = expected.select("customer_id")
    assert_frame_equal(store.online("customer_behaviour", keys), expected)


def test_a_pushed_row_is_served_and_survives_an_older_snapshot(store: FeastFeatureStore) -> None:
    store.materialise(SECOND)
    row = store.snapshot("customer_behaviour", SECOND).head(1)
    fresh = row.with_columns(days_since_purchase=pl.lit(0.0))
    store.push("customer_behaviour", fresh, moment=SECOND + timedelta(hours=9))
    store.materialise(SECOND)
    assert_frame_equal(store.online("customer_behaviour", row.select("customer_id")), fresh)
    store.push("customer_behaviour", row, moment=SECOND + timedelta(hours=1))
    assert_frame_equal(store.online("customer_behaviour", row.select("customer_id")), fresh)


def test_a_value_past_its_time_to_live_is_not_served(store: FeastFeatureStore) -> None:
    store.materialise(SECOND)
    keys = store.snapshot("customer_behaviour", SECOND).select("customer_id").tail(1)
    late = SECOND + timedelta(days=VIEWS["customer_behaviour"].ttl_days, seconds=1)
    assert store.online("customer_behaviour", keys, now=SECOND)["orders"].null_count() == 0
    assert store.online("customer_behaviour", keys, now=late)["orders"].null_count() == 1


def test_show_gives_every_row_of_a_customer(store: FeastFeatureStore) -> None:
    found = store.show("c1", FIRST)
    assert found["customer_behaviour"].height == 1
    assert set(found["customer_product"]["customer_id"]) == {"c1"}
    with pytest.raises(NotFoundError, match="'nobody'"):
        store.show("nobody", FIRST)


def test_diff_of_a_snapshot_with_itself_passes(store: FeastFeatureStore) -> None:
    assert all(check.passed for check in store.diff(FIRST, FIRST))
    assert {check.what for check in store.diff(FIRST, SECOND)} == {
        "rows", "null_rate", "psi", "new_values",
    }  # fmt: skip


def test_one_entity_comes_as_plain_values(store: FeastFeatureStore) -> None:
    store.materialise(SECOND)
    state = store.snapshot("customer_state", SECOND)
    row = state.filter(pl.col("friend_since").is_not_null()).row(0, named=True)
    assert store.online_one("customer_state", customer_id=row["customer_id"]) == {
        name: row[name] for name in VIEWS["customer_state"].by_name
    }


def test_an_erased_customer_is_nowhere(store: FeastFeatureStore) -> None:
    store.materialise(SECOND)
    assert store.erase(Leaving.of(["c2"], {})).rows["c2"] > 0
    assert store.erase(Leaving.of(["c2"], {})).total == 0
    assert store.online_one("customer_behaviour", customer_id="c2")["orders"] is None
    for moment in (FIRST, SECOND):
        with pytest.raises(NotFoundError, match="'c2'"):
            store.show("c2", moment)
    manifest = store.snapshots.manifest(SECOND)
    assert manifest is not None
    behaviour = store.snapshot("customer_behaviour", SECOND)
    assert manifest["views"]["customer_behaviour"]["rows"] == behaviour.height


def test_the_history_of_tags_adds_up_to_what_stands(store: FeastFeatureStore) -> None:
    tags = store.snapshot("customer_tags", SECOND)
    customers = tags["customer_id"].unique().to_list()
    log = store.tag_history.read(customers).filter(pl.col("as_of") <= SECOND)
    signed = log.with_columns(n=pl.when(pl.col("change") == "set").then(1).otherwise(-1))
    standing = (
        signed.group_by("customer_id", "tag", "source", "value")
        .agg(pl.col("n").sum())
        .filter(pl.col("n") != 0)
    )
    assert standing["n"].unique().to_list() == [1]
    expected = tags.select("customer_id", "tag", "source", "value")
    assert_frame_equal(standing.drop("n"), expected, check_row_order=False)


def test_a_changed_tag_rule_is_another_definition(
    store: FeastFeatureStore, tmp_path: Path, repository: Path
) -> None:
    shutil.copytree(repository / "features", tmp_path / "features")
    path = tmp_path / "features" / "tags.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("items_per_order >= 10", "items_per_order >= 11"), "utf-8")
    other = FeastFeatureStore(store.data, tmp_path / "features", store._tables)
    with pytest.raises(ConflictError, match="definitions"):
        other.build(FIRST)


def test_online_equals_offline_at_random_moments(store: FeastFeatureStore) -> None:
    rng = np.random.default_rng(17)
    asked = {n: questions(store, v, [FIRST, SECOND], 30, rng) for n, v in store.views.items()}
    fresh = FeastFeatureStore(store.data, store.repository.folder, store._tables)
    fresh.online_store = PackedStore(store.data / "replayed.db")
    online = answers_online(fresh, asked, [FIRST, SECOND])
    for name, view in store.views.items():
        offline = store.historical(name, asked[name]).select(view.columns)
        assert_frame_equal(online[name], offline, check_exact=True)
        assert 0 < offline.drop(view.entity_keys)[:, 0].null_count() < 30 or view.entity_keys == (
            "store_id",
        )
    fresh.online_store.close()


@pytest.mark.proof
def test_online_equals_offline_for_a_thousand_questions_to_each_view() -> None:
    found = bench_online()
    assert found["unequal"] == 0
    assert found["largest_difference"] == 0


def test_a_rebuild_sees_late_and_corrected_rows_at_their_own_time(
    tmp_path: Path, repository: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    as_of = datetime(2026, 3, 10)
    store = FeastFeatureStore(
        tmp_path / "data",
        repository / "features",
        lambda at, connection: load_tables(
            lake, as_of=at, time_zone="Asia/Shanghai", connection=connection
        ),
        input_version=lambda: lake.version,
    )

    def load(day: int, *rows: str) -> None:
        folder = tmp_path / f"in{day}"
        folder.mkdir()
        header = "order_id,line_no,customer_id,product_id,ts,quantity,unit_price"
        (folder / "transactions.csv").write_text("\n".join([header, *rows]) + "\n")
        ingest(folder, lake, time_zone="Asia/Shanghai", now=datetime(2026, 3, day, tzinfo=UTC))

    def spent() -> list[float]:
        return store.snapshot("customer_behaviour", as_of)["spend_amount"].to_list()

    load(9, "o1,1,c1,p1,2026-03-01,1,10")
    store.build(as_of)
    assert spent() == [10.0]
    # Loaded two days after the moment: one line of before it, one corrected, one of after it.
    load(12, "o2,1,c1,p1,2026-03-05,1,7", "o1,1,c1,p1,2026-03-01,1,8", "o3,1,c1,p1,2026-03-11,1,99")
    assert spent() == [10.0]
    with pytest.raises(ConflictError, match="--force"):
        store.build(as_of)
    store.build(as_of, force=True)
    assert spent() == [15.0]
    # The same lines in another order of loads give the same snapshot.
    before = store.snapshots.manifest(as_of)
    load(13, "o2,1,c1,p1,2026-03-05,1,7", "o1,1,c1,p1,2026-03-01,1,8")
    assert store.build(as_of) == {**(before or {}), "built": False}
    # A training cut-off takes the lake as it is now, without being told.
    load(14, "o4,1,c1,p1,2026-03-06,1,1")
    store.ensure([as_of])
    assert spent() == [16.0]
    # What a training does not read is left out; what is asked for later is built then.
    earlier = as_of - timedelta(days=3)
    (built,) = store.ensure([earlier], views=["customer_behaviour", "customer_contact"])
    assert set(built["views"]) == {"customer_behaviour", "customer_contact", "customer_state"}
    assert store.ensure([earlier], views=["customer_behaviour"])[0]["built"] is False
    assert set(store.ensure([earlier])[0]["views"]) == set(store.views)
    # A training on newer input that needs less leaves nothing stale: erasure goes through.
    load(15, "o5,1,c1,p1,2026-03-02,1,3")
    store.ensure([earlier], views=["customer_behaviour"])
    assert not store.snapshots.folder("customer_category", earlier).exists()
    assert earlier not in store.snapshots.moments_of("customer_category")
    assert store.erase(Leaving.of(["c1"], {})).total > 0


def test_a_refreshed_customer_is_served_as_a_new_snapshot_would(
    store: FeastFeatureStore, make_tables: Callable[..., Any], to_duckdb: Callable[..., Any]
) -> None:
    store.materialise(SECOND)
    now = SECOND + timedelta(days=1, hours=10)
    known = store.snapshot("customer_state", SECOND)["customer_id"][0]
    assert not store.is_refreshed(known)
    store.refresh({}, ["c5", "c9", known], now=now)
    assert store.is_refreshed(known)
    tables = to_duckdb(make_tables(3))
    for name in ("customer_behaviour", "customer_product", "customer_tags"):
        view = store.views[name]
        whole = view.build(tables, now).to_polars().sort(view.entity_keys)
        for customer in ("c5", "c9"):
            expected = whole.filter(pl.col("customer_id") == customer)
            assert_frame_equal(store.online_rows(name, [customer]), expected)
    untouched = store.online_rows("customer_product", ["c4"])
    assert_frame_equal(untouched, store.show("c4", SECOND)["customer_product"])
