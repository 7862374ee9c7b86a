"""A clerk's list, kept true in real time."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from nba.errors import NotFoundError, UsageError
from nba.schema.words import Mode
from nba.serving.answers import Ready
from nba.serving.audit import concerns
from nba.serving.auth import Caller, CallerDep, ServicesDep
from nba.serving.book import find_in_book
from nba.serving.conditional import NOT_MODIFIED
from nba.serving.cursors import read_version, write_version
from nba.serving.errors import documented
from nba.serving.pages import LONGEST, Page, make_page, no_plan
from nba.serving.paths import RawPathRoute
from nba.serving.schemas import (
    ActionList,
    AddedAction,
    ClerkList,
    FoundCustomer,
    FoundCustomers,
    Id,
    ListChanges,
    ListedClerk,
    Name,
    NameList,
    PageSettings,
    RemovedAction,
)
from nba.serving.services import Services
from nba.serving.settling import settled_book
from nba.serving.views import action_names, show_actions
from nba.stores.access import Scope
from nba.stores.audit import Target
from nba.stores.lists import Slice

router = APIRouter(prefix="/v1", tags=["clerks"], route_class=RawPathRoute)

ClerkId = Annotated[Id, Path(description="The clerk.")]
MAX_PAGE = 200


@router.get("/clerks", response_model=ClerkList, responses=documented(401, 403) | NOT_MODIFIED)
def list_clerks(caller: CallerDep, services: ServicesDep, request: Request) -> Response:
    """Return the clerks whose lists the caller may see, and who the caller is."""
    caller.require(Scope.CLERK, Scope.STORE)
    mark = services.store.mark()
    digest = mark[1] if mark else "none"
    key = ("clerks", digest, caller.scope, caller.subject)
    ready = services.answers.get(key, services.clock())
    if ready is None:
        content = _clerks_of(caller, services)
        ready = services.answers.put(key, Ready.of(content, f'"{digest}"'))
    return ready.answer(request)


def require_known(caller: Caller, services: Services, clerk_id: str) -> None:
    """Refuse a caller who may not act for a clerk, and a clerk of whom nothing is known.

    A clerk's own key may have been made before the tables knew the clerk.

    Raises
    ------
    NotPermittedError
    NotFoundError
    """
    caller.require_clerk(clerk_id)
    if caller.scope is not Scope.ADMIN or services.cards.clerk(clerk_id) is not None:
        return
    if not services.store.has_planned_for(clerk_id):  # who has left has lists of then
        raise NotFoundError(
            f"there is no clerk {clerk_id!r}",
            expected="a clerk_id that the lake or a plan knows",
            next_step="see `GET /v1/clerks`; ids are text, and leading zeros count",
        )


def _clerks_of(caller: Caller, services: Services) -> ClerkList:
    if caller.scope is Scope.CLERK:
        own = services.cards.clerk(str(caller.subject))
        clerks = [own] if own is not None else []
    else:
        clerks = [one for one in services.cards.clerks() if caller.sees_store(one.store_id)]
    ids = None if caller.scope is Scope.ADMIN else [one.clerk_id for one in clerks]
    planned = services.store.planned(ids)
    return ClerkList(
        clerks=[ListedClerk(**dict(one), planned=planned.get(one.clerk_id, 0)) for one in clerks],
        own=caller.subject if caller.scope is Scope.CLERK else None,
        leads=caller.scope is not Scope.CLERK,
        is_open=caller.is_open,
        page=PageSettings(currency=services.currency, show_value=services.clerk_page.show_value),
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
    day: Annotated[
        date | None, Query(alias="date", description="The plan's day; by default the newest plan.")
    ] = None,
    mode: Annotated[Mode | None, Query(description="Only this mode.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Return a clerk's ranked list.

    Customers who bought, were contacted, blocked, complained or opted out since the plan's day
    began drop out, and so do actions that the clerk has closed. The minutes that this leaves free
    go to the next best customers, at the end of the list. The answer's `ETag` changes with it.
    """
    require_known(caller, services, clerk_id)
    book, now = settled_book(services, clerk_id), services.clock()
    request.state.list_day = day or (book.as_of if book is not None else None)
    page = Page(clerk_id, day, mode, limit, cursor)
    key = (page, book)
    is_settled = book is not None and book.is_settled
    ready = services.answers.get(key, now) if is_settled else None
    if ready is None:
        as_of, ready = make_page(page, book, services)
        if is_settled and book is not None and book.as_of == as_of:
            services.answers.put(key, ready)
    return ready.answer(request, b',"now":"%s"' % services.local(now).isoformat().encode())


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
    request: Request,
    since: Annotated[str, Query(max_length=100, description="`version` of the list that is held.")],
) -> ListChanges:
    """Return what came onto a clerk's list and what left it since a version of the newest plan's.

    What was added stands at the end, in order of `rank`. What is in both lists of an older
    answer may be repeated: add and remove by `action_id`.
    """
    require_known(caller, services, clerk_id)
    header = services.store.current_plan()
    if header is None:
        raise no_plan(None)
    request.state.list_day = header["as_of"]
    held = read_version(since, header["digest"])
    book = settled_book(services, clerk_id)
    found = services.store.changes(clerk_id, held) if book else None
    version, changes = (found[0].version, found[1]) if found else (0, [])
    if held > version:
        raise UsageError(
            "this list has not come to that version yet",
            expected=f"a `version` up to {write_version(header['digest'], version)!r}",
            found=ascii(since),
            next_step="read the list, and give back its `version`",
        )
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


@router.get(
    "/clerks/{clerk_id}/customers",
    response_model=FoundCustomers,
    responses=documented(401, 403, 404, 422),
)
def search_book(
    *,
    clerk_id: ClerkId,
    caller: CallerDep,
    services: ServicesDep,
    request: Request,
    q: Annotated[
        str, Query(max_length=100, description="A name, alias, end of a phone number, tag or id.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
) -> FoundCustomers:
    """Search a clerk's own customers, by name, alias, end of the phone number, tag or id."""
    require_known(caller, services, clerk_id)
    found = find_in_book(services.cards.book(clerk_id), q, tag_names=services.tag_names)
    erased = services.store.erased_among([one.customer_id for one in found])
    found = [one for one in found if one.customer_id not in erased]
    concerns(request, Target.CUSTOMER, (one.customer_id for one in found[:limit]))
    part = Slice("clerk_id", clerk_id, limit=MAX_PAGE, unprofiled=services.unprofiled)
    listed = services.store.open_actions(None, part, since=services.day_begins)[1]
    actions = {row["customer_id"]: row["action_id"] for row in listed}
    shown = [
        FoundCustomer(**dict(one), action_id=actions.get(one.customer_id)) for one in found[:limit]
    ]
    return FoundCustomers(clerk_id=clerk_id, customers=shown, total=len(found))


@router.get("/names", response_model=NameList, responses=documented(401, 403))
def read_names(caller: CallerDep, services: ServicesDep) -> NameList:
    """Return what codes are called in both languages: categories, tags, action types."""
    caller.require(Scope.CLERK, Scope.STORE)
    names = services.texts.category_names(services.cards.category_names())
    return NameList(
        categories={code: Name(**name) for code, name in names.items()},
        tags={code: Name(**name) for code, name in services.tag_names.items()},
        actions=action_names(services),
    )
