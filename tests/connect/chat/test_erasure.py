"""Nothing that the platform told of a customer, or was to send them, outlives their erasure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from nba.schema.words import EndedBy
from nba.stores import chat
from nba.stores.chat import NewTask, TaskState
from nba.stores.operational import OperationalStore

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def task(name: str, *people: str) -> NewTask:
    row = {
        "task_id": name, "kind": "message", "as_of": date(2026, 3, 2), "clerk_id": "K1",
        "clerk": "k", "content": {"text": name}, "expires_at": None,
    }  # fmt: skip
    who = [
        {"customer_id": one, "external_id": f"wm-{one}", "action_id": f"{name}-{one}"}
        for one in people
    ]
    return NewTask(row, who)


def test_an_erased_customer_leaves_no_marks_ends_or_waiting_texts(tmp_path: Path) -> None:
    store = OperationalStore(f"sqlite:///{tmp_path / 'o.db'}")
    with store.database.writing() as connection:
        chat.prepare(connection, [task("own", "C1"), task("shared", "C1", "C2")], NOW)
        for one in ("wm-C1", "wm-C2", "w9"):
            chat.mark(connection, chat.CONTACT, one, NOW)
            chat.end(connection, one, "k", EndedBy.CUSTOMER, NOW)
    store.erase("C1")
    store.erase("wecom:w9")
    with store.database.reading() as connection:
        assert [row.task_id for row in chat.tasks_in(connection, TaskState.READY)] == ["shared"]
        assert [row.customer_id for row in chat.recipients(connection, "shared")] == ["C2"]
        assert [row.external_id for row in chat.ends(connection)] == ["wm-C2"]
        assert chat.marked(connection)[1]["contact"] == ["wm-C2"]
    store.close()
