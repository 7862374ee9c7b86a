"""What happened elsewhere: sales, contacts and answers, each row by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from nba.errors import ConflictError, NbaError, NotPermittedError
from nba.serving.auth import Caller, CallerDep, ServicesDep
from nba.serving.batches import IdempotencyKey, Metered, once, summed
from nba.serving.errors import documented, problem_of
from nba.serving.paths import RawPathRoute
from nba.serving.rows import parse_row
from nba.serving.schemas import BatchResult, EventBatch, RowResult
from nba.serving.services import Services
from nba.stores.access import Scope
from nba.stores.operational import Writer
from nba.stores.outbox import Event

router = APIRouter(prefix="/v1", tags=["events"], route_class=RawPathRoute)


@router.post("/events", response_model=BatchResult, responses=documented(401, 403, 409, 413, 422))
def post_events(
    body: EventBatch,
    caller: CallerDep,
    services: ServicesDep,
    metered: Metered,
    key: IdempotencyKey = None,
) -> BatchResult:
    """Take in rows of the data contract's tables; each is accepted or refused by itself.

    A row's key makes it idempotent: the same row again changes nothing, another row under
    the same key is refused. Sales come from keys of scope `source` alone, each with the ids of
    its orders in a namespace of its own. Lists and cards know of accepted rows at once, the
    lake from the next nightly job on.
    """
    caller.require(Scope.CLERK, Scope.STORE, Scope.SOURCE)
    # judged before the transaction begins, so that other writers do not wait for it
    judged = [
        (table, index, _judge(table, row, caller, services)) for table, index, row in _rows(body)
    ]

    def take(writer: Writer) -> BatchResult:
        return summed([_take(writer, table, index, verdict) for table, index, verdict in judged])

    result = once(services, caller, key, body, take)
    for row in result.rows:
        metered(row.table, row.status)
    if result.accepted:
        services.changed()
    return result


@dataclass(frozen=True)
class Judged:
    """A row that is an event, and what its sender should know about it."""

    event: Event
    notes: tuple[str, ...]


def _rows(body: EventBatch) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for table in EventBatch.model_fields:
        for index, row in enumerate(getattr(body, table)):
            yield table, index, row


def _judge(
    table: str, row: Mapping[str, Any], caller: Caller, services: Services
) -> Judged | NbaError:
    """Return the event that a row is, or why it is none."""
    try:
        caller.may_report(table)
        parsed = parse_row(table, row, zone=services.zone, now=services.clock())
        _require_sight(caller, table, parsed.values)
    except NbaError as error:
        return error
    return Judged(Event(table, caller.own_ids(table, parsed.values)), parsed.notes)


def _take(writer: Writer, table: str, index: int, judged: Judged | NbaError) -> RowResult:
    try:
        if isinstance(judged, NbaError):
            raise judged
        _refuse_erased(writer, judged.event.row)
        outcome = writer.accept(judged.event)
        if outcome == "conflict":
            raise ConflictError(
                "the row's key is already taken by another row",
                expected="the same content, or a new key",
                next_step="use a new id for a new row",
            )
    except NbaError as error:
        return RowResult(table=table, index=index, status="refused", problem=problem_of(error))
    return RowResult(table=table, index=index, status=outcome, notes=list(judged.notes))


def _require_sight(caller: Caller, table: str, values: Mapping[str, Any]) -> None:
    """Refuse rows about customers, clerks or stores that the caller does not speak for."""
    if caller.sees_all:
        return
    if values.get("clerk_id") is not None:
        caller.require_clerk(values["clerk_id"])
    if table == "absences":
        return
    if values.get("customer_id") is not None:
        caller.require_customer(values["customer_id"])
    elif not caller.sees_store(values.get("store_id")):
        raise NotPermittedError(
            "this key may not report rows without a customer",
            expected="a customer_id, or a store's key for its own store_id",
            next_step="name the customer, or use the store's key",
        )


def _refuse_erased(writer: Writer, values: Mapping[str, Any]) -> None:
    customer_id = values.get("customer_id")
    if customer_id is not None and writer.is_erased(customer_id):
        raise NotPermittedError(
            "this customer was erased and cannot come back",
            expected="a customer who was not erased",
            next_step="record the sale without a customer",
        )
