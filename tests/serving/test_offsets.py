"""Moments carry the shop's offset, and a list says whether it is of today."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.serving.conftest import NOW, Shop

from nba.schema.words import TagSource
from nba.serving import Services
from nba.serving.cards import ProjectCards
from nba.serving.shapes import Clerk
from nba.stores.people import Tag

Client = Callable[..., TestClient]
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}.*")


def moments(value: Any) -> Iterator[str]:
    """Yield every text of an answer that begins as a moment does."""
    if isinstance(value, dict):
        for part in value.values():
            yield from moments(part)
    elif isinstance(value, list):
        for part in value:
            yield from moments(part)
    elif isinstance(value, str) and MOMENT.fullmatch(value):
        yield value


class Rows:
    """The rows of one customer, with moments as the lake and features give them."""

    def dimension(self, view: str, day: Any) -> dict[str, Any]:
        clerk = {"clerk_id": "k1", "store_id": "s1", "name": None}
        return {"clerk": {"k1": clerk}, "store": {"s1": {"timezone": "Asia/Urumqi"}}}.get(view, {})

    def identities(self, customer_ids: Any, day: Any) -> dict[str, Any]:
        return {}

    def product_pages(self, product_ids: Any) -> dict[str, Any]:
        return {}

    def category_names(self) -> dict[str, Any]:
        return {}

    def matters(self, customer_id: str, **_: Any) -> list[dict[str, Any]]:
        return []

    def online(self, view: str, customer_id: str) -> dict[str, Any]:
        if view == "customer_behaviour":
            return {"purchase_days": 3}
        flags = dict.fromkeys(("is_friend", "consent_contact", "consent_profiling"), True) | {
            "is_blocked": False
        }
        known = {"clerk_id": "k1", "store_id": "s1", "friend_since": datetime(2025, 1, 1)}
        return flags | known | {"birthday": None, "locale": None}

    def tags(self, customer_id: str) -> list[dict[str, Any]]:
        tag = {"tag": "t", "value": None, "source": "rule", "ts": datetime(2026, 1, 1)}
        return [tag | {"expires_at": datetime(2027, 1, 1)}]

    def purchases(self, customer_id: str, **_: Any) -> list[dict[str, Any]]:
        ts = datetime(2024, 12, 31, 16, 30, tzinfo=UTC)
        return [{"ts": ts, "product_id": "05", "quantity": 1.0, "amount": 3.0}]

    def contacts(self, customer_id: str, **_: Any) -> list[dict[str, Any]]:
        ts = datetime(2024, 12, 31, 16, 30, tzinfo=UTC)
        row = {"mode": "private_partner", "channel": "chat", "action_type": None}
        return [row | {"ts": ts, "clerk_id": "k1", "responses": None}]

    def scores(self, name: str, customer_id: str, day: Any) -> list[dict[str, Any]]:
        return []


def test_every_moment_of_every_answer_has_the_projects_offset(
    services: Services, client: Client
) -> None:
    rows: Any = Rows()
    cards = ProjectCards(rows, lambda: NOW.date(), time_zone="Asia/Shanghai", clock=services.clock)
    admin = client("admin", cards=cards)
    sale = {"order_id": "o1", "line_no": "1", "customer_id": "c11", "product_id": "05"}
    sale |= {"ts": "2026-03-02T01:00:00Z", "quantity": 1}
    consent = {"consent_contact": True, "consent_profiling": True, "consent_at": "2026-03-01"}
    tag = {"expires_at": "2026-05-01T00:00:00Z"}
    card = [
        client("source", cards=cards).post("/v1/events", json={"transactions": [sale]}),
        admin.get("/v1/customers/c11"),
    ]
    assert card[1].json()["news"][0]["ts"] == "2026-03-02T09:00:00+08:00"
    assert card[1].json()["purchases"][0]["ts"] == "2025-01-01T00:30:00+08:00"
    answers = [
        *card,
        admin.get("/v1/plans/current"),
        admin.get("/v1/clerks"),
        admin.put("/v1/customers/c11/tags/x", json=tag),
        admin.get("/v1/customers/c11/tags"),
        admin.put("/v1/customers/c11/consent", json=consent),
        admin.get("/v1/customers/c11/actions"),
        admin.delete("/v1/customers/c11"),
    ]
    assert {answer.status_code for answer in answers} == {200}
    found = [moment for answer in answers for moment in moments(answer.json())]
    assert len(found) > 10
    assert {moment[-6:] for moment in found} == {"+08:00"}


class FarShop(Shop):
    """Clerk k1 works in a store with clocks of its own, k2 in one whose zone is unknown."""

    def clerk(self, clerk_id: str) -> Clerk | None:
        zone = {"k1": "Australia/Perth", "k2": "China Standard Time"}.get(clerk_id)
        return Clerk(clerk_id=clerk_id, store_id="s1", timezone=zone)


def test_windows_carry_the_offset_of_the_stores_zone(services: Services, client: Client) -> None:
    admin = client("admin", cards=FarShop(), time_zone="Australia/Sydney")

    def first(clerk_id: str) -> Any:
        return admin.get(f"/v1/clerks/{clerk_id}/actions").json()["actions"][0]

    # the plan's own files hold the project's clocks: ten in Sydney is seven in Perth
    assert first("k1")["contact_from"] == "2026-03-02T07:00:00+08:00"
    assert first("k1")["expires_at"] == "2026-03-02T21:00:00+08:00"
    assert first("k2")["contact_from"] == "2026-03-02T10:00:00+11:00"


@pytest.mark.parametrize(
    ("hours", "age_days"), [(0, 0), (13, 0), (14, 1), (40 * 24, 40), (-11, -1)]
)
def test_a_list_says_whether_it_is_of_today(
    services: Services, client: Client, hours: int, age_days: int
) -> None:
    admin = client("admin", clock=lambda: NOW + timedelta(hours=hours))
    for path in ("/v1/clerks/k1/actions", "/v1/plans/current"):
        found = admin.get(path).json()
        assert (found["age_days"], found["stale"]) == (age_days, age_days != 0)


def test_today_is_the_day_of_the_clerks_store(services: Services, client: Client) -> None:
    later = NOW + timedelta(hours=12)  # past one at night in Sydney, past ten in Perth
    admin = client("admin", cards=FarShop(), time_zone="Australia/Sydney", clock=lambda: later)
    assert admin.get("/v1/clerks/k1/actions").json()["age_days"] == 0
    assert admin.get("/v1/clerks/k2/actions").json()["age_days"] == 1


def test_a_tag_removed_in_a_demonstration_ends_on_the_plans_day(
    services: Services, client: Client
) -> None:
    day = datetime(2025, 3, 2, 4, 0, tzinfo=UTC)
    admin = client("admin", clock=lambda: day)
    services.store.put_tag("c11", Tag("x", None, TagSource.CLERK, day - timedelta(hours=1), None))
    assert admin.delete("/v1/customers/c11/tags/x").status_code == 204
    last = services.store.tag_history("c11")[-1]
    assert (last["removed"], last["expires_at"]) == (True, day)
