"""A clerk's list, kept true in real time."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query

from nba.errors import NotFoundError
from nba.schema.words import Mode
from nba.serving.auth import CallerDep, ServicesDep
from nba.serving.cursors import read_cursor, write_cursor
from nba.serving.errors import documented
from nba.serving.paths import RawPathRoute
from nba.serving.schemas import ActionList, ClerkList, Id, ListedClerk
from nba.serving.views import show_actions
from nba.stores.access import Scope
from nba.stores.lists import Slice

router = APIRouter(prefix="/v1", tags=["clerks"], route_class=RawPathRoute)

ClerkId = Annotated[Id, Path(description="The clerk.")]
MAX_PAGE = 200


@router.get("/clerks", response_model=ClerkList, responses=documented(401, 403))
def list_clerks(caller: CallerDep, services: ServicesDep) -> ClerkList:
    """Return the clerks that the caller may act for."""
    caller.require(Scope.CLERK, Scope.STORE)
    if caller.scope is Scope.CLERK:
        own = services.cards.clerk(str(caller.subject))
        clerks = [own] if own is not None else []
    else:
        clerks = [one for one in services.cards.clerks() if caller.sees_store(one.store_id)]
    planned = services.store.planned()
    return ClerkList(
        clerks=[ListedClerk(**dict(one), planned=planned.get(one.clerk_id, 0)) for one in clerks]
    )


@router.get(
    "/clerks/{clerk_id}/actions",
    response_model=ActionList,
    responses=documented(400, 401, 403, 404, 409, 422),
)
def list_actions(
    *,
    clerk_id: ClerkId,
    caller: CallerDep,
    services: ServicesDep,
    day: Annotated[
        date | None, Query(alias="date", description="The plan's day; by default the newest plan.")
    ] = None,
    mode: Annotated[Mode | None, Query(description="Only this mode.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> ActionList:
    """Return a clerk's ranked list.

    Customers who bought, were contacted, blocked or opted out since the plan's day began
    drop out, and so do actions that the clerk has closed.
    """
    caller.require_clerk(clerk_id)
    after = None
    if cursor is not None:
        header = services.store.plan(day) if day else services.store.current_plan()
        after = read_cursor(cursor, header["digest"]) if header else None
    part = Slice("clerk_id", clerk_id, mode, after, limit + 1, services.unprofiled)
    header, rows = services.store.open_actions(day, part, since=services.day_begins)
    if header is None:
        raise no_plan(day)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = write_cursor(header["digest"], rows[-1]["rank"], rows[-1]["action_id"])
    age_days = services.age_days(header["as_of"], services.zone_of_clerk(clerk_id))
    return ActionList(
        as_of=header["as_of"],
        clerk_id=clerk_id,
        stale=age_days != 0,
        age_days=age_days,
        published_at=services.local(header["published_at"]),
        now=services.local(services.clock()),
        actions=show_actions(rows, services),
        next_cursor=following,
    )


def no_plan(day: date | None) -> NotFoundError:
    """Return the error for a day without a plan."""
    return NotFoundError(
        f"there is no plan of {day}" if day else "no plan has been published yet",
        expected="a day whose nightly job has published",
        next_step="run `nba run`, or ask for another date",
    )
