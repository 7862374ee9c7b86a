"""Events over HTTP: each row accepted or refused by itself, and seen at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

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
    caller = client("store")
    assert post(caller, transactions=[sale()])["accepted"] == 1
    row = services.store.new_events()["transactions"].row(0, named=True)
    assert (str(row["unit_price"]), str(row["quantity"])) == ("19.9900", "2.0000")
    assert row["ts"].isoformat() == "2026-03-02T01:00:00+00:00"
    listed = caller.get("/v1/clerks/k1/actions").json()["actions"]
    assert "c11" not in [action["customer_id"] for action in listed]


def test_again_is_repeated_and_other_content_refused(client: Client) -> None:
    caller = client("store")
    result = post(caller, transactions=[sale(), sale(), sale(quantity=3)])
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
    result = post(client("admin"), **batch)
    assert (result["accepted"], result["refused"]) == (1, 1)
    problem = next(row["problem"] for row in result["rows"] if row["status"] == "refused")
    assert problem["detail"].startswith(f"{table}.{column} ")
    assert problem["expected"]
    assert len(services.store.new_events()["transactions"]) == 1


def test_ids_keep_leading_zeros_and_attributes_are_kept(client: Client, services: Services) -> None:
    post(client("admin"), transactions=[sale(order_id="007", attr_gift=True)])
    row = services.store.new_events()["transactions"].row(0, named=True)
    assert (row["order_id"], row["product_id"], row["attr_gift"]) == ("007", "05", "True")


def test_a_key_reports_about_its_own_alone(client: Client) -> None:
    rows = [
        sale(order_id="1"),
        sale(order_id="2", customer_id="c31"),
        sale(order_id="3", customer_id=None, store_id="s1"),
        sale(order_id="4", clerk_id="k3"),
    ]
    clerk = [row["status"] for row in post(client("clerk"), transactions=rows)["rows"]]
    assert clerk == ["accepted", "refused", "refused", "refused"]
    store = [row["status"] for row in post(client("store"), transactions=rows)["rows"]]
    assert store == ["repeated", "refused", "accepted", "refused"]
    assert client("marketer").post("/v1/events", json={"transactions": rows}).status_code == 403


def test_a_batch_has_bounds(client: Client) -> None:
    caller = client("admin")
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

    def listen(events: Any) -> None:
        assert services.store.backlog()[0] == 1
        heard.append(len(events))

    caller = client("store", on_events=listen)
    post(caller, transactions=[sale(), sale(quantity=0, order_id="o2")])
    post(caller, transactions=[sale()])
    assert heard == [1]
