"""The audit log on every store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl
from tests.stores.conftest import Clock

from nba.stores.audit import AuditEntry, Target
from nba.stores.operational import OperationalStore

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
DAY = date(2026, 3, 2)


def entry(kind: Target, target: str, ts: datetime = NOON, day: date | None = None) -> AuditEntry:
    return AuditEntry(ts, "key", "clerk", "k1", "GET", "/v1/…", 200, kind, target, day)


def test_calls_are_found_by_customer_action_and_list(
    store: OperationalStore, make_actions: Callable[..., pl.DataFrame]
) -> None:
    frame = make_actions()
    store.publish({"as_of": DAY, "policy_version": "p1"}, frame)
    first = frame.filter(pl.col("customer_id") == "c11").row(0, named=True)
    store.keep_calls(
        [
            entry(Target.CUSTOMER, "c11"),
            entry(Target.ACTION, first["action_id"]),
            entry(Target.LIST, first["clerk_id"], day=DAY),
            entry(Target.LIST, first["clerk_id"], day=DAY - timedelta(days=1)),
            entry(Target.CUSTOMER, "c12"),
        ]
    )
    kinds = [one["kind"] for one in store.calls_about("c11")]
    assert kinds == ["customer", "action", "list"]
    assert store.calls_about("c11", NOON + timedelta(seconds=1)) == []


def test_calls_are_forgotten_after_their_days_and_with_the_person(
    store: OperationalStore, clock: Clock
) -> None:
    now = clock()
    store.keep_calls([entry(Target.CUSTOMER, "c1", now - timedelta(days=days)) for days in (0, 9)])
    assert store.purge_calls(7) == 1
    assert len(store.calls_about("c1")) == 1
    assert store.erase("c1").counts["audit"] == 1
    assert store.calls_about("c1") == []
    store.keep_calls([entry(Target.CUSTOMER, "c1", now), entry(Target.CUSTOMER, "c2", now)])
    assert store.calls_about("c1") == []
    assert len(store.calls_about("c2")) == 1
