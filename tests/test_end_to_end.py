"""Tables in, ranked list out over HTTP, feedback in, next plan changed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from polars.testing import assert_frame_equal
from tests.command import nba, nba_apart

from nba.jobs.outbox import drain_outbox
from nba.pipeline.fresh import VIEWS as FRESH_VIEWS
from nba.pipeline.kept import kept_inputs, kept_plan
from nba.pipeline.rescore import Rescorer
from nba.serving import Access, create_app
from nba.serving.live import LiveRescoring
from nba.serving.run import services_of
from nba.settings import Project
from nba.simulation import WorldConfig, simulate
from nba.stores.access import Scope
from nba.wiring import Wiring

START, DAYS = date(2025, 3, 1), 150
DAY = START + timedelta(days=DAYS)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a plan for DAY, made through the command line alone."""
    folder = tmp_path_factory.mktemp("shop")
    config = WorldConfig(customers=500, clerks=4, stores=2, start=START, days=DAYS, seed=11)
    simulate(config, folder / "tables", folder / "truth")
    project = folder / "project"
    nba("init", project)
    # a night before any table would leave champions that learned nothing
    assert "no customer is known" in nba("--project", project, "run", "--as-of", DAY, code=1)
    nba_apart("--project", project, "ingest", folder / "tables")
    printed = nba_apart("--project", project, "run", "--as-of", DAY)
    assert all(step in printed for step in ("features", "train", "score", "plan", "publish"))
    return project


@pytest.fixture
def client(shop: Path) -> TestClient:
    """Return a client of the project's service."""
    wiring = Wiring(Project.open(shop))
    app = create_app(services_of(wiring, Access.OPEN))
    return TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1))


def lists(client: TestClient, clerk_ids: list[str]) -> list[dict[str, Any]]:
    """Return the actions of all clerks."""
    found: list[dict[str, Any]] = []
    for clerk_id in clerk_ids:
        answer = client.get(f"/v1/clerks/{clerk_id}/actions", params={"limit": 100})
        assert answer.status_code == 200, answer.text
        found += answer.json()["actions"]
    return found


def clerks(shop: Path) -> list[str]:
    """Return the ids of all clerks."""
    lake = Wiring(Project.open(shop)).lake
    return sorted(lake.polars("clerks")["clerk_id"].to_list())


def test_running_again_does_nothing_and_says_so(shop: Path) -> None:
    assert "nothing to do" in nba("--project", shop, "run", "--as-of", DAY)


def test_cards_of_whoever_a_list_names_are_laid_ready_to_the_byte(shop: Path) -> None:
    wiring = Wiring(Project.open(shop))
    services = services_of(wiring, Access.KEYS)
    headers = {"Authorization": f"Bearer {wiring.plan_store.create_key(Scope.ADMIN).token}"}
    anew = TestClient(create_app(replace(services, definitions="others")), headers=headers)
    as_laid = TestClient(create_app(services), headers=headers)
    made: list[str] = []
    card = services.cards.card
    ids = services.store.listed_customers(DAY)
    expected = [anew.get(f"/v1/customers/{one}") for one in ids]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services.cards, "card", lambda one: made.append(one) or card(one))
        found = [as_laid.get(f"/v1/customers/{one}") for one in ids]
    assert [one.content for one in found] == [one.content for one in expected]
    assert [one.headers["etag"] for one in found] == [one.headers["etag"] for one in expected]
    assert ids
    assert made == []


def test_the_export_keeps_the_promises(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "actions.csv"
    nba("--project", shop, "actions", "export", "--as-of", DAY, "--out", out)
    with out.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    listed = [row for row in rows if row["mode"] != "none"]
    assert listed
    assert len({row["customer_id"] for row in rows}) == len(rows)
    assert {row["arm"] for row in rows if row["mode"] == "none"} <= {"holdout"}
    assert all(0 < float(row["propensity"]) <= 1 for row in listed)
    assert all(len(json.loads(row["reasons"])) >= 3 for row in listed)
    lake = Wiring(Project.open(shop)).lake
    minutes = dict(lake.polars("clerks").select("clerk_id", "minutes_per_day").iter_rows())
    for clerk_id, budget in minutes.items():
        used = sum(float(row["minutes"]) for row in listed if row["clerk_id"] == clerk_id)
        assert used <= budget


def test_posts_and_the_days_ahead_are_shown_and_written(shop: Path, tmp_path: Path) -> None:
    posts, ahead = tmp_path / "posts.csv", tmp_path / "ahead.parquet"
    assert "posts" in nba("--project", shop, "actions", "posts", "--as-of", DAY)
    assert "顾客数" in nba(
        "--project", shop, "actions", "outlook", "--as-of", DAY, "--locale", "zh"
    )
    nba("--project", shop, "actions", "posts", "--as-of", DAY, "--out", posts)
    nba("--project", shop, "actions", "outlook", "--as-of", DAY, "--out", ahead)
    with posts.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len({(row["audience"], row["customer_id"]) for row in rows}) == len(rows)
    days = pl.read_parquet(ahead)["best_day"].drop_nulls()
    assert days.min() >= DAY
    assert days.max() < DAY + timedelta(days=7)


def test_the_decision_log_has_a_vector_for_every_eligible_customer(shop: Path) -> None:
    log = pl.read_parquet(shop / "data" / "runs" / str(DAY) / "plan" / "log.parquet")
    assert log["customer_id"].is_unique().all()
    totals = log.select(
        pl.col("alternatives").list.eval(pl.element().struct.field("probability")).list.sum()
    ).to_series()
    assert ((totals - 1).abs() < 1e-9).all()
    modes = log["alternatives"].list.eval(pl.element().struct.field("mode"))
    assert modes.list.contains("none").all()


def test_a_preview_says_what_changed_files_would_change_and_leaves_no_trace(
    shop: Path, client: TestClient
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (shop / "data" / "runs").rglob("*.*")}
    same = client.post("/v1/plans/preview", json={}).json()["difference"]
    assert (same["added"], same["removed"], same["changed"]) == (0, 0, 0)
    kinds = {action["action_type"] for action in lists(client, clerks(shop))}
    levers = {"actions": dict.fromkeys(sorted(kinds), -100.0)}
    answer = client.post("/v1/plans/preview", json={"levers": levers})
    assert answer.status_code == 200, answer.text
    difference = answer.json()["difference"]
    assert difference["added"] + difference["removed"] + difference["changed"] > 0
    assert difference["value_after"] < difference["value_before"]
    wrong = client.post("/v1/plans/preview", json={"levers": {"weather": 1}})
    assert wrong.status_code == 422
    assert "levers.yaml:1: weather" in wrong.json()["found"]
    after = {path: path.stat().st_mtime_ns for path in (shop / "data" / "runs").rglob("*.*")}
    assert after == before


def test_anybody_in_the_book_is_rescored_as_the_night_valued_them(shop: Path) -> None:
    wiring = Wiring(Project.open(shop))
    services = services_of(wiring, Access.OPEN)
    assert isinstance(services.live, LiveRescoring)
    services.live.wait()
    app = create_app(services)
    client = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1))
    night = wiring.run(datetime(DAY.year, DAY.month, DAY.day))
    plan = kept_plan(night)
    profiled = kept_inputs(night)["customer_state"].filter(pl.col("consent_profiling"))
    planned = plan.log.filter(pl.col("arm") == "engine").join(
        profiled.select("customer_id"), on="customer_id", how="semi"
    )
    listed = plan.actions["customer_id"].to_list()
    unlisted = planned.filter(~pl.col("customer_id").is_in(listed) & pl.col("closed").is_null())
    values = (
        unlisted.select("customer_id", "alternatives")
        .explode("alternatives")
        .unnest("alternatives")
        .filter((pl.col("mode") != "none") & (pl.col("value") > 0))
    )
    chosen = values["customer_id"].unique().sort().head(5).to_list()
    assert chosen
    for customer_id in chosen:
        answer = client.get(f"/v1/customers/{customer_id}/actions").json()
        assert answer["rescored"] is True
        found = {action["action_type"]: action["value"] for action in answer["actions"]}
        mine = values.filter(pl.col("customer_id") == customer_id)
        assert found == pytest.approx(dict(mine.select("action_type", "value").iter_rows()))
        assert all(action["rank"] is None for action in answer["actions"])
    held_out = plan.log.filter(pl.col("arm") == "holdout", pl.col("mode") == "none")["customer_id"][
        0
    ]
    assert client.get(f"/v1/customers/{held_out}/actions").json()["actions"] == []


def test_who_is_read_alone_is_rescored_as_among_everybody(shop: Path) -> None:
    night = Wiring(Project.open(shop)).run(datetime(DAY.year, DAY.month, DAY.day))
    state = kept_inputs(night)["customer_state"].sort("consent_profiling", "customer_id")
    few = pl.concat([state.head(20), state.tail(20)]).select("customer_id")
    ids = few["customer_id"].to_list()
    assert not state["consent_profiling"][0]
    alone, whole = Rescorer.of(night, few), Rescorer.of(night)
    assert alone.book.averages == whole.book.averages
    assert alone.inputs["mode"]["customer_state"].height == len(ids)
    found, expected = (pl.concat(one.as_the_night(ids).values()) for one in (alone, whole))
    assert expected.height
    assert_frame_equal(found, expected)


def test_a_purchase_changes_card_and_next_actions_as_the_next_night_will(shop: Path) -> None:
    wiring = Wiring(Project.open(shop))
    services = services_of(wiring, Access.OPEN)
    assert isinstance(services.live, LiveRescoring)
    services.live.wait()
    app = create_app(services)
    client = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1))
    store, night = wiring.feature_store, datetime(DAY.year, DAY.month, DAY.day)
    behaviour = store.snapshot("customer_behaviour", night)
    late = behaviour.filter(pl.col("days_since_purchase") > 20).select("customer_id")
    profiled = kept_inputs(wiring.run(night))["customer_state"].filter(pl.col("consent_profiling"))
    listed = kept_plan(wiring.run(night)).actions.filter(pl.col("arm") == "engine")
    known = listed.join(late, on="customer_id", how="semi").join(
        profiled.select("customer_id"), on="customer_id", how="semi"
    )
    customer_id = known["customer_id"].sort()[-1]
    product_id = store.snapshot("product", night)["product_id"][0]

    def card() -> Any:
        return client.get(f"/v1/customers/{customer_id}").json()

    before, was = card(), client.get(f"/v1/customers/{customer_id}/actions").json()
    now = (services.clock() - timedelta(minutes=1)).isoformat()
    line = {"order_id": "fresh-1", "line_no": "1", "customer_id": customer_id, "ts": now}
    sale = {**line, "product_id": product_id, "quantity": 2, "unit_price": 30.0}
    tag = client.put(f"/v1/customers/{customer_id}/tags/vip", json={})
    assert tag.status_code in (200, 201)
    assert client.post("/v1/events", json={"transactions": [sale]}).json()["accepted"] == 1
    refresher = app.state.refresher
    while refresher.once():
        pass
    after = card()
    assert before["behaviour"]["days_since_purchase"] > 20
    assert after["behaviour"]["days_since_purchase"] < 1
    assert after["behaviour"]["purchase_days"] == before["behaviour"]["purchase_days"] + 1
    answer = client.get(f"/v1/customers/{customer_id}/actions").json()
    assert answer["rescored"] is True
    assert was["actions"]
    assert answer["actions"] != was["actions"]
    # a night that stood in this moment says the same of the customer, in every view
    served = wiring.feature_store.online_moment(customer_id)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=served)
    moment = moment.astimezone(services.zone)
    drain_outbox(wiring)
    tables = wiring.tables.at(moment.replace(tzinfo=None))
    for view in FRESH_VIEWS:
        built = store.views[view].build(tables, moment.replace(tzinfo=None))
        mine = wiring.tables.collect(built.filter(built.customer_id == customer_id))
        online = store.online_rows(view, [customer_id])
        keys = list(store.views[view].entity_keys)
        assert_frame_equal(online, mine.sort(keys), abs_tol=1e-9, check_dtypes=False)


def test_feedback_and_a_block_change_the_next_plan(shop: Path, client: TestClient) -> None:
    before = lists(client, clerks(shop))
    sent, blocked = before[0], before[1]
    now = datetime(DAY.year, DAY.month, DAY.day, 11).isoformat() + "+08:00"
    answer = client.post(
        f"/v1/actions/{sent['action_id']}/feedback",
        json={"feedback_id": "f-1", "clerk_id": sent["clerk_id"], "kind": "sent", "ts": now},
    )
    assert answer.status_code in (200, 201), answer.text
    event = {
        "response_id": "r-1",
        "customer_id": blocked["customer_id"],
        "ts": now,
        "kind": "blocked",
    }
    answer = client.post("/v1/events", json={"responses": [event]})
    assert answer.status_code in (200, 202, 207), answer.text
    now_listed = {action["customer_id"] for action in lists(client, clerks(shop))}
    assert blocked["customer_id"] not in now_listed

    tomorrow = DAY + timedelta(days=1)
    nba("--project", shop, "run", "--as-of", tomorrow)
    lake = Wiring(Project.open(shop)).lake
    contacts = lake.polars("interactions").filter(pl.col("action_id") == sent["action_id"])
    assert contacts["customer_id"].to_list() == [sent["customer_id"]]
    log = pl.read_parquet(shop / "data" / "runs" / str(tomorrow) / "plan" / "log.parquet")
    assert blocked["customer_id"] not in log["customer_id"].to_list()
    actions = pl.read_parquet(shop / "data" / "runs" / str(tomorrow) / "plan" / "actions.parquet")
    again = actions.filter(pl.col("mode") != "none")["customer_id"].to_list()
    assert sent["customer_id"] not in again


def test_what_came_in_since_waits_for_the_next_plan(shop: Path, tmp_path: Path) -> None:
    day = DAY + timedelta(days=2)
    nba("--project", shop, "run", "--as-of", day)
    late = "order_id,customer_id,product_id,ts,quantity\nlate,nobody,nothing,2025-06-01,1\n"
    (tmp_path / "transactions.csv").write_text(late)
    nba("--project", shop, "ingest", tmp_path)
    second = nba("--project", shop, "run", "--as-of", day)
    assert "waits for the next plan" in second
    assert "--force" in second
    nba("--project", shop, "run", "--as-of", day, "--force")


def test_usage_and_configuration_errors_have_their_codes(shop: Path, tmp_path: Path) -> None:
    assert "YYYY-MM-DD" in nba("--project", shop, "run", "--as-of", "soon", code=2)
    assert "nba init" in nba("--project", tmp_path, "run", code=78)
    assert "is a project already" in nba("init", shop, code=1)
    assert "no plan of" in nba(
        "--project", shop, "actions", "export", "--as-of", "1999-01-01", "--out", "x.csv", code=1
    )
