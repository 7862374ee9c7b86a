"""What happened elsewhere: sales, contacts and answers, each row by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from nba.errors import ConflictError, InputRefusedError, NbaError, NotPermittedError
from nba.serving.audit import concerns
from nba.serving.auth import Caller, CallerDep, ServicesDep
from nba.serving.batches import IdempotencyKey, Metered, once, summed
from nba.serving.errors import documented, problem_of
from nba.serving.paths import RawPathRoute
from nba.serving.rows import parse_row
from nba.serving.schemas import BatchResult, EventBatch, RowResult
from nba.serving.services import Services
from nba.stores.access import Scope
from nba.stores.audit import Target
from nba.stores.operational import Writer
from nba.stores.outbox import MADE_PREFIXES, Event, Outcome
from nba.stores.stock import StockChange

router = APIRouter(prefix="/v1", tags=["events"], route_class=RawPathRoute)


@router.post("/events", response_model=BatchResult, responses=documented(401, 403, 409, 413, 422))
def post_events(
    *,
    body: EventBatch,
    caller: CallerDep,
    services: ServicesDep,
    request: Request,
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
    now = services.clock()
    judged = [
        Judged(table, index, _judge(table, row, caller, services, now))
        for table, index, row in _rows(body)
    ]

    concerns(request, Target.CUSTOMER, _customers(judged))

    def take(writer: Writer) -> BatchResult:
        return summed(_take(writer, judged, services))

    result = once(services, caller, key, body, take)
    for row in result.rows:
        metered(row.table, row.status)
    if any(map(_may_change_lists, judged, result.rows)):
        services.changed()
    return result


#: The call's own route.
route: APIRoute = next(
    one for one in router.routes if isinstance(one, APIRoute) and one.endpoint is post_events
)


@dataclass(frozen=True)
class Parsed:
    """A row that is an event, and what its sender should know about it."""

    event: Event
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """A row of the batch: an event, or why it is none."""

    table: str
    index: int
    verdict: Parsed | NbaError


def _customers(judged: Sequence[Judged]) -> list[str]:
    """Return whom the events of a batch are about."""
    rows = (one.verdict.event.row for one in judged if isinstance(one.verdict, Parsed))
    return [str(row["customer_id"]) for row in rows if row.get("customer_id")]


def _rows(body: EventBatch) -> Iterator[tuple[str, int, Any]]:
    for table in EventBatch.model_fields:
        for index, row in enumerate(getattr(body, table)):
            yield table, index, row


def _judge(
    table: str, row: Any, caller: Caller, services: Services, now: datetime
) -> Parsed | NbaError:
    """Return the event that a row is, or why it is none."""
    try:
        caller.may_report(table)
        if not isinstance(row, Mapping):
            raise InputRefusedError(
                f"a row of {table} is no JSON object",
                expected="an object with a value per column",
                found=type(row).__name__,
                next_step="send each row as an object",
            )
        parsed = parse_row(table, row, zone=services.zone, now=now)
        _require_sight(caller, table, parsed.values)
        _require_own_id(table, parsed.values)
    except NbaError as error:
        return error
    return Parsed(Event(table, caller.own_ids(table, parsed.values)), parsed.notes)


def _take(writer: Writer, judged: Sequence[Judged], services: Services) -> list[RowResult]:
    """Accept what is an event about nobody who was erased."""
    events = {
        place: one.verdict.event
        for place, one in enumerate(judged)
        if isinstance(one.verdict, Parsed)
    }
    customers = {str(event.row.get("customer_id") or "") for event in events.values()} - {""}
    erased = writer.erased_among(customers)
    events = {
        place: event
        for place, event in events.items()
        if event.row.get("customer_id") not in erased
    }
    outcomes = dict(zip(events, writer.accept_all(list(events.values())), strict=True))
    stock = [
        events[place].row
        for place, outcome in outcomes.items()
        if outcome == "accepted" and events[place].table == "stock"
    ]
    if stock:
        writer.note_stock([_stock(row) for row in stock], services.clerks_of)
    return [_result(one, outcomes.get(place)) for place, one in enumerate(judged)]


def _stock(row: Mapping[str, Any]) -> StockChange:
    return StockChange(row["product_id"], row["store_id"], float(row["on_hand"]), row["ts"])


def _result(judged: Judged, outcome: Outcome | None) -> RowResult:
    verdict = judged.verdict
    if outcome not in ("accepted", "repeated") or isinstance(verdict, NbaError):
        error = _refusal(verdict, outcome) if isinstance(verdict, Parsed) else verdict
        return RowResult(
            table=judged.table, index=judged.index, status="refused", problem=problem_of(error)
        )
    return RowResult(
        table=judged.table, index=judged.index, status=outcome, notes=list(verdict.notes)
    )


def _may_change_lists(judged: Judged, row: RowResult) -> bool:
    if row.status != "accepted" or not isinstance(judged.verdict, Parsed):
        return False
    return judged.verdict.event.may_change_lists


def _refusal(verdict: Parsed, outcome: Outcome | None) -> NbaError:
    """Return why an event was not accepted."""
    if outcome == "other_action":
        row = verdict.event.row
        return InputRefusedError(
            "interactions.action_id names an action that is about another customer",
            expected=f"an action about the customer {row['customer_id']!r}, or none",
            found=repr(row["action_id"]),
            next_step="name the customer's own action, or leave `action_id` away",
        )
    if outcome == "conflict":
        return ConflictError(
            "the row's key is already taken by another row",
            expected="the same content, or a new key",
            next_step="use a new id for a new row",
        )
    return NotPermittedError(
        "this customer was erased and cannot come back",
        expected="a customer who was not erased",
        next_step="record the sale without a customer",
    )


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


def _require_own_id(table: str, values: Mapping[str, Any]) -> None:
    """Refuse ids under which the service itself keeps contacts that follow from actions."""
    if table == "interactions" and values["interaction_id"].startswith(MADE_PREFIXES):
        raise InputRefusedError(
            "interactions.interaction_id begins as the service's own ids do",
            expected=f"an id that does not begin with {', '.join(MADE_PREFIXES)}",
            found=values["interaction_id"],
            next_step="choose another id; say `sent` of an action by feedback",
        )
