"""A clerk's list, kept true in real time."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from nba.errors import NotFoundError
from nba.schema.words import Mode
from nba.serving.auth import CallerDep, ServicesDep
from nba.serving.conditional import NOT_MODIFIED, is_known, unchanged
from nba.serving.cursors import read_cursor, read_version, write_cursor, write_version
from nba.serving.errors import documented
from nba.serving.paths import RawPathRoute
from nba.serving.schemas import (
    ActionList,
    AddedAction,
    ClerkList,
    Id,
    ListChanges,
    ListedClerk,
    RemovedAction,
)
from nba.serving.settling import settled_book
from nba.serving.views import show_actions
from nba.stores.access import Scope
from nba.stores.lists import Slice

router = APIRouter(prefix="/v1", tags=["clerks"], route_class=RawPathRoute)

ClerkId = Annotated[Id, Path(description="The clerk.")]
MAX_PAGE = 200
#: More actions than any list has.
LONGEST = 10_000


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
    responses=documented(400, 401, 403, 404, 409, 422) | NOT_MODIFIED,
)
def list_actions(
    *,
    clerk_id: ClerkId,
    caller: CallerDep,
    services: ServicesDep,
    request: Request,
    response: Response,
    day: Annotated[
        date | None, Query(alias="date", description="The plan's day; by default the newest plan.")
    ] = None,
    mode: Annotated[Mode | None, Query(description="Only this mode.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> ActionList | Response:
    """Return a clerk's ranked list.

    Customers who bought, were contacted, blocked, complained or opted out since the plan's day
    began drop out, and so do actions that the clerk has closed. The minutes that this leaves free
    go to the next best customers, at the end of the list. The answer's `ETag` changes with it.
    """
    caller.require_clerk(clerk_id)
    book = settled_book(services, clerk_id)
    after = None
    if cursor is not None:
        header = services.store.plan(day) if day else services.store.current_plan()
        after = read_cursor(cursor, header["digest"]) if header else None
    part = Slice(
        "clerk_id", clerk_id, mode, after, limit + 1, services.unprofiled, services.serving_types
    )
    header, rows = services.store.open_actions(day, part, since=services.day_begins)
    if header is None:
        raise no_plan(day)
    is_living = book is not None and book.as_of == header["as_of"]
    if is_living and book.absent:
        rows = []
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = write_cursor(header["digest"], rows[-1]["rank"], rows[-1]["action_id"])
    age_days = services.age_days(header["as_of"], services.zone_of_clerk(clerk_id))
    version = write_version(header["digest"], book.version if is_living else 0)
    shown = show_actions(rows, services)
    if is_living:
        expired = sum(action.expired for action in shown)
        tag = f'W/"{version}.{age_days}.{expired}"'
        if is_known(request, tag):
            return unchanged(tag)
        response.headers["ETag"] = tag
    return ActionList(
        as_of=header["as_of"],
        clerk_id=clerk_id,
        stale=age_days != 0,
        age_days=age_days,
        version=version,
        published_at=services.local(header["published_at"]),
        now=services.local(services.clock()),
        actions=shown,
        next_cursor=following,
    )


@router.get(
    "/clerks/{clerk_id}/actions/changes",
    response_model=ListChanges,
    responses=documented(400, 401, 403, 404, 409, 422),
)
def list_changes(
    *,
    clerk_id: ClerkId,
    caller: CallerDep,
    services: ServicesDep,
    since: Annotated[str, Query(max_length=100, description="`version` of the list that is held.")],
) -> ListChanges:
    """Return what came onto a clerk's list and what left it since a version of the newest plan's.

    What was added stands at the end, in order of `rank`. What is in both lists of an older
    answer may be repeated: add and remove by `action_id`.
    """
    caller.require_clerk(clerk_id)
    header = services.store.current_plan()
    if header is None:
        raise no_plan(None)
    held = read_version(since, header["digest"])
    book = settled_book(services, clerk_id)
    found = services.store.changes(clerk_id, held) if book else None
    version, changes = (found[0].version, found[1]) if found else (0, [])
    part = Slice(
        "clerk_id",
        clerk_id,
        limit=LONGEST,
        unprofiled=services.unprofiled,
        services=services.serving_types,
    )
    rows = services.store.open_actions(None, part, since=services.day_begins)[1]
    reasons = {one.action_id: one.reason or "" for one in changes if one.kind == "added"}
    added = show_actions([row for row in rows if row["action_id"] in reasons], services)
    return ListChanges(
        clerk_id=clerk_id,
        since=since,
        version=write_version(header["digest"], version),
        now=services.local(services.clock()),
        added=[AddedAction(**dict(one), reason=reasons[one.action_id]) for one in added],
        removed=[
            RemovedAction(action_id=one.action_id, reason=one.reason or "")
            for one in changes
            if one.kind == "removed"
        ],
    )


def no_plan(day: date | None) -> NotFoundError:
    """Return the error for a day without a plan."""
    return NotFoundError(
        f"there is no plan of {day}" if day else "no plan has been published yet",
        expected="a day whose nightly job has published",
        next_step="run `nba run`, or ask for another date",
    )
