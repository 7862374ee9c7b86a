"""Nights through the command line: nothing accepted stops one, and what is lost is made again."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, seed, settings
from tests.command import nba
from tests.jobs.conftest import DAY, wiring
from tests.jobs.test_alerts import Receiver

from nba.serving import Access, create_app
from nba.serving.run import services_of
from nba.stores.access import Scope
from nba.stores.outbox import Event


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop"))


def sale(order_id: str, **changes: Any) -> Event:
    row = {
        "order_id": order_id,
        "line_no": "1",
        "product_id": "p",
        "ts": datetime(2025, 6, 28, 12, tzinfo=UTC),
        "quantity": Decimal(1),
        "unit_price": Decimal(99),
    }
    return Event("transactions", row | changes)


def orders(shop: Path) -> set[str]:
    return set(wiring(shop).lake.polars("transactions")["order_id"].to_list())


def published(shop: Path) -> pl.DataFrame:
    return wiring(shop).plan_store.actions(DAY)


def test_a_first_night_says_which_model_it_fits_and_how_long_it_took(made: Path) -> None:
    said = (made.parent / "said.txt").read_text(encoding="utf-8")
    steps = wiring(made).run(datetime(DAY.year, DAY.month, DAY.day)).manifest.steps
    for number, (name, kind) in enumerate(
        {"timing": "hazard", "affinity": "two_stage", "mode": "contact_value"}.items(), 1
    ):
        assert f"train: {name} ({kind}), model {number} of 3: fits, no champion yet" in said
        assert f"train: {name}: took {steps['train']['fit_seconds'][name]:.0f} s" in said


def test_what_the_lake_refuses_is_set_aside_and_never_blocks_the_rest(shop: Path) -> None:
    store = wiring(shop).plan_store
    store.accept(
        [
            sale("good"),
            sale("barcode", quantity=Decimal(6901234567892)),
            sale("untypable", unit_price=Decimal(10) ** 40),
            sale("good too"),
        ]
    )
    store.close()
    said = nba("--project", shop, "run", "--as-of", DAY + timedelta(days=1))
    assert "refused=2" in said
    assert {"good", "good too"} <= orders(shop)
    assert not {"barcode", "untypable"} & orders(shop)
    rows = [json.loads(line) for line in nba("--project", shop, "outbox", "show").splitlines()]
    reasons = {row["row"]["order_id"]: row["refusal"]["reason"] for row in rows}
    assert set(reasons) == {"barcode", "untypable"}
    assert all(reasons.values())
    assert "/" not in reasons["untypable"]
    counted = json.loads(nba("--project", shop, "outbox", "list", "--json"))
    assert sum(row["rows"] for row in counted) == 2
    assert {row["state"] for row in counted} == {"refused"}
    assert "2 were refused" in nba("--project", shop, "doctor")

    # what the API brought stands in the outbox alone, however often it is tried
    said = nba("--project", shop, "quarantine", "list")
    assert "the quarantine is empty" in said
    assert "2 rows of the API were refused" in said

    ids = {row["row"]["order_id"]: row["outbox_id"] for row in rows}
    assert "refused 1" in nba("--project", shop, "outbox", "retry", ids["barcode"])
    assert "refused 1" in nba("--project", shop, "outbox", "retry", ids["barcode"])
    assert '"barcode"' in nba("--project", shop, "outbox", "drop", ids["barcode"])
    assert "does not hold" in nba("--project", shop, "outbox", "show", ids["barcode"], code=1)
    assert "name rows" in nba("--project", shop, "outbox", "drop", code=2)
    nba("--project", shop, "outbox", "drop", "--all")
    assert "nothing waits" in nba("--project", shop, "outbox", "list")
    assert "PROBLEM" not in nba("--project", shop, "doctor")


def test_a_second_call_is_harmless_whatever_changed_since(shop: Path) -> None:
    before = published(shop)
    store = wiring(shop).plan_store
    store.accept([sale("later")])
    store.close()
    said = nba("--project", shop, "run", "--as-of", DAY)
    assert "(tables) waits for the next plan, or --force replaces this one" in said
    assert "later" in orders(shop)
    with (shop / "nba.yaml").open("a", encoding="utf-8") as settings:
        settings.write("log_level: info\n")
    said = nba("--project", shop, "run", "--as-of", DAY)
    assert "(tables, configuration) waits" in said
    assert published(shop).equals(before)


def test_a_dry_run_says_what_a_night_would_do_and_does_nothing(shop: Path) -> None:
    tomorrow = DAY + timedelta(days=1)
    kept = sorted(str(path) for path in (shop / "data" / "runs").rglob("*"))
    store = wiring(shop).plan_store
    store.accept([sale("later")])
    store.close()
    said = nba("--project", shop, "run", "--dry-run", "--backfill", f"{DAY}..{tomorrow}")
    today, _, then = said.partition(f"nba run --as-of {tomorrow} would do:")
    assert "(tables) waits for the next plan" in today
    assert "ingest: 1 rows that the API accepted" in then
    steps = [line.split(",")[0].strip() for line in then.splitlines() if ", about" in line]
    assert steps == ["features", "train", "score", "plan", "publish"]
    assert "later" not in orders(shop)
    assert sorted(str(path) for path in (shop / "data" / "runs").rglob("*")) == kept


def test_a_step_is_done_when_what_it_leaves_is_there(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published(shop)
    empty = {"NBA_OPERATIONAL_URL": f"sqlite:///{tmp_path / 'empty.db'}"}
    said = nba("--project", shop, "publish", "--as-of", DAY, **empty)
    assert "publish is gone: made again" in said
    assert "nothing to do" in nba("--project", shop, "run", "--as-of", DAY, **empty)
    monkeypatch.setenv("NBA_OPERATIONAL_URL", empty["NBA_OPERATIONAL_URL"])
    assert published(shop).equals(before)
    monkeypatch.delenv("NBA_OPERATIONAL_URL")

    run = shop / "data" / "runs" / str(DAY)
    timing, log = (
        pl.read_parquet(run / f"{name}.parquet") for name in ("scores/timing", "plan/log")
    )
    (run / "scores" / "timing.parquet").unlink()
    (run / "plan" / "log.parquet").unlink()
    shutil.rmtree(shop / "data" / "features" / "customer_state" / f"as_of={DAY:%Y%m%d}T000000")
    said = nba("--project", shop, "run", "--as-of", DAY)
    assert "features, score, plan is gone: made again" in said
    assert pl.read_parquet(run / "scores" / "timing.parquet").equals(timing)
    assert pl.read_parquet(run / "plan" / "log.parquet").equals(log)
    assert published(shop).equals(before)
    assert "nothing to do" in nba("--project", shop, "run", "--as-of", DAY)


def test_a_failed_night_is_told_to_everybody(shop: Path) -> None:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    with (shop / "nba.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f"alerts:\n  webhook_url: {receiver.url}\n")
    file = shop / "models" / "timing.yaml"
    good = file.read_text(encoding="utf-8")
    file.write_text(good + "\nnonsense: 1\n", encoding="utf-8")
    next_day = DAY + timedelta(days=1)
    try:
        nba("--project", shop, "run", "--as-of", next_day, code=78)
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()
    ((_, body),) = receiver.received
    assert json.loads(body)["data"] == {
        "as_of": str(next_day),
        "step": "train",
        "error": "ConfigError",
    }
    doctor = nba("--project", shop, "doctor")
    assert f"PROBLEM: of {next_day}, failed at" in doctor
    assert "nonsense" in doctor

    file.write_text(good, encoding="utf-8")
    app = create_app(services_of(wiring(shop), Access.KEYS))
    client = TestClient(app)
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["last_night"]["step"]) == ("degraded", "train")
    nba("--project", shop, "run", "--as-of", next_day)
    assert client.get("/readyz").json()["status"] == "ready"
    assert f"{next_day}, done at" in nba("--project", shop, "doctor")


def test_keys_are_for_those_who_are_known(shop: Path) -> None:
    create = ("--project", shop, "keys", "create")
    assert "there is no clerk 'NOBODY'" in nba(*create, "clerk", "--subject", "NOBODY", code=1)
    assert "there is no store 'S'" in nba(*create, "store", "--subject", "S", code=1)
    assert nba(*create, "clerk", "--subject", "NOBODY", "--allow-unknown").startswith("nba_")
    clerk = wiring(shop).lake.polars("clerks")["clerk_id"][0]
    assert nba(*create, "clerk", "--subject", clerk).startswith("nba_")
    assert "needs --name" in nba(*create, "source", code=2)
    assert "without ':'" in nba(*create, "source", "--name", "a:b", code=2)
    assert nba(*create, "source", "--name", "POS").startswith("nba_")


def beyond_sense(draw: random.Random, number: int) -> dict[str, Any]:
    """Return a sale that is of the contract's types and mostly beyond sense."""
    extreme = [0.0001, 1, -1, 3, 99, 6901234567892, 1e13, 9e13, -9e13, 1e15, 12345678.12345678]
    moments = ["2025-06-01T10:00:00", "1999-12-31", "2025-06-28T00:00:00+14:00", "1971-01-01"]
    texts = ["p1", "=1+1", "名", "\u202e", "a" * 200, "x/y", "'", "NULL", " "]
    row: dict[str, Any] = {
        "order_id": f"{draw.choice(texts)}{number}",
        "product_id": draw.choice(texts),
        "ts": draw.choice(moments),
        "quantity": draw.choice(extreme),
        "unit_price": abs(draw.choice(extreme)),
        "line_no": draw.choice(texts),
    }
    if draw.random() < 0.3:
        row["discount"] = draw.choice(extreme)
    if draw.random() < 0.2:
        row["attr_x"] = draw.choice(texts)
    return row


def fuzzed(shop: Path, rows: int) -> None:
    """Post sales beyond sense, run a night, and account for every accepted row."""
    wired = wiring(shop)
    token = wired.plan_store.create_key(Scope.SOURCE, subject="POS").token
    client = TestClient(
        create_app(services_of(wired, Access.KEYS)), headers={"Authorization": f"Bearer {token}"}
    )
    draw, accepted = random.Random(1), 0
    for start in range(0, rows, 1000):
        batch = [beyond_sense(draw, n) for n in range(start, min(start + 1000, rows))]
        answer = client.post("/v1/events", json={"transactions": batch})
        assert answer.status_code == 200, answer.text
        accepted += answer.json()["accepted"]
    assert accepted > rows / 20
    nba("--project", shop, "run", "--as-of", DAY + timedelta(days=1))
    kept = sum(order.startswith("POS:") for order in orders(shop))
    refused = wired.plan_store.refused_rows()
    print(f"{rows} posted, {accepted} accepted = {kept} in the lake + {refused} refused")
    assert wired.plan_store.backlog()[0] == 0
    assert accepted == kept + refused


def test_rows_beyond_sense_stop_no_night_and_none_is_lost(shop: Path) -> None:
    fuzzed(shop, 400)


@pytest.mark.proof
def test_twenty_thousand_rows_beyond_sense_stop_no_night(shop: Path) -> None:
    fuzzed(shop, 20_000)


@pytest.mark.proof
def test_whatever_the_document_allows_stops_no_night(shop: Path) -> None:
    wired = wiring(shop)
    tables = ("transactions", "interactions", "responses")
    before = {name: wired.lake.rows(name) for name in tables}
    token = wired.plan_store.create_key(Scope.SOURCE, subject="POS").token
    app = create_app(services_of(wired, Access.KEYS))
    api = schemathesis.openapi.from_asgi("/openapi.json", app)
    accepted: Counter[str] = Counter()
    calls: Counter[int] = Counter()

    @seed(1)
    @settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api["/v1/events"]["POST"].as_strategy())
    def post(case: schemathesis.Case) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        calls[answer.status_code] += 1
        assert answer.status_code < 500
        if answer.status_code == 200:
            accepted.update(r["table"] for r in answer.json()["rows"] if r["status"] == "accepted")

    post()
    nba("--project", shop, "run", "--as-of", DAY + timedelta(days=1))
    kept = {name: wired.lake.rows(name) - before[name] for name in tables}
    refused = Counter(row["table"] for row in wired.plan_store.open_rows([]))
    print(f"answers {dict(calls)}; accepted {dict(accepted)} = lake {kept} + {dict(refused)}")
    assert accepted
    assert wired.plan_store.backlog()[0] == 0
    assert all(accepted[name] == kept[name] + refused[name] for name in tables)
