"""Who saw or changed whom is kept, found by customer, and forgets who was erased."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import text
from tests.serving.conftest import NOW

from nba.errors import UnavailableError
from nba.serving.audit import Auditor
from nba.stores.audit import AuditEntry, Target
from nba.stores.operational import OperationalStore

Client = Callable[..., TestClient]


def flush(client: TestClient) -> None:
    client.app.state.auditor.flush()  # type: ignore[attr-defined]


def calls(store: OperationalStore, customer: str) -> list[tuple[Any, ...]]:
    names = ("scope", "subject", "method", "route", "status")
    return [tuple(one[name] for name in names) for one in store.calls_about(customer)]


CARD = "/v1/customers/{customer_id}"


def test_whoever_saw_or_changed_a_customer_is_found(
    client: Client, published: OperationalStore
) -> None:
    clerk, other, admin = client("clerk"), client("clerk", "k3"), client("admin")
    clerk.get("/v1/customers/c11")
    clerk.head("/v1/customers/c11")
    other.get("/v1/customers/c11")
    clerk.put("/v1/customers/c11/tags/tea", json={})
    sent = {"feedback_id": "f1", "kind": "sent", "ts": NOW.isoformat()}
    clerk.post("/v1/actions/k1-1/feedback", json=sent)
    many = [{**sent, "feedback_id": "f2", "action_id": "k1-1", "kind": "shown"}]
    clerk.post("/v1/feedback", json={"feedback": many})
    heard = {"response_id": "r1", "customer_id": "c11", "ts": NOW.isoformat(), "kind": "replied"}
    clerk.post("/v1/events", json={"responses": [heard]})
    clerk.get("/v1/clerks/k1/customers", params={"q": "c11"})
    clerk.get("/v1/clerks/k1/actions")
    clerk.get("/v1/customers/c12")
    admin.get("/v1/plans/current")
    for one in (clerk, other, admin):
        flush(one)
    assert calls(published, "c11") == [
        ("clerk", "k1", "GET", CARD, 200),
        ("clerk", "k1", "GET", CARD, 200),
        ("clerk", "k1", "PUT", CARD + "/tags/{tag}", 200),
        ("clerk", "k1", "POST", "/v1/actions/{action_id}/feedback", 200),
        ("clerk", "k1", "POST", "/v1/feedback", 200),
        ("clerk", "k1", "POST", "/v1/events", 200),
        ("clerk", "k1", "GET", "/v1/clerks/{clerk_id}/customers", 200),
        ("clerk", "k1", "GET", "/v1/clerks/{clerk_id}/actions", 200),
        ("clerk", "k3", "GET", CARD, 403),
    ]
    seen = {one[3] for one in calls(published, "c12")}
    assert seen >= {CARD, "/v1/clerks/{clerk_id}/actions"}  # the list of the day named both
    assert calls(published, "c31") == []


def test_calls_without_a_key_are_nobodys(client: Client, published: OperationalStore) -> None:
    guest = client(None)
    guest.get("/v1/customers/c11")
    flush(guest)
    assert calls(published, "c11") == []


def test_the_erased_go_and_the_rows_stay(client: Client, published: OperationalStore) -> None:
    admin = client("admin")
    admin.get("/v1/customers/c11")
    flush(admin)
    sent = {"feedback_id": "f1", "kind": "opened", "ts": NOW.isoformat()}
    admin.post("/v1/actions/k1-1/feedback", json=sent)
    admin.get("/v1/customers/c11")  # not written yet when the customer goes
    admin.delete("/v1/customers/c11")
    flush(admin)
    assert calls(published, "c11") == []
    with published.database.reading() as connection:
        kept = connection.execute(text("SELECT method, target FROM audit ORDER BY audit_id")).all()
    assert [row.method for row in kept] == ["GET", "POST", "GET", "DELETE"]
    assert [row.target for row in kept if row.target] == ["k1-1"]  # an action that is no more


def test_while_the_store_takes_nothing_calls_wait() -> None:
    taken: list[AuditEntry] = []
    down = [True]

    def write(entries: Any) -> None:
        if down[0]:
            raise UnavailableError("down")
        taken.extend(entries)

    auditor = Auditor(write, lambda: NOW)
    entry = AuditEntry(NOW, "k", "admin", None, "GET", CARD, 200, Target.CUSTOMER, "c11")
    auditor.note(entry)
    auditor.flush()
    assert taken == []
    down[0] = False
    auditor.start()
    auditor.close()
    assert taken == [entry]
