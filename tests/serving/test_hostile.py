"""What must never be answered with 500, and what an answer must never hold."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import text
from tests.serving.conftest import books_of

from nba.errors import NbaError, NotFoundError, UsageError
from nba.serving import Services, create_app
from nba.serving.cursors import read_cursor, write_cursor
from nba.serving.errors import Problem
from nba.serving.schemas import EventBatch
from nba.stores.operational import OperationalStore

Client = Callable[..., TestClient]
HALF = "\ud800"


def cursor_of(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "change",
    [
        [2**70, "a"],
        [1e400, "a"],
        [-1, "a"],
        [1.5, "a"],
        [True, "a"],
        ["1", "a"],
        [1, HALF],
        [1, "a\x00b"],
        [1, ""],
        [1, None],
        [1, {"a": 1}],
        [1],
        [1, "a", "b"],
    ],
)
def test_a_tampered_cursor_is_refused(client: Client, services: Services, change: Any) -> None:
    header = services.store.current_plan()
    assert header is not None
    place = json.loads(
        base64.urlsafe_b64decode(write_cursor(header["digest"], "k1", 1, "a") + "==")
    )
    cursor = cursor_of([*place[:2], *change])
    answer = client("admin").get("/v1/clerks/k1/actions", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "cursor", ["", "é", "[" * 400, "bnVsbA", "AAAA", "\x00", "%ff", "W1tbW1tb"]
)
def test_what_is_no_cursor_is_refused(client: Client, cursor: str) -> None:
    answer = client("admin").get("/v1/clerks/k1/actions", params={"cursor": cursor})
    assert answer.status_code == 400


def test_a_cursor_holds_its_place() -> None:
    cursor = write_cursor("ab" * 32, "k1", 7, "a/1")
    assert read_cursor(cursor, "ab" * 32, "k1") == (7, "a/1")
    with pytest.raises(UsageError):
        read_cursor("no cursor", "ab" * 32, "k1")
    with pytest.raises(UsageError, match="another list"):
        read_cursor(cursor, "ab" * 32, "k2")


def test_cursors_and_versions_of_elsewhere_are_refused(client: Client) -> None:
    admin = client("admin")
    page = admin.get("/v1/clerks/k1/actions?limit=1").json()
    for path in (
        f"/v1/clerks/k2/actions?cursor={page['next_cursor']}",
        f"/v1/clerks/k1/actions/changes?since={page['version'].rpartition('-')[0]}-99",
    ):
        answer = admin.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), path


@pytest.mark.parametrize(
    "path", ["actions", "actions/changes?since=x", "customers", "posts", "results"]
)
def test_an_unknown_clerk_or_store_is_not_found(client: Client, tmp_path: Path, path: str) -> None:
    admin = client("admin", books=books_of(tmp_path))
    for unknown in (f"/v1/clerks/k99/{path}", "/v1/stores/s99/team"):
        answer = admin.get(unknown)
        assert answer.status_code == 404, unknown
        assert "99" in answer.json()["detail"]
    assert client("store").get(f"/v1/clerks/k99/{path}").status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/customers/c11/tags/x", {"value": HALF}),
        ("POST", "/v1/actions/k1-1/feedback", {"feedback_id": HALF, "kind": "sent", "ts": "x"}),
        ("POST", "/v1/plans/preview", {HALF: 1}),
    ],
)
def test_halves_of_characters_are_refused(
    client: Client, method: str, path: str, body: dict[str, Any]
) -> None:
    admin = client("admin", preview=lambda changes: {})
    answer = admin.request(
        method, path, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    Problem.model_validate(answer.json())


@pytest.mark.parametrize("key", [None, "again"])
@pytest.mark.parametrize(
    "change",
    [
        {"order_id": HALF},
        {"attr_x": HALF},
        {HALF: 1},
        {"ts": "0001-01-01T00:00:00+08:00"},
        {"ts": "9999-12-31T23:59:59-12:00"},
        {"quantity": 10**400},
        {"unit_price": "1e999999999"},
    ],
    ids=lambda change: ascii(str(change))[:40],
)
def test_a_row_that_cannot_be_kept_is_refused_and_the_good_one_is_not_lost(
    client: Client, change: dict[str, Any], key: str | None
) -> None:
    good = {"order_id": "o1", "line_no": "1", "customer_id": "c11", "product_id": "05"}
    good |= {"ts": "2026-03-02T01:00:00Z", "quantity": 1, "unit_price": 3}
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    body = json.dumps({"transactions": [good, {**good, "order_id": "o2", **change}]})
    till = client("source")
    answers = [till.post("/v1/events", content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    first = answers[0].json()
    assert (first["accepted"], first["refused"]) == (1, 1)
    assert first["rows"][1]["problem"]["status"] == 422
    assert (answers[1].json() == first) == (key is not None)


@pytest.mark.parametrize("row", [None, 5, "x", [], True])
def test_a_row_that_is_no_object_is_refused_by_itself(client: Client, row: Any) -> None:
    good = {"response_id": "r", "customer_id": "c11", "ts": "2026-03-01", "kind": "replied"}
    caller = client("clerk")
    answer = caller.post("/v1/events", json={"responses": [row, good]})
    assert [one["status"] for one in answer.json()["rows"]] == ["refused", "accepted"]
    tables = {name: [row] for name in EventBatch.model_fields if name != "responses"}
    answer = caller.post("/v1/events", json={"responses": [good], **tables})
    assert (answer.status_code, answer.json()["repeated"]) == (200, 1)
    assert answer.json()["refused"] == len(tables)


@pytest.mark.parametrize("ts", [0, 1e9, "1000000000", "1970-01-01T00:00:05Z", "1980-06-01"])
def test_moments_that_the_lake_refuses_are_refused_at_once(client: Client, ts: Any) -> None:
    admin = client("admin")
    told = {"feedback_id": "f", "kind": "sent", "ts": ts}
    consent = {"consent_contact": True, "consent_profiling": True, "consent_at": ts}
    for answer in (
        admin.post("/v1/actions/k1-1/feedback", json=told),
        admin.put("/v1/customers/c11/consent", json=consent),
    ):
        assert answer.status_code == 422, answer.text
        said = answer.text
        assert "1990-01-01" in said or "ISO 8601" in said
    (row,) = admin.post(
        "/v1/feedback", json={"feedback": [{**told, "action_id": "k1-1"}]}
    ).json()["rows"]  # fmt: skip
    assert row["problem"]["status"] == 422


@pytest.mark.parametrize("day", ["1800-01-01", "1989-12-31", "9999-12-31", "2027-03-05"])
def test_days_that_the_lake_refuses_are_refused_at_once(client: Client, day: str) -> None:
    rows = [{"clerk_id": "k1", "date": one} for one in (day, "2027-03-01")]
    found = client("store").post("/v1/events", json={"absences": rows}).json()["rows"]
    assert [one["status"] for one in found] == ["refused", "accepted"]
    assert found[0]["problem"]["expected"] == "a date between 1990-01-01 and 2027-03-03"


@pytest.mark.parametrize("ts", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59Z"])
def test_extreme_moments_are_refused_row_by_row(client: Client, ts: str) -> None:
    admin = client("admin")
    row = {"feedback_id": "f1", "action_id": "k1-1", "kind": "shown", "ts": "2026-03-02T09:00:00"}
    found = admin.post(
        "/v1/feedback", json={"feedback": [row, {**row, "feedback_id": "f2", "ts": ts}]}
    )
    assert [one["status"] for one in found.json()["rows"]] == ["accepted", "refused"]
    assert admin.put("/v1/customers/c11/tags/x", json={"expires_at": ts}).status_code == 422
    assert admin.get("/v1/customers/c11").status_code == 200


def test_answers_do_not_say_where_the_project_stands(services: Services, client: Client) -> None:
    def preview(changes: Any) -> Any:
        raise NotFoundError("no plan in /srv/shops/one/data/runs", found="/srv/shops/one/nba.yaml")

    admin = client("admin", preview=preview, places=("/srv/shops/one/", "/srv/shops/one"))
    answer = admin.post("/v1/plans/preview", json={})
    assert answer.json()["detail"] == "no plan in data/runs"
    assert answer.json()["found"] == "nba.yaml"


def test_a_database_that_fails_is_not_described_to_callers(
    services: Services, client: Client
) -> None:
    store = services.store
    admin = client("admin")
    with store.database.writing() as connection:
        connection.execute(text("DROP TABLE plans"))
    with structlog.testing.capture_logs() as lines:
        answer = admin.get("/v1/plans/current")
    assert answer.status_code in (500, 503)
    assert "operations.db" not in answer.text
    assert "expected" not in answer.json()
    assert any(line["event"] == "request failed" for line in lines)


def test_errors_of_the_database_name_no_values(store: OperationalStore) -> None:
    secret = "K-SECRET-0001"
    query = text("INSERT INTO idempotency (caller, idempotency_key) VALUES (:a, :a)")
    with pytest.raises(NbaError) as raised, store.database.writing() as connection:
        connection.execute(query, {"a": secret})
    assert secret not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_service_in_a_subfolder_answers_alike(services: Services) -> None:
    app = create_app(replace(services))
    inner = TestClient(app, root_path="/shop", raise_server_exceptions=False)
    assert inner.get("/shop/v1/customers/a%2Fb").status_code == 401
