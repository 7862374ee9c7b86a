"""The platform's probes say when a night failed or rows were refused, and serving goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastapi.testclient import TestClient
from tests.serving.conftest import DAY, NOW

from nba.serving import Services
from nba.stores.nightly_runs import NightlyRunFailure

Client = Callable[..., TestClient]


def ready(client: Client, **changes: Any) -> dict[str, Any]:
    answer = client(None, **changes).get("/readyz")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def metric(client: Client, name: str) -> float:
    lines = client(None).get("/metrics").text.splitlines()
    (found,) = [line for line in lines if line.startswith(name + " ")]
    return float(found.split()[1])


def test_a_service_before_any_night_is_ready(client: Client) -> None:
    body = ready(client)
    assert (body["status"], body["problems"], body["last_night"]) == ("ready", [], None)


def test_a_failed_night_degrades_and_a_good_one_mends(client: Client, services: Services) -> None:
    store = services.store
    failure = NightlyRunFailure(
        "score", "ModelError", "customer c11 has no row in /srv/shop/x.parquet"
    )
    store.end_night(store.begin_night(DAY), failure)
    body = ready(client)
    assert (body["ready"], body["status"], body["problems"]) == (True, "degraded", ["night_failed"])
    assert body["last_night"]["state"] == "failed"
    assert (body["last_night"]["step"], body["last_night"]["error"]) == ("score", "ModelError")
    assert "c11" not in str(body)
    assert "/srv" not in str(body)
    assert metric(client, "nba_night_failed") == 1
    # a good run of an earlier day mends nothing
    store.end_night(store.begin_night(DAY - timedelta(days=9)))
    assert ready(client)["status"] == "degraded"
    store.end_night(store.begin_night(DAY))
    assert ready(client)["status"] == "ready"
    assert metric(client, "nba_night_failed") == 0
    assert metric(client, "nba_night_began_timestamp_seconds") == NOW.timestamp()


def test_a_night_that_says_nothing_for_half_a_day_was_broken_off(
    client: Client, services: Services
) -> None:
    services.store.begin_night(DAY)
    assert ready(client)["status"] == "ready"
    later = {"clock": lambda: NOW + timedelta(hours=13)}
    assert ready(client, **later)["problems"] == ["night_failed"]


def test_refused_rows_degrade(client: Client, services: Services) -> None:
    row = {"response_id": "r", "customer_id": "c11", "ts": "2026-03-02T09:00", "kind": "read"}
    assert client("store").post("/v1/events", json={"responses": [row]}).json()["accepted"] == 1
    (waiting,) = services.store.open_rows()
    services.store.refuse_rows({waiting["outbox_id"]: {"reason": "no"}})
    body = ready(client)
    assert body["problems"] == ["rows_refused"]
    assert (body["outbox_waiting"], body["outbox_refused"]) == (0, 1)
    assert metric(client, "nba_outbox_refused") == 1
