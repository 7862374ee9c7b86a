"""What happens when a clerk does not act: a service notice or the official account, exactly once.

The other channel is the shop's own: it hears of a due fallback by the webhook `action.fallback`,
whose message is written in the transaction that decides. Its id is the receiver's key to send once.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from nba.decisions.action_types import Fallback
from nba.schema.words import FeedbackKind
from nba.stores import fallbacks, feedback, hooks
from nba.stores.fallbacks import WAITS, FallbackState
from nba.stores.feedback import Feedback
from nba.stores.hooks import HookEvent
from nba.stores.lists import CLOSING
from nba.stores.operational import Writer
from nba.stores.outbox import FALLBACK_PREFIX, Event
from nba.wiring import Wiring

REASON: Final = "fallback"


def fall_back(wiring: Wiring, now: datetime) -> Counter[str]:
    """Arm what the newest plan asks for, and decide what is due.

    Returns
    -------
    Counter of str
        `armed`, `fired`, `cancelled`, `waits` (the platform has not told yet), `unheard` (no
        webhook listens to `action.fallback`: it stays armed).
    """
    done: Counter[str] = Counter()
    rows = wanted(wiring)
    with wiring.plan_store.writing() as writer:
        done["armed"] = fallbacks.arm(writer.connection, rows, writer.now)
        is_heard = hooks.is_heard(writer.connection, HookEvent.ACTION_FALLBACK)
        due = fallbacks.due(writer.connection, now)
    for row in due:
        with wiring.plan_store.writing() as writer:
            done[decide(writer, row, is_heard=is_heard)] += 1
    return +done


def decide(writer: Writer, row: Any, *, is_heard: bool) -> str:
    """Fire or cancel one fallback whose deadline has come, within the caller's transaction."""
    connection, now = writer.connection, writer.now
    why = fallbacks.hindrance(connection, row)
    if why == WAITS:
        return WAITS
    if why is not None:
        done = fallbacks.settle(connection, row.action_id, FallbackState.CANCELLED, why, now)
        return "cancelled" if done else "late"
    if not is_heard:
        return "unheard"
    if not fallbacks.settle(connection, row.action_id, FallbackState.FIRED, row.channel, now):
        return "late"
    action = writer.action(row.action_id)
    facts = {name: getattr(row, name) for name in ("action_id", "clerk_id", "channel", "deadline")}
    hooks.emit(connection, HookEvent.ACTION_FALLBACK, facts, now)
    _close(writer, row)
    contact = {
        "interaction_id": FALLBACK_PREFIX + row.action_id,
        "customer_id": row.customer_id,
        "ts": now,
        "mode": action["mode"],
        "action_type": action["action_type"],
        "channel": row.channel,
        "product_ids": action["product_ids"],
        "content_id": action["content_id"],
        "minutes": 0.0,
    }
    writer.accept(Event("interactions", contact))
    return "fired"


def _close(writer: Writer, row: Any) -> None:
    """Take the action off the clerk's list: it lapsed, unless the platform has said so before."""
    said = feedback.of_action(writer.connection, row.action_id)
    if any(one["kind"] in CLOSING for one in said):
        return
    entry = Feedback(
        FALLBACK_PREFIX + row.action_id, row.action_id, row.clerk_id, writer.now,
        FeedbackKind.EXPIRED, REASON,
    )  # fmt: skip
    writer.record(entry)


def wanted(wiring: Wiring) -> list[dict[str, Any]]:
    """Return the fallbacks of the newest plan's actions."""
    plan = wiring.plan_store.current_plan()
    kinds = {
        one.action_type: one.fallback
        for one in wiring.decision_files.catalogue.actions
        if one.fallback is not None
    }
    if plan is None or not kinds:
        return []
    zone = ZoneInfo(wiring.settings.time_zone)
    begins = datetime.combine(plan["as_of"], time(), zone).astimezone(UTC)
    rows = wiring.plan_store.actions(plan["as_of"]).filter(
        pl.col("action_type").is_in(list(kinds)), pl.col("rank").is_not_null()
    )
    return [
        {
            "action_id": row["action_id"],
            "customer_id": row["customer_id"],
            "clerk_id": row["clerk_id"],
            "channel": str(kinds[row["action_type"]].channel),
            "begins_at": begins,
            "deadline": deadline_of(kinds[row["action_type"]], row["contact_from"], zone),
        }
        for row in rows.iter_rows(named=True)
        if row["contact_from"] is not None
    ]


def deadline_of(fallback: Fallback, contact_from: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment (UTC) at which another channel takes over."""
    local = contact_from + timedelta(hours=fallback.after_hours)
    return local.replace(tzinfo=zone).astimezone(UTC)
