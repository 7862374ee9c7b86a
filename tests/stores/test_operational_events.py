"""Outbox, feedback, quota ledger: nothing twice, nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from nba.errors import ConflictError, NotFoundError
from nba.schema.tables import LOADED_AT, TABLES
from nba.schema.words import FeedbackKind
from nba.stores.feedback import Feedback
from nba.stores.operational import OperationalStore
from nba.stores.outbox import OUTBOX_ID, Event

DAY = date(2026, 3, 2)
PLAN = {"as_of": DAY, "policy_version": "p1"}
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Actions = Callable[..., pl.DataFrame]


def sale(order: str, quantity: str = "1.5") -> Event:
    row = {
        "order_id": order,
        "line_no": "1",
        "customer_id": "05",
        "product_id": "007",
        "ts": NOON,
        "quantity": Decimal(quantity),
        "unit_price": Decimal("19.9900"),
    }
    return Event("transactions", row)


def test_events_come_back_in_the_types_of_the_lake(store: OperationalStore) -> None:
    assert store.accept([sale("o1"), sale("o2")]) == ["accepted", "accepted"]
    frame = store.new_events()["transactions"]
    table = frame.drop(OUTBOX_ID).to_arrow()
    wanted = TABLES["transactions"].arrow_schema
    wanted = wanted.remove(wanted.get_field_index(LOADED_AT))
    assert table.schema.names == wanted.names
    assert table.schema.field("quantity").type == pa.decimal128(18, 4)
    first = frame.row(0, named=True)
    assert (first["customer_id"], first["product_id"]) == ("05", "007")
    assert (first["ts"], first["quantity"]) == (NOON, Decimal("1.5000"))


def test_the_same_row_again_is_repeated_and_another_body_a_conflict(
    store: OperationalStore,
) -> None:
    assert store.accept([sale("o1"), sale("o1"), sale("o1", "2")]) == [
        "accepted",
        "repeated",
        "conflict",
    ]
    assert len(store.new_events()["transactions"]) == 1


def test_what_the_lake_holds_is_not_given_again(store: OperationalStore) -> None:
    store.accept([sale("o1"), sale("o2")])
    first = store.new_events()["transactions"][OUTBOX_ID][0]
    store.mark_ingested([first])
    store.mark_ingested([first])
    assert store.new_events()["transactions"]["order_id"].to_list() == ["o2"]
    assert store.backlog()[0] == 1
    assert store.accept([sale("o1")]) == ["repeated"]


def test_four_writers_lose_nothing(store: OperationalStore) -> None:
    failures: list[Exception] = []

    def write(writer: int) -> None:
        try:
            for turn in range(25):
                store.accept([sale(f"o{writer}-{turn}")])
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert len(store.new_events()["transactions"]) == 100


def sent(feedback_id: str, kind: FeedbackKind = FeedbackKind.SENT) -> Feedback:
    return Feedback(feedback_id, "0302-1-1", "k1", NOON, kind, position=1)


def test_sent_creates_one_interaction_however_often_it_is_reported(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    assert store.record([sent("f1"), sent("f1"), sent("f2")]) == [
        "accepted",
        "repeated",
        "accepted",
    ]
    events = store.new_events()
    assert len(events["feedback"]) == 2
    row = events["interactions"].row(0, named=True)
    assert len(events["interactions"]) == 1
    assert row["action_id"] == "0302-1-1"
    assert (row["customer_id"], row["mode"], row["minutes"]) == ("c11", "private_partner", 4.0)
    assert row["product_ids"] == ["05", "7"]


@pytest.mark.parametrize("first", ["feedback", "interaction"])
def test_a_recorded_interaction_counts_in_place_of_the_created_one(
    store: OperationalStore, make_actions: Actions, first: str
) -> None:
    store.publish(PLAN, make_actions())
    own = Event(
        "interactions",
        {
            "interaction_id": "own",
            "customer_id": "c11",
            "ts": NOON,
            "mode": "private_partner",
            "action_id": "0302-1-1",
        },
    )
    steps: list[Callable[[], Any]] = [
        lambda: store.record([sent("f1")]),
        lambda: store.accept([own]),
    ]
    for step in steps if first == "feedback" else reversed(steps):
        step()
    assert store.new_events()["interactions"]["interaction_id"].to_list() == ["own"]


def test_a_contact_takes_the_place_of_no_other_customers(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    store.record([sent("f1")])
    row = {"interaction_id": "m-1", "customer_id": "c31", "ts": NOON, "mode": "private_partner"}
    foreign = Event("interactions", {**row, "action_id": "0302-1-1"})
    unknown = Event("interactions", {**row, "action_id": "of another system"})
    assert store.accept([foreign, unknown]) == ["other_action", "accepted"]
    kept = store.new_events()["interactions"]["interaction_id"].to_list()
    assert kept == ["sent:0302-1-1", "m-1"]


def case(customer_id: str = "c11", **changes: Any) -> Event:
    row = {"case_id": "17", "customer_id": customer_id, "kind": "complaint", "opened_at": NOON}
    return Event("service_cases", row | changes)


def test_a_case_that_has_ended_stays_so(store: OperationalStore) -> None:
    closed = case(closed_at=NOON)
    assert store.accept([case(), closed]) == ["accepted", "accepted"]
    assert store.accept([case(), closed]) == ["repeated", "repeated"]
    assert store.accept([case(kind="question")]) == ["conflict"]
    assert store.new_events()["service_cases"]["closed_at"].to_list() == [NOON]


def test_a_case_is_not_replaced_by_another_customers(store: OperationalStore) -> None:
    assert store.accept([case()]) == ["accepted"]
    assert store.accept([case("c31", closed_at=NOON)]) == ["conflict"]
    row = store.new_events()["service_cases"].row(0, named=True)
    assert (row["customer_id"], row["closed_at"]) == ("c11", None)


def test_feedback_on_an_unknown_action_keeps_nothing_of_the_batch(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    lost = Feedback("f2", "nope", "k1", NOON, FeedbackKind.SENT)
    with pytest.raises(NotFoundError):
        store.record([sent("f1"), lost])
    assert store.new_events() == {}


def ledger(store: OperationalStore) -> dict[tuple[str, str], int]:
    used = store.quota_used(DAY, DAY)
    return {(row["customer_id"], row["state"]): row["contacts"] for row in used.to_dicts()}


def test_the_ledger_reserves_spends_and_releases(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions(clerks=1))
    assert ledger(store) == {(f"c1{n}", "reserved"): 1 for n in (1, 2, 3)}
    store.record([sent("f1"), Feedback("f2", "0302-1-2", "k1", NOON, FeedbackKind.SKIPPED)])
    assert ledger(store) == {("c11", "spent"): 1, ("c13", "reserved"): 1}
    store.record([sent("f3", FeedbackKind.SKIPPED)])
    assert ("c11", "spent") in ledger(store)
    store.record([sent("f4", FeedbackKind.UNDELIVERED)])
    assert ledger(store) == {("c13", "reserved"): 1}
    assert store.release_expired(datetime(2026, 3, 3, 0, 1)) == 1
    assert ledger(store) == {}


def test_a_new_plan_of_the_day_replaces_reservations_and_keeps_what_was_spent(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions(clerks=1))
    store.record([sent("f1")])
    store.publish(PLAN, make_actions(clerks=1, per_clerk=1, salt="b"))
    assert ledger(store) == {("c11", "spent"): 1, ("c11", "reserved"): 1}


def test_publishing_releases_what_expired_before_the_day(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions(clerks=1, per_clerk=1))
    tomorrow = date(2026, 3, 3)
    store.publish(PLAN | {"as_of": tomorrow}, make_actions(tomorrow, clerks=1, per_clerk=1))
    used = store.quota_used(DAY, tomorrow)
    assert used["contacts"].to_list() == [1]


def test_the_quota_left_counts_the_month_but_not_the_days_own_reservations(
    store: OperationalStore, make_actions: Actions
) -> None:
    yesterday = date(2026, 3, 1)
    lasting = make_actions(yesterday, clerks=1, per_clerk=1).with_columns(
        expires_at=pl.lit(datetime(2026, 3, 5))
    )
    store.publish(PLAN | {"as_of": yesterday}, lasting)
    store.publish(PLAN | {"as_of": date(2026, 2, 28)}, make_actions(date(2026, 2, 28)))
    store.publish(PLAN, make_actions(clerks=1, per_clerk=2))
    store.record([Feedback("f1", "0302-1-2", "k1", NOON, FeedbackKind.SENT)])
    left = {row["customer_id"]: row["remaining"] for row in store.quota_frame(DAY).to_dicts()}
    assert left == {"c11": 30.0, "c12": 30.0}
    assert store.quota_frame(date(2026, 3, 31))["customer_id"].to_list() == ["c12"]
    assert store.quota_frame(date(2026, 4, 1)).is_empty()


def test_a_plan_for_a_past_day_leaves_the_current_one_and_its_contacts(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions(clerks=1, per_clerk=2))
    current, left = store.current_plan(), store.quota_frame(date(2026, 3, 3))
    past = date(2026, 2, 20)
    lasting = make_actions(past, clerks=1, per_clerk=2)
    store.publish(PLAN | {"as_of": past}, lasting)
    assert store.actions(past)["clerk_id"].to_list() == ["k1"] * 3  # one is held out
    assert store.current_plan() == current
    assert store.quota_frame(date(2026, 3, 3)).equals(left)
    assert store.quota_used(past, past).is_empty()


def test_an_idempotency_key_replays_its_response_and_refuses_another_body(
    store: OperationalStore,
) -> None:
    with store.writing() as writer:
        assert writer.replay("app", "k", "d1") is None
        writer.remember("app", "k", "d1", {"status": 200})
    with store.writing() as writer:
        assert writer.replay("app", "k", "d1") == {"status": 200}
        assert writer.replay("other", "k", "d1") is None
    with pytest.raises(ConflictError, match="another request"), store.writing() as writer:
        writer.replay("app", "k", "d2")
