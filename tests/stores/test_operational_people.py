"""Tags with history, consents, erasure, keys, and the schema itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from nba.errors import NotFoundError, UsageError
from nba.schema.words import FeedbackKind, TagSource
from nba.stores.access import Scope
from nba.stores.feedback import Feedback
from nba.stores.operational import OperationalStore
from nba.stores.people import Consent, Tag
from nba.stores.schema import UtcDateTime, metadata

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_migrations_build_exactly_the_tables_of_the_schema(store: OperationalStore) -> None:
    def same_type(*columns: Any) -> bool | None:
        return False if isinstance(columns[4], UtcDateTime) else None

    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": same_type})
        assert compare_metadata(context, metadata) == []


def test_stores_that_start_together_migrate_once(empty_url: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        try:
            OperationalStore(empty_url).close()
        except Exception as error:
            failures.append(error)

    starts = [threading.Thread(target=start) for _ in range(3)]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    assert failures == []


def test_sqlite_writes_ahead_and_syncs_fully(tmp_path: Any) -> None:
    store = OperationalStore(f"sqlite:///{tmp_path / 'deep' / 'er' / 'operations.db'}")
    with store.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), None)  # type: ignore[arg-type]


def tag(value: str | None = None, expires_at: datetime | None = None) -> Tag:
    return Tag("likes_tea", value, TagSource.CLERK, NOON, expires_at)


def test_tags_stand_change_expire_and_keep_their_history(
    store: OperationalStore, clock: Any
) -> None:
    clock.moment = NOON
    store.put_tag("c1", tag("green"), author="k1")
    store.put_tag("c1", tag("green"), author="k1")
    assert store.tags("c1", clock.moment) == [tag("green")]
    assert len(store.tag_history("c1")) == 1
    store.put_tag("c1", tag("black", NOON + timedelta(days=1)))
    assert store.tags("c1", clock.moment)[0].value == "black"
    clock.forward(days=2)
    assert store.tags("c1", clock.moment) == []


def test_a_removed_tag_is_gone_here_and_expired_in_the_lake(
    store: OperationalStore, clock: Any
) -> None:
    store.put_tag("c1", tag("green"))
    clock.moment = NOON + timedelta(hours=1)
    store.remove_tag("c1", "likes_tea", at=clock.moment)
    store.remove_tag("c1", "likes_tea", at=clock.moment)
    assert store.tags("c1", clock.moment) == []
    standing = store.standing("c1", store.customer_mark("c1"), lambda day: NOON)
    assert (standing.changed_tags, standing.tags) == ({"likes_tea"}, [])
    rows = store.new_events()["tags"].sort("ts")
    assert rows["expires_at"].to_list() == [None, clock.moment]
    assert len(store.tag_history("c1")) == 2


def test_the_latest_consent_wins_whatever_order_it_arrives_in(store: OperationalStore) -> None:
    late = Consent(False, True, NOON)
    early = Consent(True, True, NOON - timedelta(days=1))
    assert store.put_consent("c1", late) == late
    assert store.put_consent("c1", early) == late
    assert store.consent("c1") == late
    assert store.consent("c2") is None
    history = store.consents().rows()
    assert history == [("c1", True, True, early.consent_at), ("c1", False, True, NOON)]


def test_erasure_leaves_a_receipt_a_tombstone_and_nothing_else(
    store: OperationalStore, make_actions: Callable[..., pl.DataFrame]
) -> None:
    plan = {"as_of": date(2026, 3, 2), "policy_version": "p1"}
    store.publish(plan, make_actions())
    store.record([Feedback("f1", "0302-1-1", "k1", NOON, FeedbackKind.SENT)])
    store.put_tag("c11", tag())
    store.put_consent("c11", Consent(True, True, NOON))
    receipt = store.erase("c11")
    assert receipt.counts == {
        "actions": 1,
        "feedback": 1,
        "outbox": 3,
        "audit": 0,
        "tags": 1,
        "consents": 1,
        "quotas": 1,
        "reserves": 0,
        "draws": 0,
        "changes": 0,
        "laid": 0,
        "laid_actions": 0,
        "laid_cards": 0,
        "records": 0,
        "chat_recipients": 0,
        "fallbacks": 0,
        "idempotency": 0,
        "nights": 0,
    }
    assert store.erase("c11").receipt_id == receipt.receipt_id
    assert "c11" not in set(store.actions(date(2026, 3, 2))["customer_id"])
    assert store.pending_erasures() == {receipt.receipt_id: "c11"}
    store.complete_erasure(receipt.receipt_id, {"lake.transactions": 4})
    assert store.pending_erasures() == {}
    done = store.receipt("c11")
    assert done is not None
    assert done.completed_at is not None
    assert done.counts["lake.transactions"] == 4
    assert store.erased_among(["c11", "c12"]) == {"c11"}
    with store.database.reading() as connection:
        dump = [connection.execute(table.select()).all() for table in metadata.sorted_tables]
    assert "'c11'" not in str(dump)


def test_an_erased_customer_does_not_come_back_with_a_plan(
    store: OperationalStore, make_actions: Callable[..., pl.DataFrame]
) -> None:
    store.erase("c11")
    store.publish({"as_of": date(2026, 3, 2), "policy_version": "p1"}, make_actions())
    assert "c11" not in set(store.actions(date(2026, 3, 2))["customer_id"])


def test_keys_open_until_they_expire_or_are_revoked(store: OperationalStore, clock: Any) -> None:
    made = store.create_key(Scope.CLERK, subject="k1", label="app")
    brief = store.create_key(Scope.ADMIN, expires_at=clock.moment + timedelta(hours=1))
    assert store.verify_token(made.token) == made.key
    assert store.verify_token(made.token + "x") is None
    assert store.verify_token("nonsense") is None
    assert store.verify_token(made.token.replace("nba_", "abn_")) is None
    assert store.verify_token(brief.token) is not None
    clock.forward(hours=2)
    assert store.verify_token(brief.token) is None
    store.revoke_key(made.key.key_id)
    store.revoke_key(made.key.key_id)
    assert store.verify_token(made.token) is None
    with pytest.raises(NotFoundError):
        store.revoke_key("nope")


def test_secrets_are_neither_stored_nor_shown(store: OperationalStore) -> None:
    made = store.create_key(Scope.ADMIN)
    secret = made.token.split("_", 2)[2]
    assert secret not in repr(made)
    with store.database.reading() as connection:
        rows = connection.execute(metadata.tables["api_keys"].select()).all()
    assert secret not in str(rows)
    assert "secret_digest" not in store.keys()[0]


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.CLERK, None),
        (Scope.ADMIN, "k1"),
        (Scope.SOURCE, None),
        (Scope.SOURCE, ""),
        (Scope.SOURCE, "POS:north"),
    ],
)
def test_a_key_is_for_whom_its_scope_needs(
    store: OperationalStore, scope: Scope, subject: str | None
) -> None:
    with pytest.raises(UsageError):
        store.create_key(scope, subject=subject)
