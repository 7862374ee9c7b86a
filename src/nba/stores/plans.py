"""Published plans: one transaction per plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import polars as pl
from sqlalchemy import (
    Connection,
    Row,
    delete,
    func,
    insert,
    select,
)

from nba.decisions.writing import ACTION_SCHEMA
from nba.errors import ConflictError
from nba.schema.words import Mode
from nba.stores.database import Quick, canonical
from nba.stores.schema import actions, plans, records, reserves

_HEADER = tuple(column.name for column in plans.columns if column.name != "details")
_COLUMNS = tuple(column.name for column in actions.columns if column.name != "details")
#: Kept as JSON, which names its own types.
_JSON = ("reasons", "talking_point", "model_versions")
_SCHEMA: dict[str, Any] = {
    **{name: dtype for name, dtype in ACTION_SCHEMA.items() if name not in _JSON},
    "as_of": pl.Date,
}
#: Rows written in one statement, and in one transaction where a plan comes in parts.
CHUNK = 2_000
#: Day and digest of the newest plan, see `mark_of`.
MARK: Final = Quick(select(plans.c.as_of, plans.c.digest).order_by(plans.c.as_of.desc()).limit(1))


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


@dataclass(frozen=True)
class PreparedPlan:
    """A plan as rows, made ready before a transaction begins: writers wait for none of it."""

    as_of: date
    header: dict[str, Any]
    rows: list[dict[str, Any]]


def prepare_plan(
    plan: Mapping[str, Any],
    frame: pl.DataFrame,
    now: datetime,
    waiting: Sequence[Mapping[str, Any]] = (),
) -> PreparedPlan:
    """Return the rows of a plan and its actions.

    Parameters
    ----------
    plan : mapping
        The header.
    frame : DataFrame
        The actions.
    now : datetime
        When it is published.
    waiting : sequence of mapping
        Its reserve, which is part of its digest.

    Raises
    ------
    ConflictError
        When an action_id occurs twice.
    """
    as_of = plan_day(plan["as_of"])
    rows = list(action_rows(frame, as_of))
    _refuse_repeats(rows)
    header = header_row(plan, _digest_of([*rows, *waiting], str(plan["policy_version"])), now)
    return PreparedPlan(as_of, header, rows)


def _digest_of(rows: Sequence[Mapping[str, Any]], policy_version: str) -> str:
    """Return a digest of a plan's rows in an order of its own, whatever order they came in."""
    whole = hashlib.sha256(policy_version.encode())
    for row in sorted(rows, key=lambda row: str(row["action_id"])):
        whole.update(canonical(row).encode())
    return whole.hexdigest()


def write_header(connection: Connection, prepared: PreparedPlan) -> bool:
    """Write a plan's header; return False where the plan already stands as given."""
    as_of = prepared.as_of
    standing = connection.scalar(select(plans.c.digest).where(plans.c.as_of == as_of))
    if standing == prepared.header["digest"]:
        return False
    connection.execute(delete(plans).where(plans.c.as_of == as_of))
    connection.execute(insert(plans), prepared.header)
    return True


def stopped_arms(connection: Connection, prepared: PreparedPlan) -> list[str]:
    """Return the arms that the plan before had and this one, the newest, has no more."""
    before = connection.scalar(
        select(func.max(plans.c.as_of)).where(plans.c.as_of < prepared.as_of)
    )
    newest = newest_day(connection)
    if before is None or newest != prepared.as_of or not prepared.rows:
        return []
    query = select(actions.c.arm).where(actions.c.as_of == before, actions.c.arm.is_not(None))
    ran = set(connection.scalars(query.distinct()))
    return sorted(ran - {str(row.get("arm")) for row in prepared.rows})


def delete_actions(connection: Connection, as_of: date) -> None:
    """Delete the actions of a day."""
    connection.execute(delete(actions).where(actions.c.as_of == as_of))


def insert_actions(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert actions."""
    for start in range(0, len(rows), CHUNK):
        connection.execute(insert(actions), rows[start : start + CHUNK])


def leave_out(connection: Connection, as_of: date, customer_ids: Iterable[str]) -> None:
    """Delete what a plan and its reserve have for some customers."""
    ids = sorted(customer_ids)
    for table in (actions, reserves, records):
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            connection.execute(
                delete(table).where(table.c.as_of == as_of, table.c.customer_id.in_(part))
            )


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


_MOMENT = select(plans.c.as_of, plans.c.published_at).order_by(plans.c.as_of.desc()).limit(1)


def read_moment(connection: Connection) -> tuple[date, datetime] | None:
    """Return `as_of` and `published_at` of the newest plan, or None."""
    row = connection.execute(_MOMENT).first()
    return None if row is None else (row.as_of, row.published_at)


def newest_day(connection: Connection) -> date | None:
    """Return the day of the newest plan, or None."""
    day: date | None = connection.scalar(select(func.max(plans.c.as_of)))
    return day


def read_frame(connection: Connection, as_of: date) -> pl.DataFrame:
    """Return the published actions of `as_of`, ordered by clerk and rank."""
    query = (
        select(actions)
        .where(actions.c.as_of == as_of)
        .order_by(actions.c.clerk_id, actions.c.rank, actions.c.action_id)
    )
    rows = [flat_action(row) for row in connection.execute(query)]
    schema = {name: _SCHEMA.get(name) for name in _COLUMNS}
    extra = {name: None for row in rows for name in row if name not in schema}
    return pl.DataFrame(rows, schema=schema | extra, infer_schema_length=None)


def mark_of(row: Sequence[Any] | None) -> tuple[date, str] | None:
    """Return the day and the digest in a row of `MARK`, or None."""
    if row is None:
        return None
    day = row[0] if isinstance(row[0], date) else date.fromisoformat(row[0])
    return day, str(row[1])


def read_mark(connection: Connection) -> tuple[date, str] | None:
    """Return the day and the digest of the newest plan, or None."""
    return mark_of(connection.execute(MARK.statement).first())


def count_actions(
    connection: Connection, as_of: date, clerk_ids: Sequence[str] | None
) -> dict[str, int]:
    """Return how many actions the plan of `as_of` holds, by clerk; of all where none is named."""
    query = (
        select(actions.c.clerk_id, func.count().label("actions"))
        .where(actions.c.as_of == as_of, actions.c.mode != Mode.NONE)
        .group_by(actions.c.clerk_id)
    )
    if clerk_ids is not None:
        query = query.where(actions.c.clerk_id.in_(clerk_ids))
    return {row.clerk_id: row.actions for row in connection.execute(query)}


def listed_customers(connection: Connection, as_of: date) -> list[str]:
    """Return the customers whom a day's lists name, by id."""
    query = select(actions.c.customer_id).where(
        actions.c.as_of == as_of, actions.c.mode != Mode.NONE
    )
    return list(connection.scalars(query.distinct().order_by(actions.c.customer_id)))


def actions_of(connection: Connection, customer_ids: Sequence[str]) -> dict[str, str]:
    """Return action_id → customer_id of the customers' published actions."""
    found: dict[str, str] = {}
    for start in range(0, len(customer_ids), CHUNK):
        query = select(actions.c.action_id, actions.c.customer_id).where(
            actions.c.customer_id.in_(customer_ids[start : start + CHUNK])
        )
        found.update((row.action_id, row.customer_id) for row in connection.execute(query))
    return found


def read_action(connection: Connection, action_id: str) -> dict[str, Any] | None:
    """Return one published action, or None."""
    row = connection.execute(select(actions).where(actions.c.action_id == action_id)).first()
    return None if row is None else flat_action(row)


def has_clerk(connection: Connection, clerk_id: str) -> bool:
    """Return whether any published action is a clerk's."""
    query = select(actions.c.action_id).where(actions.c.clerk_id == clerk_id).limit(1)
    return connection.scalar(query) is not None


def talking_points(connection: Connection, since: date, before: date) -> pl.DataFrame:
    """Return customer_id and text of what plans of [`since`, `before`) say to customers."""
    query = select(actions.c.customer_id, actions.c.talking_point).where(
        actions.c.as_of >= since, actions.c.as_of < before, actions.c.rank.is_not(None)
    )
    rows = [(row.customer_id, row.talking_point) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema={"customer_id": pl.String, "text": pl.String}, orient="row")


def flat_action(row: Row[Any]) -> dict[str, Any]:
    """Return a row of `actions` with the entries of its `details` beside the columns."""
    values = dict(row._mapping)
    return values | (values.pop("details") or {})
