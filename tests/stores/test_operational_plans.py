"""Plans: one transaction, idempotent, read back as published, kept true."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nba.errors import ConflictError, NotFoundError
from nba.schema.words import FeedbackKind
from nba.stores.feedback import Feedback
from nba.stores.lists import Slice
from nba.stores.operational import OperationalStore
from nba.stores.outbox import Event
from nba.stores.people import Consent

DAY = date(2026, 3, 2)
PLAN = {"as_of": DAY, "policy_version": "p1", "model_versions": {"timing": "1"}, "counts": {"a": 1}}
Actions = Callable[..., pl.DataFrame]


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def shown(store: OperationalStore, clerk: str = "k1", **options: Any) -> list[str]:
    _, actions = store.open_actions(None, Slice("clerk_id", clerk, **options), since=midnight)
    return [action["customer_id"] for action in actions]


def test_a_published_plan_reads_back_as_it_was_given(
    store: OperationalStore, make_actions: Actions
) -> None:
    actions = make_actions()
    assert store.publish(PLAN, actions)
    back = store.actions(DAY)
    wanted = actions.with_columns(pl.col("as_of").cast(pl.Date))
    assert_frame_equal(
        back, wanted, check_row_order=False, check_column_order=False, check_dtypes=True
    )
    header = store.plan(datetime(2026, 3, 2))
    assert header is not None
    assert header["counts"] == {"a": 1}
    assert store.plan(date(2026, 3, 1)) is None
    assert store.actions(date(2026, 3, 1)).is_empty()


def test_publishing_the_same_plan_again_writes_nothing(
    store: OperationalStore, make_actions: Actions, clock: Any
) -> None:
    assert store.publish(PLAN, make_actions())
    first = store.current_plan()
    clock.forward(hours=1)
    assert not store.publish(PLAN, make_actions().reverse())
    assert store.current_plan() == first
    assert store.publish(PLAN, make_actions(salt="b"))
    assert store.current_plan() != first
    assert set(store.actions(DAY)["action_id"]) == set(make_actions(salt="b")["action_id"])


def test_a_plan_with_an_action_twice_leaves_the_old_one(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    double = pl.concat([make_actions(salt="b"), make_actions(salt="b").head(1)])
    with pytest.raises(ConflictError, match="twice"):
        store.publish(PLAN, double)
    assert set(store.actions(DAY)["action_id"]) == set(make_actions()["action_id"])


def test_readers_see_the_old_plan_or_the_new_never_a_mix(
    store: OperationalStore, make_actions: Actions
) -> None:
    big = {salt: make_actions(clerks=5, per_clerk=40, salt=salt) for salt in "ab"}
    store.publish(PLAN | {"which": "a"}, big["a"])
    mixed: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            header, actions = store.open_actions(
                None, Slice("clerk_id", "k3", limit=100), since=midnight
            )
            assert header is not None
            if {action["action_id"][-1] for action in actions} != {header["which"]}:
                mixed.append(header)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(10):
        which = "ba"[turn % 2]
        store.publish(PLAN | {"which": which}, big[which])
    done.set()
    for reader in readers:
        reader.join()
    assert mixed == []


def test_the_list_is_ranked_pages_and_hides_the_held_out(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    assert shown(store) == ["c11", "c12", "c13"]
    assert shown(store, limit=2) == ["c11", "c12"]
    assert shown(store, after=(2, "0302-1-2")) == ["c13"]
    assert shown(store, mode="shopping_assistant") == ["c12"]
    assert shown(store, clerk="nobody") == []


def transaction(customer: str, ts: datetime, quantity: str = "1") -> Event:
    row = {
        "order_id": f"o-{customer}",
        "line_no": "1",
        "customer_id": customer,
        "product_id": "05",
        "ts": ts,
        "quantity": Decimal(quantity),
    }
    return Event("transactions", row)


def interaction(customer: str, ts: datetime, mode: str = "private_partner") -> Event:
    row = {"interaction_id": f"i-{customer}", "customer_id": customer, "ts": ts, "mode": mode}
    return Event("interactions", row)


def blocked(ts: datetime, **who: str) -> Event:
    return Event("responses", {"response_id": "r1", "ts": ts, "kind": "blocked"} | who)


TODAY = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
YESTERDAY = TODAY - timedelta(days=1)


@pytest.mark.parametrize(
    ("event", "drops"),
    [
        (transaction("c12", TODAY), True),
        (transaction("c12", YESTERDAY), False),
        (transaction("c12", TODAY, "-1"), False),
        (interaction("c12", TODAY), True),
        (interaction("c12", TODAY, "none"), False),
        (interaction("c12", YESTERDAY), False),
        (blocked(TODAY, customer_id="c12"), True),
        (blocked(YESTERDAY, customer_id="c12"), True),
    ],
)
def test_what_happened_since_last_night_drops_out(
    store: OperationalStore, make_actions: Actions, event: Event, drops: bool
) -> None:
    store.publish(PLAN, make_actions())
    assert store.accept([event]) == ["accepted"]
    assert shown(store) == (["c11", "c13"] if drops else ["c11", "c12", "c13"])


def test_a_block_that_names_only_the_interaction_drops_the_customer(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    store.accept([interaction("c12", YESTERDAY), blocked(TODAY, interaction_id="i-c12")])
    assert shown(store) == ["c11", "c13"]


def test_a_withdrawn_consent_drops_out_and_a_new_one_returns(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    store.put_consent("c11", Consent(False, True, TODAY))
    store.put_consent("c12", Consent(True, False, TODAY))
    assert shown(store) == ["c13"]
    store.put_consent("c11", Consent(True, True, TODAY + timedelta(hours=1)))
    assert shown(store) == ["c11", "c13"]


def test_feedback_shows_as_status_and_closing_feedback_drops_out(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    store.record([Feedback("f1", "0302-1-1", "k1", TODAY, FeedbackKind.OPENED, position=1)])
    _, actions = store.open_actions(None, Slice("clerk_id", "k1"), since=midnight)
    assert [action["status"] for action in actions] == ["opened", "new", "new"]
    store.record([Feedback("f2", "0302-1-1", "k1", TODAY, FeedbackKind.SKIPPED)])
    assert shown(store) == ["c12", "c13"]


def test_an_unknown_action_says_what_to_do(store: OperationalStore) -> None:
    with pytest.raises(NotFoundError, match="clerk's list again"):
        store.action("nope")
