"""What clerks did with actions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from nba.errors import ConflictError, InputRefusedError, NbaError, UsageError
from nba.schema.tables import EARLIEST
from nba.schema.words import FeedbackKind
from nba.serving.audit import concerns
from nba.serving.auth import Caller, CallerDep, ServicesDep
from nba.serving.batches import IdempotencyKey, Metered, once, summed
from nba.serving.errors import documented, problem_of
from nba.serving.paths import RawPathRoute
from nba.serving.rows import AHEAD
from nba.serving.schemas import (
    BatchResult,
    FeedbackBatch,
    FeedbackBody,
    FeedbackItem,
    FeedbackReceipt,
    Id,
    RowResult,
    WrongItem,
)
from nba.serving.services import Services
from nba.stores.access import Scope
from nba.stores.audit import Target
from nba.stores.feedback import Feedback
from nba.stores.lists import CLOSING
from nba.stores.operational import Writer

#: How long an action can be set aside.
LONGEST_SNOOZE: Final = timedelta(days=31)

router = APIRouter(prefix="/v1", tags=["feedback"], route_class=RawPathRoute)


@router.post(
    "/actions/{action_id}/feedback",
    response_model=FeedbackReceipt,
    responses=documented(401, 403, 404, 409, 413, 422),
)
def give_feedback(
    *,
    action_id: Annotated[Id, Path(description="An action of a published plan.")],
    body: FeedbackBody,
    caller: CallerDep,
    services: ServicesDep,
    metered: Metered,
    response: Response,
) -> FeedbackReceipt:
    """Say what became of an action; the same `feedback_id` again changes nothing."""
    caller.require(Scope.CLERK, Scope.STORE)
    item = FeedbackItem(action_id=action_id, **body.model_dump())
    receipt = services.store.write(lambda writer: record(writer, item, caller, services))
    metered("feedback", receipt.status)
    if body.kind in CLOSING:
        services.changed()
    return receipt


@router.post("/feedback", response_model=BatchResult, responses=documented(401, 403, 409, 413, 422))
def give_feedback_on_many(
    *,
    body: FeedbackBatch,
    caller: CallerDep,
    services: ServicesDep,
    request: Request,
    metered: Metered,
    key: IdempotencyKey = None,
) -> BatchResult:
    """Say what became of many actions; each is accepted or refused by itself."""
    caller.require(Scope.CLERK, Scope.STORE)
    told = [item.action_id for item in body.feedback if isinstance(item, FeedbackItem)]
    concerns(request, Target.ACTION, told)

    def take(writer: Writer) -> BatchResult:
        rows = [
            _one(writer, index, item, caller, services) for index, item in enumerate(body.feedback)
        ]
        return summed(rows)

    result = once(services, caller, key, body, take)
    for row in result.rows:
        metered(row.table, row.status)
    kinds = (item.kind for item in body.feedback if isinstance(item, FeedbackItem))
    if any(kind in CLOSING for kind in kinds):
        services.changed()
    return result


def _one(
    writer: Writer,
    index: int,
    item: FeedbackItem | WrongItem,
    caller: Caller,
    services: Services,
) -> RowResult:
    if isinstance(item, WrongItem):
        return RowResult(table="feedback", index=index, status="refused", problem=item.problem)
    try:
        receipt = record(writer, item, caller, services)
    except NbaError as error:
        return RowResult(table="feedback", index=index, status="refused", problem=problem_of(error))
    return RowResult(table="feedback", index=index, status=receipt.status)


def record(
    writer: Writer, item: FeedbackItem, caller: Caller, services: Services
) -> FeedbackReceipt:
    """Record one row of feedback for a caller who may act for the action's clerk."""
    action = writer.action(item.action_id)
    caller.require_clerk(str(action["clerk_id"]))
    clerk_id = item.clerk_id or str(action["clerk_id"])
    if clerk_id != action["clerk_id"]:
        caller.require_clerk(clerk_id)
    ts = told_at(item.ts, services)
    until = _until(item, ts, services)
    entry = Feedback(
        item.feedback_id,
        item.action_id,
        clerk_id,
        ts,
        item.kind,
        item.reason,
        item.position,
        until,
    )
    outcome = writer.record(entry)
    if outcome == "conflict":
        raise ConflictError(
            f"the feedback {item.feedback_id!r} is already recorded with other content",
            expected="the same content, or a new feedback_id",
            next_step="use a new feedback_id for new feedback",
        )
    return FeedbackReceipt(feedback_id=item.feedback_id, action_id=item.action_id, status=outcome)


def told_at(moment: datetime, services: Services) -> datetime:
    """Return the moment of feedback in UTC.

    Raises
    ------
    InputRefusedError
        Where it lies before any that the lake takes.
    UsageError
        Where it is yet to come.
    """
    ts = services.aware(moment).astimezone(UTC)
    if ts < EARLIEST.replace(tzinfo=UTC):
        raise InputRefusedError(
            "feedback cannot be that old",
            expected=f"a `ts` between {EARLIEST:%Y-%m-%d} and now",
            found=ts.isoformat(),
            next_step="check the client's clock",
        )
    if ts > services.clock().astimezone(UTC) + AHEAD:
        raise UsageError(
            "feedback cannot come from the future",
            expected="a `ts` of now or earlier",
            found=ts.isoformat(),
            next_step="check the client's clock and time zone",
        )
    return ts


def _until(item: FeedbackItem, ts: datetime, services: Services) -> datetime | None:
    """Return when a snoozed action comes back; None for any other kind."""
    if item.kind is not FeedbackKind.SNOOZED:
        return None
    if item.until is None:
        return services.day_begins(services.local(ts).date() + timedelta(days=1))
    until = services.aware(item.until).astimezone(UTC)
    if not ts < until <= ts + LONGEST_SNOOZE:
        raise UsageError(
            "an action is set aside until a moment after now",
            expected=f"an `until` within {LONGEST_SNOOZE.days} days of `ts`",
            found=until.isoformat(),
            next_step="dismiss what does not suit the customer",
        )
    return until
