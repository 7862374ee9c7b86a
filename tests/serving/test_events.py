"""Events over HTTP: each row accepted or refused by itself, and seen at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.serving.conftest import NOW

from nba.schema.tables import MAX_QUANTITY, TABLES
from nba.serving import Services

Client = Callable[..., TestClient]


def sale(**changes: Any) -> dict[str, Any]:
    row = {
        "order_id": "o1",
        "line_no": "1",
        "customer_id": "c11",
        "product_id": "05",
        "ts": "2026-03-02T09:00:00",
        "quantity": 2,
        "unit_price": "19.99",
    }
    return row | changes


def post(caller: TestClient, **tables: Any) -> dict[str, Any]:
    response = caller.post("/v1/events", json=tables)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_a_sale_is_kept_typed_and_drops_the_customer_from_the_list(
    client: Client, services: Services
) -> None:
    assert post(client("source"), transactions=[sale()])["accepted"] == 1
    row = services.store.new_events()["transactions"].row(0, named=True)
    assert (str(row["unit_price"]), str(row["quantity"])) == ("19.9900", "2.0000")
    assert row["ts"].isoformat() == "2026-03-02T01:00:00+00:00"
    listed = client("store").get("/v1/clerks/k1/actions").json()["actions"]
    assert "c11" not in [action["customer_id"] for action in listed]


def test_again_is_repeated_and_other_content_refused(client: Client) -> None:
    result = post(client("source"), transactions=[sale(), sale(), sale(quantity=3)])
    assert [row["status"] for row in result["rows"]] == ["accepted", "repeated", "refused"]
    assert result["rows"][2]["problem"]["code"] == "conflict"


@pytest.mark.parametrize(
    ("table", "row", "column"),
    [
        ("transactions", sale(customer_id=5), "customer_id"),
        ("transactions", sale(order_id=None), "order_id"),
        ("transactions", sale(ts="1970-01-01T00:00:00"), "ts"),
        ("transactions", sale(ts="2099-01-01"), "ts"),
        ("transactions", sale(ts="yesterday"), "ts"),
        ("transactions", sale(unit_price=-1), "unit_price"),
        ("transactions", sale(unit_price="NaN"), "unit_price"),
        ("transactions", sale(unit_price="1e40"), "unit_price"),
        ("transactions", sale(quantity=0), "quantity"),
        ("transactions", sale(quantity=6901234567892, unit_price=99), "quantity"),
        ("transactions", sale(quantity=1_000_000, unit_price=99_999), "quantity"),
        ("transactions", sale(ts="0001-01-01T00:00:00+08:00"), "ts"),
        ("transactions", sale(ts="2026-03-01T10:00:00 EST"), "ts"),
        ("transactions", sale(quantity=True), "quantity"),
        ("transactions", sale(channel="fax"), "channel"),
        ("transactions", sale(colour="red"), "colour"),
        ("interactions", {"interaction_id": "i", "customer_id": "c11"}, "ts"),
        (
            "interactions",
            {"interaction_id": "i", "customer_id": "c11", "ts": "2026-03-02", "mode": "shout"},
            "mode",
        ),
        (
            "interactions",
            {
                "interaction_id": "i",
                "customer_id": "c11",
                "ts": "2026-03-02",
                "mode": "none",
                "propensity": 1.5,
            },
            "propensity",
        ),
        (
            "responses",
            {"response_id": "r", "ts": "2026-03-02", "kind": "read"},
            "interaction_id",
        ),
    ],
)
def test_a_bad_row_names_table_column_rule_and_value(
    client: Client, services: Services, table: str, row: dict[str, Any], column: str
) -> None:
    good = sale(order_id="good")
    batch = {table: [row]}
    batch.setdefault("transactions", []).append(good)
    result = post(client("source"), **batch)
    assert (result["accepted"], result["refused"]) == (1, 1)
    problem = next(row["problem"] for row in result["rows"] if row["status"] == "refused")
    assert problem["detail"].startswith(f"{table}.{column} ")
    assert problem["expected"]
    assert len(services.store.new_events()["transactions"]) == 1


def test_ids_keep_leading_zeros_and_attributes_are_kept(client: Client, services: Services) -> None:
    post(client("source"), transactions=[sale(order_id="007", attr_gift=True)])
    row = services.store.new_events()["transactions"].row(0, named=True)
    assert (row["order_id"], row["product_id"], row["attr_gift"]) == ("POS:007", "05", "True")


def contact(**changes: Any) -> dict[str, Any]:
    row = {"interaction_id": "i1", "customer_id": "c11", "ts": "2026-03-02T09:00", "mode": "none"}
    return row | changes


def test_a_key_reports_about_its_own_alone(client: Client) -> None:
    rows = [
        contact(interaction_id="1"),
        contact(interaction_id="2", customer_id="c31"),
        contact(interaction_id="3", clerk_id="k3"),
    ]
    clerk = [row["status"] for row in post(client("clerk"), interactions=rows)["rows"]]
    assert clerk == ["accepted", "refused", "refused"]
    store = [row["status"] for row in post(client("store"), interactions=rows)["rows"]]
    assert store == ["repeated", "refused", "refused"]
    assert client("marketer").post("/v1/events", json={"interactions": rows}).status_code == 403


@pytest.mark.parametrize(
    ("changes", "column"),
    [({"action_id": "k1-1"}, "action_id"), ({"interaction_id": "sent:k1-1"}, "interaction_id")],
)
def test_a_contact_is_none_of_another_customers(
    client: Client, services: Services, changes: dict[str, str], column: str
) -> None:
    own, other = client("clerk"), client("clerk", "k3")
    told = {"feedback_id": "f", "kind": "sent", "ts": NOW.isoformat()}
    assert own.post("/v1/actions/k1-1/feedback", json=told).status_code == 200
    (row,) = post(other, interactions=[contact(customer_id="c31", **changes)])["rows"]
    assert (row["status"], row["problem"]["status"]) == ("refused", 422)
    assert row["problem"]["detail"].startswith(f"interactions.{column} ")
    assert row["problem"]["expected"]
    assert changes[column] in row["problem"]["found"]
    assert services.store.new_events()["interactions"]["interaction_id"].to_list() == ["sent:k1-1"]


@pytest.mark.parametrize("scope", ["clerk", "store", "admin"])
def test_sales_come_from_sources_alone(client: Client, services: Services, scope: str) -> None:
    result = post(client(scope), transactions=[sale()], interactions=[contact()])
    assert [row["status"] for row in result["rows"]] == ["refused", "accepted"]
    problem = result["rows"][0]["problem"]
    assert (problem["status"], problem["code"]) == (403, "not_permitted")
    assert "nba keys create source" in problem["next_step"]
    assert "transactions" not in services.store.new_events()


def test_a_source_has_the_ids_of_its_orders_to_itself(client: Client, services: Services) -> None:
    till, web = client("source"), client("source", "WEB")
    assert post(web, transactions=[sale(unit_price=99999)])["accepted"] == 1
    assert post(till, transactions=[sale()])["accepted"] == 1
    assert post(client("source"), transactions=[sale()])["repeated"] == 1  # a second key of POS
    kept = services.store.new_events()["transactions"]["order_id"].to_list()
    assert sorted(kept) == ["POS:o1", "WEB:o1"]


def test_a_source_reports_whatever_customer_and_reads_nothing(client: Client) -> None:
    caller = client("source")
    rows = [sale(customer_id=None), sale(order_id="o2", customer_id="c31", clerk_id="k3")]
    assert post(caller, transactions=rows)["accepted"] == 2
    assert caller.get("/v1/customers/c11").status_code == 403
    assert caller.get("/v1/clerks/k1/actions").status_code == 403
    assert caller.put("/v1/customers/c11/tags/vip", json={}).status_code == 403


def test_in_a_demonstration_without_keys_sales_are_taken_as_they_are(
    open_client: Callable[..., TestClient], services: Services
) -> None:
    assert post(open_client(), transactions=[sale()])["accepted"] == 1
    assert services.store.new_events()["transactions"]["order_id"].to_list() == ["o1"]


def test_a_corrected_row_takes_the_place_of_one_that_the_lake_refused(
    client: Client, services: Services
) -> None:
    caller = client("source")
    post(caller, transactions=[sale(quantity=5)])
    (waiting,) = services.store.open_rows()
    services.store.refuse_rows({waiting["outbox_id"]: {"reason": "too many"}})
    assert services.store.backlog()[0] == 0
    assert post(caller, transactions=[sale(quantity=5)])["repeated"] == 1
    assert post(caller, transactions=[sale(quantity=1)])["accepted"] == 1
    (row,) = services.store.open_rows()
    assert (row["state"], row["row"]["quantity"], row["refusal"]) == ("waiting", "1.0000", None)


def test_a_batch_has_bounds(client: Client) -> None:
    caller = client("source")
    assert post(caller) == {"accepted": 0, "repeated": 0, "refused": 0, "rows": []}
    rows = [sale(order_id=str(number)) for number in range(1001)]
    assert caller.post("/v1/events", json={"transactions": rows}).status_code == 422


def test_a_block_closes_the_customer_everywhere(client: Client) -> None:
    caller = client("store")
    block = {"response_id": "r", "customer_id": "c11", "ts": "2026-03-02T09:00", "kind": "blocked"}
    post(caller, responses=[block])
    assert caller.get("/v1/customers/c11").json()["state"]["is_blocked"] is True
    assert caller.get("/v1/customers/c11/actions").json()["actions"] == []


def test_listeners_hear_of_accepted_rows_after_they_are_kept(
    client: Client, services: Services
) -> None:
    heard: list[int] = []

    def listen() -> None:
        heard.append(services.store.backlog()[0])

    caller = client("source", on_change=listen)
    post(caller, transactions=[sale(), sale(quantity=0, order_id="o2")])
    post(caller, transactions=[sale()])
    assert heard == [1]


def test_the_document_describes_every_column_of_a_row(client: Client) -> None:
    schemas = client("store").get("/openapi.json").json()["components"]["schemas"]
    line = schemas["EventBatch"]["properties"]["transactions"]["items"]
    assert set(TABLES["transactions"].by_name) <= set(line["properties"])
    assert {"order_id", "line_no", "product_id", "ts", "quantity"} == set(line["required"])
    assert line["properties"]["quantity"]["maximum"] == MAX_QUANTITY


def test_half_a_character_is_refused_by_the_row(client: Client) -> None:
    body = json.dumps({"transactions": [sale(customer_id="\ud800"), sale(order_id="good")]})
    headers = {"Content-Type": "application/json"}
    result = client("source").post("/v1/events", content=body, headers=headers).json()
    assert [row["status"] for row in result["rows"]] == ["refused", "accepted"]


def test_a_product_that_sells_out_is_not_brought_any_more(client: Client) -> None:
    source, clerk = client("source"), client("clerk")
    path = "/v1/clerks/k1/actions"
    before = clerk.get(path)
    row = {"product_id": "05", "store_id": "s1", "ts": NOW.isoformat(), "on_hand": 0}
    assert source.post("/v1/events", json={"stock": [row]}).json()["accepted"] == 1
    after = clerk.get(path, headers={"If-None-Match": before.headers["etag"]})
    brings = [
        [one["product_id"] for one in action["products"]] for action in after.json()["actions"]
    ]
    assert brings == [["7"]] * 3
    row |= {"product_id": "7"}
    source.post("/v1/events", json={"stock": [row]})
    assert clerk.get(path).json()["actions"] == []
    since = after.json()["version"]
    changes = clerk.get(f"{path}/changes", params={"since": since}).json()
    assert {one["reason"] for one in changes["removed"]} == {"sold_out"}
    elsewhere = client("clerk", "k3").get("/v1/clerks/k3/actions").json()["actions"]
    assert [len(one["products"]) for one in elsewhere] == [2] * 3


def test_what_a_customer_does_in_the_app_is_an_event(client: Client) -> None:
    source, clerk = client("source"), client("clerk")
    row = {"event_id": "b1", "customer_id": "c11", "ts": NOW.isoformat(), "kind": "cart"}
    seen = row | {"product_id": "05"}
    assert source.post("/v1/events", json={"behaviour": [seen]}).json()["accepted"] == 1
    again = source.post("/v1/events", json={"behaviour": [seen, row | {"event_id": "b2"}]}).json()
    assert [one["status"] for one in again["rows"]] == ["repeated", "accepted"]
    odd = clerk.post("/v1/events", json={"behaviour": [row | {"event_id": "b3", "kind": "gaze"}]})
    assert odd.json()["rows"][0]["problem"]["detail"].startswith("behaviour.kind")
    stranger = row | {"event_id": "b4", "customer_id": "c31"}
    refused = clerk.post("/v1/events", json={"behaviour": [stranger]}).json()["rows"][0]
    assert refused["problem"]["code"] == "not_permitted"
    news = clerk.get("/v1/customers/c11").json()["news"]
    assert [(one["table"], one["kind"]) for one in news] == [("behaviour", "cart")] * 2
