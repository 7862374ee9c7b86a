"""A clerk's list through the day: versions, replacements, substitutes, and their log."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from nba.decisions.settings import DecisionSettings
from nba.models.mode.assignments.records import decision_rows
from nba.pipeline.replay import replay_action
from nba.schema.words import FeedbackKind
from nba.stores.books import Today
from nba.stores.feedback import Feedback
from nba.stores.hooks import HookEvent
from nba.stores.lists import Slice
from nba.stores.operational import OperationalStore
from nba.stores.outbox import Event
from nba.stores.people import Consent
from nba.stores.schema import hook_deliveries
from nba.stores.stock import StockChange

DAY = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 1, 16, tzinfo=UTC)  # in Shanghai
NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)
SETTINGS = DecisionSettings(seed=7)
PLAN: Mapping[str, Any] = {
    "as_of": DAY,
    "policy_version": "p1",
    "decisions": SETTINGS.model_dump(mode="json"),
}
Actions = Callable[..., pl.DataFrame]


def today(hour: int = 11) -> Today:
    local = datetime(2026, 3, 2, hour)
    return Today(MIDNIGHT, NOW, local, unprofiled=(), services=("care_call",))


def reserve(actions: pl.DataFrame, customers: int = 5, clerk: str = "k1") -> pl.DataFrame:
    """Return a reserve of `customers` with one selling action each, the first worth most."""
    pattern = actions.row(0, named=True)
    rows = [
        pattern
        | {
            "action_id": f"{clerk}-spare-{place}",
            "clerk_id": clerk,
            "customer_id": f"w{clerk[1]}{place}",
            "action_type": "new_arrival",
            "mode": "shopping_assistant",
            "rank": place,
            "value": 20.0 / place,
            "propensity": None,
        }
        for place in range(1, customers + 1)
    ]
    return pl.DataFrame(rows, schema=actions.schema)


def shifts(hour: int = 20) -> pl.DataFrame:
    closes_at = datetime(2026, 3, 2, hour)
    return pl.DataFrame({"clerk_id": ["k1", "k2"], "closes_at": [closes_at] * 2})


@pytest.fixture
def living(store: OperationalStore, make_actions: Actions) -> OperationalStore:
    """Return a store with a plan of two clerks, and a reserve for the first."""
    actions = make_actions()
    friend = pl.when(pl.col("customer_id") == "c11").then(pl.lit("k2"))
    listed = actions.with_columns(substitute_clerk_id=friend)
    store.publish(PLAN, listed, reserve(actions), shifts())
    return store


def listed(store: OperationalStore, clerk: str = "k1") -> list[str]:
    part = Slice("clerk_id", clerk, services=("care_call",))
    rows = store.open_actions(None, part, since=lambda _: MIDNIGHT)[1]
    return [row["customer_id"] for row in rows]


def bought(customer: str, order: str = "o1") -> Event:
    row = {
        "order_id": order,
        "line_no": "1",
        "customer_id": customer,
        "product_id": "05",
        "ts": NOW,
        "quantity": Decimal(1),
    }
    return Event("transactions", row)


def said(store: OperationalStore, action: str, kind: FeedbackKind, clerk: str = "k1") -> None:
    store.record([Feedback(f"f-{action}-{kind}", action, clerk, NOW, kind)])


def version(store: OperationalStore, clerk: str = "k1") -> int:
    book = store.book(clerk)
    assert book is not None
    assert book.is_settled
    return book.version


def test_who_bought_leaves_and_the_next_best_takes_the_minutes(living: OperationalStore) -> None:
    living.accept([bought("c12")])
    assert living.touched() == ["k1"]
    assert living.settle("k1", today())
    assert not living.settle("k1", today())
    left, came = listed(living)[:2], listed(living)[2:]
    assert left == ["c11", "c13"]
    assert len(came) == 1
    found = living.changes("k1", 0)
    assert found is not None
    assert [(one.kind, one.reason) for one in found[1]] == [
        ("removed", "bought"),
        ("added", "replacement"),
    ]
    action = living.action(found[1][1].action_id)
    assert (action["rank"], action["sequence"]) == (4, 1)
    assert 0 < action["propensity"] <= 1
    assert living.quota_used(DAY, DAY, came)["state"].to_list() == ["reserved"]


def test_a_list_that_nothing_left_stays(living: OperationalStore) -> None:
    said(living, "0302-1-1", FeedbackKind.OPENED)
    assert version(living) == 1
    assert listed(living) == ["c11", "c12", "c13"]
    assert living.day_decisions(DAY) == []


def test_minutes_that_were_spent_are_not_given_away(living: OperationalStore) -> None:
    said(living, "0302-1-1", FeedbackKind.SENT)
    living.settle("k1", today())
    assert listed(living) == ["c12", "c13"]
    said(living, "0302-1-2", FeedbackKind.SKIPPED)
    living.settle("k1", today())
    assert len(listed(living)) == 2
    assert living.day_decisions(DAY)[0].minutes == 4.0


def test_nothing_is_added_that_the_shift_has_no_time_for(living: OperationalStore) -> None:
    living.accept([bought("c11")])
    living.settle("k1", today(hour=20))
    assert listed(living) == ["c12", "c13"]


def test_a_window_that_is_over_becomes_the_rest_of_the_shift(living: OperationalStore) -> None:
    living.accept([bought("c11")])
    living.settle("k1", today(hour=15))
    added = [one for one in living.actions(DAY).to_dicts() if one["customer_id"].startswith("w")]
    assert [(one["contact_from"].hour, one["contact_to"].hour) for one in added] == [(15, 20)]


def test_who_of_the_reserve_bought_or_refused_is_not_drawn(living: OperationalStore) -> None:
    living.accept([bought("w11", "o2"), bought("w12", "o3")])
    living.put_consent("w13", Consent(False, False, NOW))
    living.accept(
        [
            Event(
                "responses",
                {"response_id": "r", "customer_id": "w14", "ts": NOW, "kind": "complained"},
            )
        ]
    )
    living.accept([bought("c11")])
    living.settle("k1", today())
    decision = living.day_decisions(DAY)[0]
    assert decision.rows["customer_id"].to_list() == ["w15"]


def test_a_complaint_closes_selling_and_leaves_service(
    store: OperationalStore, make_actions: Actions
) -> None:
    selling = pl.when(pl.col("customer_id") == "c12").then(pl.lit("new_arrival"))
    actions = make_actions().with_columns(action_type=pl.coalesce(selling, pl.col("action_type")))
    store.publish(PLAN, actions)
    cases = [
        {"case_id": f"s{customer}", "customer_id": customer, "kind": "complaint", "opened_at": NOW}
        for customer in ("c11", "c12")
    ]
    store.accept([Event("service_cases", case) for case in cases])
    store.settle("k1", today())
    assert listed(store) == ["c11", "c13"]
    closed = cases[1] | {"closed_at": NOW + timedelta(hours=1)}
    assert store.accept([Event("service_cases", closed)]) == ["accepted"]
    store.settle("k1", today())
    assert listed(store) == ["c11", "c12", "c13"]
    found = store.changes("k1", 1)
    assert found is not None
    assert [(one.kind, one.reason) for one in found[1]] == [("added", "back")]


def test_urgent_actions_of_an_absent_clerk_pass_to_who_stands_in(
    living: OperationalStore,
) -> None:
    living.accept([Event("absences", {"clerk_id": "k1", "date": DAY})])
    living.settle("k1", today())
    assert listed(living, "k2")[-1] == "c11"
    assert living.is_listed("c11", "k2")
    own, other = living.changes("k1", 0), living.changes("k2", 0)
    assert own is not None
    assert other is not None
    assert {one.reason for one in own[1]} == {"handed_over", "absent"}
    assert [one.reason for one in other[1]] == ["substitute"]
    said(living, "0302-1-1", FeedbackKind.SKIPPED, clerk="k2")
    living.settle("k2", today())
    assert listed(living, "k2") == ["c21", "c22", "c23"]


def test_an_absence_of_another_day_changes_nothing(living: OperationalStore) -> None:
    living.accept([Event("absences", {"clerk_id": "k1", "date": DAY + timedelta(days=1)})])
    assert living.touched() == []


def test_an_erased_customer_leaves_lists_reserve_and_log(living: OperationalStore) -> None:
    living.erase("w11")
    living.erase("c12")
    living.settle("k1", today())
    found = living.changes("k1", 0)
    assert found is not None
    assert ("removed", "gone") in [(one.kind, one.reason) for one in found[1]]
    assert "w11" not in [
        customer for one in living.day_decisions(DAY) for customer in one.rows["customer_id"]
    ]


def test_a_decision_of_the_day_can_be_drawn_again(living: OperationalStore) -> None:
    for number in (1, 2, 3):
        said(living, f"0302-1-{number}", FeedbackKind.SKIPPED)
        living.settle("k1", today())
    logged = living.day_decisions(DAY)
    assert [one.sequence for one in logged] == [1, 2, 3]
    for one in logged:
        assert one.drawn() == one.again()
    action_id = next(iter(logged[0].drawn()))
    found = replay_action(SimpleNamespace(plan_store=living), None, action_id)  # type: ignore[arg-type]
    assert found.same
    assert found.digest == found.logged_digest


def test_two_who_settle_at_once_draw_once(living: OperationalStore) -> None:
    living.accept([bought("c11")])
    threads = [threading.Thread(target=living.settle, args=("k1", today())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(living.day_decisions(DAY)) == 1
    assert len(listed(living)) == 3


def test_a_new_plan_begins_anew_and_an_older_one_changes_nothing(
    living: OperationalStore, make_actions: Actions
) -> None:
    living.accept([bought("c11")])
    living.settle("k1", today())
    older = DAY - timedelta(days=1)
    living.publish(dict(PLAN) | {"as_of": older}, make_actions(day=older))
    assert version(living) == 1
    living.mark_ingested(living.new_events()["transactions"]["outbox_id"].to_list())
    living.publish(PLAN, make_actions(salt="b"), reserve(make_actions()), shifts())
    assert version(living) == 0
    living.accept([bought("c12", "o9")])
    living.settle("k1", today())
    assert [one.sequence for one in living.day_decisions(DAY)] == [1, 2]


def test_who_was_drawn_during_the_day_is_a_row_of_the_decision_log(
    living: OperationalStore,
) -> None:
    assert living.drawn_during(DAY).is_empty()
    living.accept([bought("c11")])
    living.settle("k1", today())
    drawn = living.drawn_during(DAY)
    rows = decision_rows(drawn, drawn)
    assert rows["customer_id"].to_list() == listed(living)[2:]
    logged = living.day_decisions(DAY)[0].rows.filter(pl.col("mode").is_not_null())
    assert rows["propensity"].to_list() == logged["propensity"].to_list()
    assert rows["action_id"].to_list() == logged["action_id"].to_list()


def test_what_was_accepted_while_the_plan_was_made_is_worked_in(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.accept([bought("c11"), bought("nobody", "o2")])
    store.publish(PLAN, make_actions(), reserve(make_actions()), shifts())
    assert store.touched() == ["k1"]
    store.settle("k1", today())
    assert len(listed(store)) == 3


def test_webhooks_hear_of_what_came_and_left_during_the_day(living: OperationalStore) -> None:
    events = (HookEvent.ACTION_ADDED, HookEvent.ACTION_WITHDRAWN)
    living.add_hook("https://crm.example/nba", events)
    living.accept([bought("c12")])
    living.settle("k1", today())
    living.settle("k1", today())
    found = living.changes("k1", 0)
    assert found is not None
    with living.database.reading() as connection:
        bodies = [json.loads(body) for body in connection.scalars(select(hook_deliveries.c.body))]
    assert [(one["type"], one["data"]["action_id"]) for one in bodies] == [
        ("nba.action.withdrawn", found[1][0].action_id),
        ("nba.action.added", found[1][1].action_id),
    ]
    assert "c12" not in json.dumps([one["data"] for one in bodies])


def test_webhooks_hear_of_an_arm_that_stopped(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.add_hook("https://crm.example/nba", [HookEvent.EXPERIMENT_STOPPED])
    store.publish(PLAN, make_actions())
    tomorrow = DAY + timedelta(days=1)
    after = make_actions(day=tomorrow).filter(pl.col("arm") == "engine")
    store.publish({**PLAN, "as_of": tomorrow}, after)
    with store.database.reading() as connection:
        (body,) = connection.scalars(select(hook_deliveries.c.body)).all()
    assert json.loads(body)["data"] == {"as_of": tomorrow.isoformat(), "arm": "holdout"}


def stock(store: OperationalStore, on_hand: float, ts: datetime = NOW, product: str = "05") -> None:
    with store.writing() as writer:
        writer.note_stock([StockChange(product, "s1", on_hand, ts)], lambda store_id: ["k1"])


def test_what_is_sold_out_leaves_and_comes_back(
    store: OperationalStore, make_actions: Actions
) -> None:
    brings = pl.when(pl.col("customer_id") == "c12").then(pl.lit(["05"]))
    both = pl.when(pl.col("customer_id") == "c11").then(pl.lit(["05", "7"]))
    plan = make_actions().with_columns(
        product_ids=pl.coalesce(brings, both, pl.lit([], pl.List(pl.String)))
    )
    store.publish(PLAN, plan, reserve(plan), shifts())
    stock(store, 0)
    assert store.settle("k1", today())
    assert listed(store)[:2] == ["c11", "c13"]  # who is brought another product too stays
    found = store.changes("k1", 0)
    assert found is not None
    assert [(one.kind, one.reason) for one in found[1]] == [
        ("removed", "sold_out"),
        ("added", "replacement"),
    ]
    assert (store.sold_out("s1"), store.sold_out("s2")) == ({"05"}, set())

    stock(store, 5, NOW - timedelta(hours=1))  # an older word changes nothing
    assert store.sold_out("s1") == {"05"}
    stock(store, 5)
    assert store.settle("k1", today())
    assert "c12" in listed(store)
    stock(store, 0, product="7")
    stock(store, 0)
    assert store.settle("k1", today())
    assert "c11" not in listed(store)

    store.publish({**PLAN, "policy_version": "p2"}, plan, reserve(plan), shifts())
    assert store.sold_out("s1") == set()
    assert listed(store) == ["c11", "c12", "c13"]
