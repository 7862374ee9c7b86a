"""The operational store's tables: what is published, what came in, who may do what.

Moments are UTC (`UtcDateTime`); `contact_from`, `contact_to` and `expires_at` of an action
are naive local time, as everything above the lake is. Migrations in `nba.stores.migrations`
build exactly these tables; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in Python, stored as naive UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the naive UTC value to store; a naive moment is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone cannot be stored: {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the stored value as an aware UTC moment."""
        return None if value is None else value.replace(tzinfo=UTC)


Document = JSON(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

plans = Table(
    "plans",
    metadata,
    Column("as_of", Date, primary_key=True),
    Column("policy_version", String, nullable=False),
    Column("model_versions", Document),
    Column("counts", Document),
    Column("details", Document),
    Column("digest", String(64), nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
)

actions = Table(
    "actions",
    metadata,
    Column("action_id", String, primary_key=True),
    Column("as_of", Date, nullable=False),
    Column("clerk_id", String),
    Column("rank", Integer),
    Column("customer_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("action_type", String),
    Column("channel", String),
    Column("product_ids", Document),
    Column("content_id", String),
    Column("contact_from", DateTime),
    Column("contact_to", DateTime),
    Column("minutes", Float),
    Column("value", Float),
    Column("uplift", Float),
    Column("p_repurchase_30d", Float),
    Column("propensity", Float),
    Column("explored", Boolean),
    Column("arm", String),
    Column("reasons", Document),
    Column("talking_point", Document),
    Column("policy_version", String),
    Column("model_versions", Document),
    Column("expires_at", DateTime),
    Column("details", Document),
    Index(None, "as_of", "clerk_id", "rank"),
    Index(None, "customer_id"),
)

books = Table(
    "books",
    metadata,
    Column("as_of", Date, primary_key=True),
    Column("clerk_id", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("touched", Integer, nullable=False),
    Column("settled", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("minutes", Float, nullable=False),
    Column("closes_at", DateTime),
    Column("absent", Boolean, nullable=False, server_default=false()),
)

reserves = Table(
    "reserves",
    metadata,
    Column("action_id", String, primary_key=True),
    Column("as_of", Date, nullable=False),
    Column("clerk_id", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("place", Integer, nullable=False),
    Column("mode", String, nullable=False),
    Column("action_type", String, nullable=False),
    Column("arm", String, nullable=False),
    Column("value", Float, nullable=False),
    Column("minutes", Float, nullable=False),
    Column("action", Document, nullable=False),
    Index(None, "as_of", "clerk_id", "place"),
    Index(None, "customer_id"),
)

changes = Table(
    "changes",
    metadata,
    Column("change_id", Integer, primary_key=True, autoincrement=True),
    Column("as_of", Date, nullable=False),
    Column("clerk_id", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("action_id", String, nullable=False),
    Column("customer_id", String),
    Column("kind", String, nullable=False),
    Column("reason", String),
    Column("changed_at", UtcDateTime, nullable=False),
    Index(None, "as_of", "clerk_id", "version"),
    Index(None, "customer_id"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("as_of", Date, primary_key=True),
    Column("clerk_id", String, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("minutes", Float, nullable=False),
    Column("settings", Document, nullable=False),
    Column("policy_version", String, nullable=False),
)

draws = Table(
    "draws",
    metadata,
    Column("as_of", Date, primary_key=True),
    Column("clerk_id", String, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("customer_id", String, primary_key=True),
    Column("arm", String, nullable=False),
    Column("mode", String),
    Column("action_id", String),
    Column("propensity", Float, nullable=False),
    Column("explored", Boolean, nullable=False),
    Column("alternatives", Document, nullable=False),
    Index(None, "customer_id"),
)

records = Table(
    "records",
    metadata,
    Column("as_of", Date, primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("record", LargeBinary, nullable=False),
    Index(None, "customer_id"),
)

laid = Table(
    "laid",
    metadata,
    Column("as_of", Date, primary_key=True),
    Column("clerk_id", String, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("definitions", String, nullable=False),
    Column("customer_ids", Text, nullable=False),
    Column("record", LargeBinary, nullable=False),
)

laid_actions, laid_cards = (
    Table(
        name,
        metadata,
        Column("customer_id", String, primary_key=True),
        Column("as_of", Date, primary_key=True),
        Column("digest", String(64), nullable=False),
        Column("definitions", String, nullable=False),
        Column("record", LargeBinary, nullable=False),
    )
    for name in ("laid_actions", "laid_cards")
)

feedback = Table(
    "feedback",
    metadata,
    Column("feedback_id", String, primary_key=True),
    Column("action_id", String, nullable=False),
    Column("clerk_id", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("ts", UtcDateTime, nullable=False),
    Column("kind", String, nullable=False),
    Column("reason", Text),
    Column("position", Integer),
    Column("until", UtcDateTime),
    Column("accepted_at", UtcDateTime, nullable=False),
    Index(None, "action_id"),
    Index(None, "customer_id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", Integer, primary_key=True, autoincrement=True),
    Column("table_name", String, nullable=False),
    Column("row_key", String, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("payload", Document, nullable=False),
    Column("customer_id", String),
    Column("signal", String),
    Column("action_id", String),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("accepted_at", UtcDateTime, nullable=False),
    Column("ingested_at", UtcDateTime),
    Column("refused_at", UtcDateTime),
    Column("refusal", Document),
    UniqueConstraint("table_name", "row_key"),
    Index(None, "customer_id", "signal"),
    Index(None, "action_id"),
    Index(None, "ingested_at"),
)

nights = Table(
    "nights",
    metadata,
    Column("night_id", Integer, primary_key=True, autoincrement=True),
    Column("as_of", Date, nullable=False),
    Column("state", String, nullable=False),
    Column("step", String),
    Column("error", String),
    Column("message", Text),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index(None, "as_of"),
)

tags = Table(
    "tags",
    metadata,
    Column("tag_id", Integer, primary_key=True, autoincrement=True),
    Column("customer_id", String, nullable=False),
    Column("tag", String, nullable=False),
    Column("ts", UtcDateTime, nullable=False),
    Column("value", Text),
    Column("source", String, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("removed", Boolean, nullable=False),
    Column("author", String),
    Index(None, "customer_id", "tag"),
)

consents = Table(
    "consents",
    metadata,
    Column("consent_id", Integer, primary_key=True, autoincrement=True),
    Column("customer_id", String, nullable=False),
    Column("consent_contact", Boolean, nullable=False),
    Column("consent_profiling", Boolean, nullable=False),
    Column("consent_at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("is_latest", Boolean, nullable=False),
    Column("author", String),
    Index(None, "customer_id", "is_latest"),
)

quotas = Table(
    "quotas",
    metadata,
    Column("action_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("clerk_id", String),
    Column("channel", String),
    Column("as_of", Date, nullable=False),
    Column("state", String, nullable=False),
    Column("expires_at", DateTime),
    Column("reserved_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Index(None, "customer_id", "as_of"),
    Index(None, "state"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("receipt_id", String, primary_key=True),
    Column("customer_digest", String(64), nullable=False, unique=True),
    Column("customer_id", String),
    Column("erased_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("counts", Document),
    Column("requested_by", String),
    Column("is_keyed", Boolean, nullable=False, server_default=false()),
)

tombstone_keys = Table(
    "tombstone_keys",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("receipt_id", String, nullable=False),
    Column("kind", String, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("secret_digest", String(64), nullable=False),
    Column("label", String),
    Column("scope", String, nullable=False),
    Column("subject", String),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("caller", String, primary_key=True),
    Column("idempotency_key", String, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("response", Document),
    Column("created_at", UtcDateTime, nullable=False),
)

stock_now = Table(
    "stock_now",
    metadata,
    Column("store_id", String, primary_key=True),
    Column("product_id", String, primary_key=True),
    Column("on_hand", Float, nullable=False),
    Column("ts", UtcDateTime, nullable=False),
)

withdrawn = Table(
    "withdrawn",
    metadata,
    Column("action_id", String, primary_key=True),
    Column("reason", String, nullable=False),
)

hooks = Table(
    "hooks",
    metadata,
    Column("hook_id", String, primary_key=True),
    Column("url", String, nullable=False),
    Column("events", Document, nullable=False),
    Column("secret", String, nullable=False),
    Column("old_secret", String),
    Column("old_secret_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("gone_at", UtcDateTime),
)

hook_deliveries = Table(
    "hook_deliveries",
    metadata,
    Column("delivery_id", Integer, primary_key=True, autoincrement=True),
    Column("hook_id", String, nullable=False),
    Column("event_id", String, nullable=False),
    Column("event", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("failure", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "state", "due_at"),
)

chat_callbacks = Table(
    "chat_callbacks",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
)

chat_marks = Table(
    "chat_marks",
    metadata,
    Column("mark_id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("external_id", String, nullable=False),
    Column("marked_at", UtcDateTime, nullable=False),
)

chat_ends = Table(
    "chat_ends",
    metadata,
    Column("external_id", String, primary_key=True),
    Column("clerk", String, primary_key=True),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("ended_by", String),
)

chat_tasks = Table(
    "chat_tasks",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("clerk_id", String, nullable=False),
    Column("clerk", String, nullable=False),
    Column("content", Document, nullable=False),
    Column("state", String, nullable=False),
    Column("remote_id", String),
    Column("failure", Text),
    Column("expires_at", UtcDateTime),
    Column("began_at", UtcDateTime),
    Column("made_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Index(None, "state"),
)

chat_recipients = Table(
    "chat_recipients",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("external_id", String, nullable=False),
    Column("action_id", String),
    Column("outcome", String, nullable=False),
    Column("outcome_at", UtcDateTime),
    Index(None, "action_id"),
    Index(None, "customer_id"),
)

fallbacks = Table(
    "fallbacks",
    metadata,
    Column("action_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("clerk_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("begins_at", UtcDateTime, nullable=False),
    Column("deadline", UtcDateTime, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("armed_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Index(None, "state", "deadline"),
    Index(None, "customer_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", Integer, primary_key=True, autoincrement=True),
    Column("ts", UtcDateTime, nullable=False),
    Column("caller", String, nullable=False),
    Column("scope", String, nullable=False),
    Column("subject", String),
    Column("method", String, nullable=False),
    Column("route", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("target", String),
    Column("day", Date),
    Index(None, "kind", "target"),
    Index(None, "ts"),
)
