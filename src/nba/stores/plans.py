"""Published plans: one transaction per plan, and the clerk's list kept true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)

from nba.errors import ConflictError
from nba.schema.words import FeedbackKind, Mode
from nba.stores.database import digest
from nba.stores.schema import actions, consents, feedback, outbox, plans

#: Feedback that closes an action: it leaves the list.
CLOSING: tuple[str, ...] = (
    FeedbackKind.SENT,
    FeedbackKind.SKIPPED,
    FeedbackKind.DISMISSED,
    FeedbackKind.EXPIRED,
    FeedbackKind.UNDELIVERED,
)
BOUGHT, CONTACTED, BLOCKED = "bought", "contacted", "blocked"

_HEADER = tuple(column.name for column in plans.columns if column.name != "details")
_COLUMNS = tuple(column.name for column in actions.columns if column.name != "details")
_SCHEMA: dict[str, Any] = {
    "action_id": pl.String,
    "as_of": pl.Date,
    "clerk_id": pl.String,
    "rank": pl.Int64,
    "customer_id": pl.String,
    "mode": pl.String,
    "action_type": pl.String,
    "channel": pl.String,
    "product_ids": pl.List(pl.String),
    "content_id": pl.String,
    "contact_from": pl.Datetime("us"),
    "contact_to": pl.Datetime("us"),
    "minutes": pl.Float64,
    "value": pl.Float64,
    "uplift": pl.Float64,
    "p_repurchase_30d": pl.Float64,
    "propensity": pl.Float64,
    "explored": pl.Boolean,
    "arm": pl.String,
    "policy_version": pl.String,
    "expires_at": pl.Datetime("us"),
}
_CHUNK = 2_000


def plan_day(as_of: date | datetime) -> date:
    """Return the day that a plan's `as_of` names."""
    return as_of.date() if isinstance(as_of, datetime) else as_of


def header_row(
    plan: Mapping[str, Any], actions_digest: str, published_at: datetime
) -> dict[str, Any]:
    """Return the row of `plans` for a plan's header; unknown entries go to `details`."""
    return {
        "as_of": plan_day(plan["as_of"]),
        "policy_version": str(plan["policy_version"]),
        "model_versions": plan.get("model_versions"),
        "counts": plan.get("counts"),
        "details": {k: v for k, v in plan.items() if k not in _HEADER} or None,
        "digest": actions_digest,
        "published_at": published_at,
    }


def action_rows(frame: pl.DataFrame, as_of: date) -> Iterator[dict[str, Any]]:
    """Yield the rows of `actions`; columns that the table lacks go to `details`."""
    extra = [name for name in frame.columns if name not in _COLUMNS]
    known = [name for name in frame.columns if name in _COLUMNS and name != "as_of"]
    blank = dict.fromkeys(_COLUMNS)
    for row in frame.iter_rows(named=True):
        details = {name: row[name] for name in extra if row[name] is not None}
        yield (
            blank
            | {name: row[name] for name in known}
            | {
                "as_of": as_of,
                "details": details or None,
            }
        )


def write_plan(
    connection: Connection, plan: Mapping[str, Any], frame: pl.DataFrame, now: datetime
) -> bool:
    """Replace the plan of its `as_of`; return False where it already stands as given."""
    as_of = plan_day(plan["as_of"])
    rows = list(action_rows(frame, as_of))
    _refuse_repeats(rows)
    content = sorted(rows, key=lambda row: str(row["action_id"]))
    header = header_row(plan, digest([content, plan.get("policy_version")]), now)
    standing = connection.scalar(select(plans.c.digest).where(plans.c.as_of == as_of))
    if standing == header["digest"]:
        return False
    connection.execute(delete(actions).where(actions.c.as_of == as_of))
    connection.execute(delete(plans).where(plans.c.as_of == as_of))
    connection.execute(insert(plans), header)
    for start in range(0, len(rows), _CHUNK):
        connection.execute(insert(actions), rows[start : start + _CHUNK])
    return True


def _refuse_repeats(rows: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row["action_id"] in seen:
            raise ConflictError(
                "the plan cannot be published",
                expected="one row per action_id",
                found=f"{row['action_id']} twice",
                next_step="publish each action once",
            )
        seen.add(row["action_id"])


def read_header(connection: Connection, as_of: date | None) -> dict[str, Any] | None:
    """Return the header of the plan of `as_of` (None: the newest), or None."""
    query = select(plans)
    if as_of is None:
        query = query.order_by(plans.c.as_of.desc()).limit(1)
    else:
        query = query.where(plans.c.as_of == as_of)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    header = dict(row)
    return header | (header.pop("details") or {})


def read_frame(connection: Connection, as_of: date) -> pl.DataFrame:
    """Return the published actions of `as_of`, ordered by clerk and rank."""
    query = (
        select(actions)
        .where(actions.c.as_of == as_of)
        .order_by(actions.c.clerk_id, actions.c.rank, actions.c.action_id)
    )
    rows = [_flat(row) for row in connection.execute(query)]
    schema = {name: _SCHEMA.get(name) for name in _COLUMNS}
    extra = {name: None for row in rows for name in row if name not in schema}
    return pl.DataFrame(rows, schema=schema | extra, infer_schema_length=None)


def count_actions(connection: Connection, as_of: date) -> dict[str, int]:
    """Return how many actions the plan of `as_of` holds, by clerk."""
    query = (
        select(actions.c.clerk_id, func.count().label("actions"))
        .where(actions.c.as_of == as_of, actions.c.mode != Mode.NONE)
        .group_by(actions.c.clerk_id)
    )
    return {row.clerk_id: row.actions for row in connection.execute(query)}


def read_action(connection: Connection, action_id: str) -> dict[str, Any] | None:
    """Return one published action, or None."""
    row = connection.execute(select(actions).where(actions.c.action_id == action_id)).first()
    return None if row is None else _flat(row)


def read_list(
    connection: Connection,
    as_of: date,
    whose: ColumnElement[bool],
    *,
    since: datetime,
    published_at: datetime,
    unprofiled: Sequence[str] = (),
    mode: str | None = None,
    after: tuple[int, str] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return open actions in rank order, without what has become untrue.

    Parameters
    ----------
    whose : condition
        Confines the actions to a clerk or a customer.
    since : datetime
        The moment from which purchases and contacts count as news: the plan's `as_of`.
    published_at : datetime
        Blocks and withdrawn consents recorded later than this are news, whenever they
        happened.
    unprofiled : sequence of str
        Action types that rest on no profile: they stay where profiling was refused since.
    after : (rank, action_id) or None
        The last action already seen.
    """
    query = (
        select(actions)
        .where(
            actions.c.as_of == as_of,
            whose,
            actions.c.mode != Mode.NONE,
            actions.c.rank.is_not(None),
        )
        .order_by(actions.c.rank, actions.c.action_id)
        .limit(limit)
    )
    if mode is not None:
        query = query.where(actions.c.mode == mode)
    if after is not None:
        rank, action_id = after
        query = query.where(
            or_(
                actions.c.rank > rank,
                and_(actions.c.rank == rank, actions.c.action_id > action_id),
            )
        )
    rows = [
        _flat(row)
        for row in connection.execute(_still_true(query, since, published_at, unprofiled))
    ]
    return _with_status(connection, rows)


def _still_true(
    query: Select[Any], since: datetime, published_at: datetime, unprofiled: Sequence[str]
) -> Select[Any]:
    same = outbox.c.customer_id == actions.c.customer_id
    news = exists().where(
        same,
        or_(
            and_(outbox.c.signal.in_((BOUGHT, CONTACTED)), outbox.c.occurred_at >= since),
            and_(
                outbox.c.signal == BLOCKED,
                or_(outbox.c.occurred_at >= since, outbox.c.accepted_at >= published_at),
            ),
        ),
    )
    closed = exists().where(
        feedback.c.action_id == actions.c.action_id, feedback.c.kind.in_(CLOSING)
    )
    refused = exists().where(
        consents.c.customer_id == actions.c.customer_id,
        consents.c.is_latest,
        or_(
            ~consents.c.consent_contact,
            and_(
                ~consents.c.consent_profiling,
                consents.c.recorded_at >= published_at,
                or_(actions.c.action_type.is_(None), actions.c.action_type.not_in(unprofiled)),
            ),
        ),
    )
    return query.where(~news, ~closed, ~refused)


def _with_status(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add `status`: `new`, or the clerk's latest feedback on the action."""
    query = (
        select(feedback.c.action_id, feedback.c.kind)
        .where(feedback.c.action_id.in_([row["action_id"] for row in rows]))
        .order_by(feedback.c.ts, feedback.c.accepted_at)
    )
    latest = {row.action_id: row.kind for row in connection.execute(query)}
    return [row | {"status": latest.get(row["action_id"], "new")} for row in rows]


def _flat(row: Row[Any]) -> dict[str, Any]:
    values = dict(row._mapping)
    return values | (values.pop("details") or {})
