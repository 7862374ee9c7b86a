"""Own results, and the store manager's view: who works, how it goes, hand-overs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Annotated, Any, Final

import polars as pl
from fastapi import APIRouter, Path

from nba.errors import NotFoundError
from nba.serving.auth import CallerDep, ServicesDep
from nba.serving.errors import documented
from nba.serving.pages import no_plan
from nba.serving.paths import RawPathRoute
from nba.serving.results import coaching, counts, increment, month_of
from nba.serving.routes.clerks import ClerkId, require_known
from nba.serving.routes.customers import CustomerId
from nba.serving.schemas import Handover, HandoverBody, Id, Results, Team, TeamMember
from nba.serving.services import Services
from nba.serving.shapes import Clerk, Person
from nba.stores.access import Scope
from nba.stores.book_rows import BookRows
from nba.stores.outbox import Event

router = APIRouter(prefix="/v1", tags=["team"], route_class=RawPathRoute)

StoreId = Annotated[Id, Path(description="The store.")]
#: Days over which adoption, answers and coaching count.
PAST_DAYS: Final = 14
_LATE: Final = timedelta(days=2)


def _plan_day(services: Services) -> date:
    header = services.store.current_plan()
    if header is None or services.books is None:
        raise no_plan(None)
    day: date = header["as_of"]
    return day


def _books(services: Services) -> BookRows:
    if services.books is None:
        raise no_plan(None)
    return services.books


@router.get(
    "/clerks/{clerk_id}/results",
    response_model=Results,
    responses=documented(401, 403, 404, 422),
)
def read_results(clerk_id: ClerkId, caller: CallerDep, services: ServicesDep) -> Results:
    """Return a clerk's own month: done, answered, closed, and the increment with its interval."""
    require_known(caller, services, clerk_id)
    day, books = _plan_day(services), _books(services)
    first, since = month_of(day), services.day_begins(month_of(day))
    now = services.clock()
    listed, sent, skipped = counts(
        services.store.tallies([clerk_id], first, day + timedelta(days=1))
    )
    answers = books.answers([clerk_id], since, now).get(clerk_id, {})
    arms = books.arms(day).filter(pl.col("clerk_id") == clerk_id)
    mine = {entry.customer_id for entry in services.cards.book(clerk_id)}
    cases = books.cases(since, now, now)
    sales = books.sales(since, now, margin_rate=services.margin_rate)
    return Results(
        clerk_id=clerk_id,
        month=f"{first:%Y-%m}",
        listed=listed,
        sent=sent,
        skipped=skipped,
        contacts=answers.get("contacts", 0),
        answered=answers.get("answered", 0),
        cases_closed=sum(row["closed"] for who, row in cases.items() if who in mine),
        increment=increment(arms, sales),
    )


@router.get(
    "/stores/{store_id}/team", response_model=Team, responses=documented(401, 403, 404, 422)
)
def read_team(store_id: StoreId, caller: CallerDep, services: ServicesDep) -> Team:
    """Return a store's clerks: adoption, answers, workload, absences, hand-overs, coaching."""
    caller.require_store(store_id)
    day, books = _plan_day(services), _books(services)
    clerks = [one for one in services.cards.clerks() if one.store_id == store_id]
    if not clerks and caller.scope is Scope.ADMIN:
        raise NotFoundError(
            f"there is no store {store_id!r} with clerks",
            expected="a store_id of clerks that the lake knows",
            next_step="check the id; ids are text, and leading zeros count",
        )
    facts = _Facts.of(services, books, day, [one.clerk_id for one in clerks])
    return Team(
        as_of=day,
        clerks=[_member(one, facts) for one in clerks],
        handovers=_handovers(services, books, day, {one.clerk_id for one in clerks}),
    )


@dataclass(frozen=True)
class _Facts:
    """What a store's view is made of, read at once."""

    planned: Mapping[str, Sequence[Mapping[str, Any]]]
    past: Mapping[str, Sequence[Mapping[str, Any]]]
    answers: Mapping[str, Mapping[str, Any]]
    absent: Mapping[str, Sequence[date]]
    late: Mapping[str, float]
    margin: Mapping[str, float]
    expected: Mapping[str, float]
    substitutes: Mapping[str, str]
    clerks: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, services: Services, books: BookRows, day: date, ids: Sequence[str]) -> _Facts:
        now, since = services.clock(), day - timedelta(days=PAST_DAYS)
        tallies = services.store.tallies(ids, since, day + timedelta(days=1))
        owners = _owners(services, ids)
        cases = books.cases(services.day_begins(since), now, now - _LATE)
        margin, expected = _margins(services, books, day)
        known = services.cards.clerk_rows()
        return cls(
            planned=_by_clerk([row for row in tallies if row["as_of"] == day]),
            past=_by_clerk([row for row in tallies if row["as_of"] < day]),
            answers=books.answers(ids, services.day_begins(since), now),
            absent=books.absences(ids, day, day + timedelta(days=7)),
            late=_summed({who: row["late"] for who, row in cases.items()}, owners),
            margin=_summed(margin, owners),
            expected=_summed(expected, owners),
            substitutes=_substitutes(books.arms(day), owners),
            clerks={one: known[one] for one in ids if one in known},
        )


def _margins(
    services: Services, books: BookRows, day: date
) -> tuple[dict[str, float], dict[str, float]]:
    """Return by customer the margin since the month's first plan, and what that plan expected."""
    begun = [one for one in books.planned_days() if month_of(day) <= one < day]
    if not begun:
        return {}, {}
    first, days = begun[0], (day - begun[0]).days
    sales = books.sales(
        services.day_begins(first), services.day_begins(day), margin_rate=services.margin_rate
    )
    expected = books.expected_margin(first).with_columns(
        pl.col("expected_margin_90d").fill_null(0.0) * days / 90
    )
    return dict(sales.select("customer_id", "margin").iter_rows()), dict(expected.iter_rows())


def _owners(services: Services, ids: Sequence[str]) -> dict[str, str]:
    return {entry.customer_id: one for one in ids for entry in services.cards.book(one)}


def _summed(values: Mapping[str, float], owners: Mapping[str, str]) -> dict[str, float]:
    """Return by clerk the sum over the customers of their book."""
    found: dict[str, float] = {}
    for who, value in values.items():
        if who in owners:
            found[owners[who]] = found.get(owners[who], 0.0) + (value or 0.0)
    return found


def _by_clerk(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["clerk_id"], []).append(row)
    return found


def _substitutes(arms: pl.DataFrame, owners: Mapping[str, str]) -> dict[str, str]:
    """Return by clerk the colleague who serves most of their customers today."""
    served: dict[str, Counter[str]] = {}
    for customer, clerk in arms.select("customer_id", "clerk_id").iter_rows():
        own = owners.get(customer)
        if own is not None and clerk is not None and clerk != own:
            served.setdefault(own, Counter())[clerk] += 1
    return {own: found.most_common(1)[0][0] for own, found in served.items()}


def _member(clerk: Clerk, facts: _Facts) -> TeamMember:
    one = clerk.clerk_id
    today, past = facts.planned.get(one, ()), facts.past.get(one, ())
    answers, known = facts.answers.get(one, {}), facts.clerks.get(one, {})
    listed, sent, _ = counts(past)
    return TeamMember(
        clerk_id=one,
        name=clerk.name,
        works_today=bool(known.get("works_today", True)),
        absent=list(facts.absent.get(one, ())),
        substitute=facts.substitutes.get(one),
        planned=len(today),
        planned_minutes=sum(row["minutes"] or 0.0 for row in today),
        minutes_per_day=known.get("minutes_per_day"),
        listed=listed,
        sent=sent,
        answered=answers.get("answered", 0),
        contacts=answers.get("contacts", 0),
        margin=facts.margin.get(one),
        expected_margin=facts.expected.get(one),
        coaching=coaching(past, int(facts.late.get(one, 0))),
    )


def _handovers(services: Services, books: BookRows, day: date, ids: set[str]) -> list[Handover]:
    rows = [row for row in books.handovers(day) if row["to_clerk_id"] in ids]
    given = {
        row["customer_id"]: row["clerk_id"]
        for row in services.store.accepted_since("friendships", services.day_begins(day))
    }
    erased = services.store.erased_among([row["customer_id"] for row in rows])
    rows = [row for row in rows if row["customer_id"] not in erased]
    people = services.cards.people([row["customer_id"] for row in rows]) if rows else {}
    return [
        Handover(
            customer_id=row["customer_id"],
            person=people.get(row["customer_id"], Person()),
            from_clerk_id=row["from_clerk_id"],
            to_clerk_id=given.get(row["customer_id"], row["to_clerk_id"]),
            reason=row["reason"],
            accepted=row["customer_id"] in given,
        )
        for row in rows
    ]


@router.put(
    "/handovers/{customer_id}",
    response_model=Handover,
    responses=documented(401, 403, 404, 422),
)
def accept_handover(
    customer_id: CustomerId, body: HandoverBody, caller: CallerDep, services: ServicesDep
) -> Handover:
    """Give a customer whom the plan proposes to hand over to a clerk of the store.

    The new clerk is their friend from now on, and the next night plans for them. Doing it again
    for the same clerk changes nothing.
    """
    clerk = services.cards.clerk(body.to_clerk_id)
    if clerk is None:
        raise NotFoundError(f"there is no clerk {body.to_clerk_id!r}")
    caller.require_store(str(clerk.store_id))
    day, books = _plan_day(services), _books(services)
    proposed = {row["customer_id"]: row for row in books.handovers(day)}
    row = proposed.get(customer_id)
    if row is None:
        raise NotFoundError(
            f"no hand-over of {customer_id!r} is proposed",
            next_step="read the store's team again",
        )
    standing = services.store.accepted_since("friendships", services.day_begins(day))
    last = [one["clerk_id"] for one in standing if one["customer_id"] == customer_id]
    if not last or last[-1] != body.to_clerk_id:
        since = services.clock().astimezone(UTC)
        friend = {"customer_id": customer_id, "clerk_id": body.to_clerk_id, "since": since}
        services.store.accept([Event("friendships", friend)])
    person = services.cards.people([customer_id]).get(customer_id, Person())
    return Handover(
        customer_id=customer_id,
        person=person,
        from_clerk_id=row["from_clerk_id"],
        to_clerk_id=body.to_clerk_id,
        reason=row["reason"],
        accepted=True,
    )
