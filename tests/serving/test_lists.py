"""A clerk's list and a customer's card over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from tests.serving.conftest import PLAN, actions_frame

from nba.decisions.action_types import Catalogue
from nba.decisions.settings import DecisionSettings
from nba.errors import UnavailableError
from nba.serving import Services
from nba.serving.shapes import ProductScore
from nba.stores.outbox import Event
from nba.stores.people import Consent

Client = Callable[..., TestClient]
TODAY = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [action["customer_id"] for action in response.json()["actions"]]


def test_a_clerk_reads_a_ranked_list_with_names_reasons_and_offsets(client: Client) -> None:
    body = client("clerk").get("/v1/clerks/k1/actions").json()
    assert (body["as_of"], body["clerk_id"], body["next_cursor"]) == ("2026-03-02", "k1", None)
    first = body["actions"][0]
    assert first["rank"] == 1
    tea, unknown = first["products"]
    assert (tea["product_id"], tea["name"], tea["price"]) == ("05", "绿茶 | Green tea", 30.0)
    assert (unknown["product_id"], unknown["name"]) == ("7", None)
    assert first["person"]["name"] == "王1丽"
    assert first["reasons"][0] == {
        "code": "due",
        "kind": "reason",
        "zh": "快用完了",
        "en": "runs low",
    }
    assert first["contact_from"] == "2026-03-02T10:00:00+08:00"
    assert (first["status"], first["expired"]) == ("new", False)
    assert not {"propensity", "arm"} & first.keys()


def test_clerks_come_with_the_length_of_their_lists(client: Client) -> None:
    own = client("clerk").get("/v1/clerks").json()["clerks"]
    expected = {"clerk_id": "k1", "store_id": "s1", "name": None, "timezone": None, "planned": 3}
    assert own == [expected]
    store = client("store").get("/v1/clerks").json()["clerks"]
    assert [clerk["clerk_id"] for clerk in store] == ["k1", "k2"]


def test_pages_follow_each_other_and_end(client: Client) -> None:
    caller = client("clerk")
    first = caller.get("/v1/clerks/k1/actions", params={"limit": 2})
    cursor = first.json()["next_cursor"]
    second = caller.get("/v1/clerks/k1/actions", params={"limit": 2, "cursor": cursor})
    assert ids(first) + ids(second) == ["c11", "c12", "c13"]
    assert second.json()["next_cursor"] is None


def test_a_cursor_of_a_replaced_plan_is_a_conflict(
    client: Client, republish: Callable[[], None]
) -> None:
    caller = client("clerk")
    cursor = caller.get("/v1/clerks/k1/actions", params={"limit": 1}).json()["next_cursor"]
    republish()
    response = caller.get("/v1/clerks/k1/actions", params={"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


def test_mode_and_date_choose(client: Client) -> None:
    caller = client("clerk")
    assert ids(caller.get("/v1/clerks/k1/actions?mode=shopping_assistant")) == ["c12"]
    assert len(ids(caller.get("/v1/clerks/k1/actions?date=2026-03-02"))) == 3
    assert caller.get("/v1/clerks/k1/actions?date=2026-03-01").status_code == 404


def test_the_list_is_kept_true(client: Client, services: Services) -> None:
    caller = client("clerk")
    sale = {
        "order_id": "o",
        "line_no": "1",
        "customer_id": "c11",
        "product_id": "05",
        "ts": TODAY,
        "quantity": Decimal(1),
    }
    services.store.accept([Event("transactions", sale)])
    assert ids(caller.get("/v1/clerks/k1/actions")) == ["c12", "c13"]
    services.store.put_consent("c12", Consent(False, True, TODAY))
    assert ids(caller.get("/v1/clerks/k1/actions")) == ["c13"]


def test_the_day_begins_in_the_projects_time_zone(client: Client, services: Services) -> None:
    """Midnight in Shanghai is 16:00 UTC of the day before."""
    caller = client("clerk")
    for customer, hour in (("c11", 15), ("c12", 17)):
        row = {"interaction_id": customer, "customer_id": customer, "mode": "private_partner"}
        moment = datetime(2026, 3, 1, hour, tzinfo=UTC)
        services.store.accept([Event("interactions", row | {"ts": moment})])
    assert ids(caller.get("/v1/clerks/k1/actions")) == ["c11", "c13"]


def test_the_card_shows_profile_purchases_and_news(client: Client, services: Services) -> None:
    row = {"response_id": "r", "customer_id": "c11", "ts": TODAY, "kind": "replied"}
    services.store.accept([Event("responses", row)])
    card = client("clerk").get("/v1/customers/c11").json()
    assert card["timing"]["p_purchase_30d"] == 0.4
    assert [need["category"] for need in card["needs"]] == ["tea"]
    assert card["purchases"][0]["product_id"] == "05"
    assert card["news"][0]["kind"] == "replied"


def test_without_consent_to_profiling_the_card_holds_no_profile(
    client: Client, services: Services
) -> None:
    services.store.put_consent("c11", Consent(True, False, TODAY))
    caller = client("clerk")
    card = caller.get("/v1/customers/c11").json()
    assert (card["timing"], card["needs"]) == (None, [])
    assert (card["affinity"], card["modes"], card["behaviour"]) == ([], [], {})
    assert [tag["tag"] for tag in card["tags"]] == ["vip"]
    assert caller.get("/v1/customers/c11/products").json()["products"] == []


def test_what_rests_on_no_profile_stays_where_profiling_is_refused(
    client: Client, services: Services
) -> None:
    text = {"zh": "致电关怀", "en": "Care call"}
    entry = {"action_type": "care_call", "mode": "private_partner", "channel": "chat"}
    catalogue = Catalogue.model_validate(
        {
            "actions": [
                entry | {"name": text, "minutes": 4, "profiling": False} | {"talking_point": text}
            ]
        }
    )
    services.store.put_consent("c11", Consent(True, False, TODAY))
    caller = client("clerk", catalogue=catalogue)
    listed = caller.get("/v1/clerks/k1/actions").json()["actions"]
    assert [action["customer_id"] for action in listed] == ["c11", "c12", "c13"]
    assert listed[0]["action_name"] == text
    said = [[one["value"], one["uplift"], one["p_repurchase_30d"]] for one in listed]
    assert said == [[None] * 3, [5.0, 12.5, 0.25], [pytest.approx(10 / 3), 12.5, 0.25]]
    assert "c11" not in ids(client("clerk").get("/v1/clerks/k1/actions"))


def test_next_actions_of_a_customer_come_from_the_plan_without_rescoring(client: Client) -> None:
    body = client("clerk").get("/v1/customers/c11/actions").json()
    assert body["rescored"] is False
    assert [action["action_id"] for action in body["actions"]] == ["k1-1"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["05", "7"]),
        ("?category=cups", ["7"]),
        ("?max_price=40", ["05"]),
        ("?min_price=40", ["7"]),
        ("?in_stock=true", ["05"]),
        ("?limit=1", ["05"]),
    ],
)
def test_products_are_filtered(client: Client, query: str, wanted: list[str]) -> None:
    body = client("clerk").get(f"/v1/customers/c11/products{query}").json()
    assert [product["product_id"] for product in body["products"]] == wanted


def test_plan_and_health_and_metrics(client: Client) -> None:
    marketer = client("marketer")
    plan = marketer.get("/v1/plans/current").json()
    assert (plan["policy_version"], plan["counts"]) == ("p1", {"n": 9})
    anyone = client(None)
    assert anyone.get("/healthz").json()["status"] == "ok"
    assert anyone.get("/readyz").json()["plan_as_of"] == "2026-03-02"
    marketer.get("/v1/clerks/k1/actions")
    text = marketer.get("/metrics").text
    assert 'route="/v1/clerks/{clerk_id}/actions"' in text
    assert "nba_outbox_waiting 0.0" in text
    assert "k1" not in text


class Rescored:
    """Rescores anybody: one action that is on the list, and one that is not."""

    def __init__(self, services: Services, *, ready: bool = True, fresh: bool = False) -> None:
        self.listed = services.store.action("k1-1")
        self.ready = ready
        self.fresh = fresh

    def actions(self, customer_id: str) -> list[dict[str, Any]] | None:
        other = {**self.listed, "action_id": "other", "customer_id": customer_id}
        return [other, self.listed] if self.ready else None

    def products(self, customer_id: str) -> list[ProductScore] | None:
        return [] if self.ready else None

    def knows_today(self, customer_id: str) -> bool:
        return self.fresh

    def why(self, customer_id: str) -> list[dict[str, Any]] | None:
        common = {"mode": "private_partner", "stage": "open", "why": "", "need": "due:tea"}
        common |= {"category": "tea", "value": 3.0, "minutes": 4.0, "price_per_minute": 0.5}
        closed = {"door": "cool_down", "door_zh": "间隔期未到", "door_en": "cool_down"}
        opened = {"door": "", "door_zh": "", "door_en": "", "opens_on": None}
        rows = [
            common | opened | {"action_type": "care_call", "uplift": 4.0, "due": float("nan")},
            common | closed | {"action_type": "new_arrival", "opens_on": date(2026, 3, 5)},
        ]
        return rows if self.ready else None


def test_every_action_type_says_why_it_is_open_or_not(client: Client, services: Services) -> None:
    caller = client("clerk", live=Rescored(services))
    body = caller.get("/v1/customers/c11/why").json()
    assert (body["price_per_minute"], body["heard_since"]) == (0.5, False)
    care, arrival = body["candidates"]
    assert (care["open"], care["door"], care["value"]) == (True, None, 3.0)
    assert care["factors"] == {"uplift": 4.0, "due": None}
    assert arrival["door"] == {
        "code": "cool_down",
        "zh": "间隔期未到",
        "en": "cool_down",
        "opens_on": "2026-03-05",
    }
    one = caller.get("/v1/customers/c11/why", params={"action_type": "new_arrival"}).json()
    assert [row["action_type"] for row in one["candidates"]] == ["new_arrival"]
    assert caller.get("/v1/customers/c11/why?action_type=none").status_code == 404
    assert caller.get("/v1/customers/c21/why").status_code == 403
    assert client("clerk").get("/v1/customers/c11/why").status_code == 503


def test_without_consent_to_profiling_nobody_reads_what_models_said(
    client: Client, services: Services
) -> None:
    services.store.put_consent("c11", Consent(True, False, TODAY))
    caller = client("clerk", live=Rescored(services))
    for row in caller.get("/v1/customers/c11/why").json()["candidates"]:
        assert (row["value"], row["need"], row["factors"]) == (None, None, {})


def test_what_stands_on_the_list_comes_before_what_was_rescored(
    client: Client, services: Services
) -> None:
    body = client("clerk", live=Rescored(services)).get("/v1/customers/c11/actions").json()
    assert body["rescored"] is True
    assert [(one["action_id"], one["rank"]) for one in body["actions"]] == [
        ("k1-1", 1),
        ("other", None),
    ]


def test_the_list_answers_while_nothing_is_ready_and_where_the_customer_was_heard_of(
    client: Client, services: Services
) -> None:
    waiting = client("clerk", live=Rescored(services, ready=False))
    assert waiting.get("/v1/customers/c11/actions").json()["rescored"] is False
    assert waiting.get("/v1/customers/c11/products").json()["products"]
    caller = client("clerk", live=Rescored(services))
    body = {"feedback_id": "f", "kind": "sent", "ts": "2026-03-02T09:00:00"}
    caller.post("/v1/actions/k1-1/feedback", json=body)
    answer = caller.get("/v1/customers/c11/actions").json()
    assert (answer["rescored"], answer["actions"]) == (False, [])
    fresh = client("clerk", live=Rescored(services, fresh=True))
    assert fresh.get("/v1/customers/c11/actions").json()["rescored"] is True


def skip(caller: TestClient, action_id: str) -> None:
    row = {"feedback_id": f"f-{action_id}", "kind": "skipped", "ts": "2026-03-02T10:00:00"}
    assert caller.post(f"/v1/actions/{action_id}/feedback", json=row).status_code == 200


def test_a_list_that_stands_is_not_sent_again(client: Client) -> None:
    caller = client("clerk")
    first = caller.get("/v1/clerks/k1/actions")
    known = {"If-None-Match": first.headers["etag"]}
    again = caller.get("/v1/clerks/k1/actions", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    skip(caller, "k1-2")
    changed = caller.get("/v1/clerks/k1/actions", headers=known)
    assert ids(changed) == ["c11", "c13"]
    assert changed.json()["version"] != first.json()["version"]


def test_changes_name_what_came_and_what_left(client: Client, services: Services) -> None:
    reserve = actions_frame().filter(pl.col("clerk_id") == "k1").head(1)
    reserve = reserve.with_columns(
        action_id=pl.lit("spare"), customer_id=pl.lit("c15"), value=pl.lit(9.0)
    )
    decisions = DecisionSettings(exploration_floor=0).model_dump(mode="json")
    plan = PLAN | {"decisions": decisions}
    services.store.publish(plan, actions_frame(salt="c"), reserve)
    caller = client("clerk")
    held = caller.get("/v1/clerks/k1/actions").json()["version"]
    nothing = caller.get("/v1/clerks/k1/actions/changes", params={"since": held}).json()
    assert (nothing["version"], nothing["added"], nothing["removed"]) == (held, [], [])
    skip(caller, "k1-2c")
    found = caller.get("/v1/clerks/k1/actions/changes", params={"since": held}).json()
    assert found["removed"] == [{"action_id": "k1-2c", "reason": "skipped"}]
    assert [(one["action_id"], one["rank"], one["reason"]) for one in found["added"]] == [
        ("spare", 4, "replacement")
    ]
    assert ids(caller.get("/v1/clerks/k1/actions")) == ["c11", "c13", "c15"]


def test_a_version_of_elsewhere_is_refused(client: Client, republish: Callable[[], None]) -> None:
    caller = client("clerk")
    held = caller.get("/v1/clerks/k1/actions").json()["version"]
    path = "/v1/clerks/k1/actions/changes"
    assert caller.get(path, params={"since": "x"}).status_code == 400
    republish()
    assert caller.get(path, params={"since": held}).json()["code"] == "conflict"


def test_a_sick_clerks_urgent_actions_pass_to_who_stands_in(
    client: Client, services: Services
) -> None:
    friend = pl.when(pl.col("customer_id") == "c11").then(pl.lit("k2"))
    services.store.publish(PLAN, actions_frame(salt="d").with_columns(substitute_clerk_id=friend))
    colleague = client("clerk", "k2")
    assert colleague.get("/v1/customers/c11").status_code == 403
    absence = {"absences": [{"clerk_id": "k1", "date": "2026-03-02"}]}
    assert colleague.post("/v1/events", json=absence).json()["refused"] == 1
    assert client("clerk").post("/v1/events", json=absence).json()["accepted"] == 1
    assert ids(client("clerk").get("/v1/clerks/k1/actions")) == []
    assert ids(colleague.get("/v1/clerks/k2/actions")) == ["c21", "c22", "c23", "c11"]
    assert colleague.get("/v1/customers/c11").status_code == 200
    skip(colleague, "k1-1d")


def test_a_running_service_settles_lists_by_itself(client: Client, services: Services) -> None:
    with client("clerk") as caller:
        skip(caller, "k1-2")
        until = time.monotonic() + 5
        while services.store.touched() and time.monotonic() < until:
            time.sleep(0.02)
    book = services.store.book("k1")
    assert book is not None
    assert (book.is_settled, book.version) == (True, 1)


def test_a_list_is_true_while_the_store_takes_no_writes(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = client("clerk")
    skip(caller, "k1-2")

    def locked(clerk_id: str, today: object) -> bool:
        raise UnavailableError("the operational store does not answer")

    monkeypatch.setattr(services.store, "settle", locked)
    assert ids(caller.get("/v1/clerks/k1/actions")) == ["c11", "c13"]
    skip(caller, "k1-1")
    assert ids(caller.get("/v1/clerks/k1/actions")) == ["c13"]
    monkeypatch.undo()
    assert ids(caller.get("/v1/clerks/k1/actions")) == ["c13"]
