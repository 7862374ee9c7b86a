"""Pages of a clerk's list, joined from the texts of its actions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from typing import Any, Final

from nba.errors import NotFoundError
from nba.schema.words import Mode
from nba.serving.answers import Ready
from nba.serving.cursors import read_cursor, write_cursor, write_version
from nba.serving.schemas import ActionList, ClosedAction, ListedAction
from nba.serving.services import Services
from nba.serving.views import show_actions, show_closed, sold_out_of
from nba.stores.books import Book
from nba.stores.database import canonical
from nba.stores.laid import LaidAction, LaidList
from nba.stores.lists import Slice

#: What an action shows of the moment, last of its fields: a text is laid ready without them.
_OF_THE_MOMENT: Final = {"expired", "status"}
#: Where the actions go in the text of a page without any.
_NOBODY: Final = b'"actions":[]'
#: The status of an action of which nothing was said.
NEW: Final = "new"
#: More actions than any list has.
LONGEST: Final = 10_000


@dataclass(frozen=True)
class Page:
    """Which part of a clerk's list is asked for."""

    clerk_id: str
    day: date | None
    mode: Mode | None
    limit: int
    cursor: str | None


@dataclass(frozen=True)
class _Line:
    """An action of a page, and how it stands."""

    laid: LaidAction
    status: str
    expired: bool

    @property
    def text(self) -> bytes:
        """The action as JSON."""
        last = f',"expired":{json.dumps(self.expired)},"status":{json.dumps(self.status)}}}'
        return self.laid.text + last.encode()


def as_text(shown: ListedAction) -> LaidAction:
    """Return an action as text, without what is of the moment and without its last brace."""
    text = shown.model_dump_json(exclude=_OF_THE_MOMENT)
    return LaidAction(
        shown.action_id,
        shown.customer_id,
        shown.rank or 0,
        shown.expires_at,
        [one.product_id for one in shown.products],
        text.encode()[:-1],
    )


def make_page(page: Page, book: Book | None, services: Services) -> tuple[date, Ready]:
    """Return the day of a list, and a page of it as it stands.

    Parameters
    ----------
    page : Page
    book : Book or None
        Where the list of the newest plan stands.
    services : Services

    Raises
    ------
    NotFoundError
        Where there is no plan of that day.
    """
    laid = None
    if book is not None and page.day in (None, book.as_of):
        laid = services.store.laid_list(book, services.definitions)
    now = services.clock()
    if laid is not None and _is_as_laid(page, book):
        assert book is not None
        header: Mapping[str, Any] = {
            "as_of": book.as_of,
            "digest": book.digest,
            "published_at": laid.published_at,
        }
        lines = [_line(one, NEW, now) for one in laid.actions[: page.limit + 1]]
        closed: list[ClosedAction] = []
    else:
        header, lines = _lines(page, book, laid, services)
        closed = []
        if page.cursor is None:
            found = services.store.closed_actions(page.clerk_id, header["as_of"])
            closed = show_closed(found, services) if found else []
    following = None
    if len(lines) > page.limit:
        lines = lines[: page.limit]
        last = lines[-1].laid
        following = write_cursor(header["digest"], page.clerk_id, last.rank, last.action_id)
    living = book if book is not None and book.as_of == header["as_of"] else None
    zone = services.zone_of_clerk(page.clerk_id)
    age_days = services.age_days(header["as_of"], zone)
    content = ActionList(
        as_of=header["as_of"],
        clerk_id=page.clerk_id,
        stale=age_days != 0,
        age_days=age_days,
        version=write_version(header["digest"], living.version if living else 0),
        published_at=services.local(header["published_at"]),
        actions=[],
        closed=closed,
        next_cursor=following,
        now=services.local(now),
    )
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    ends = [one.laid.expires_at for one in lines] + [one.until for one in closed]
    until = min(
        [datetime.combine(tomorrow, time(), zone), *(one for one in ends if one and one > now)]
    )
    return header["as_of"], Ready(_head(content, lines), _tag(content, lines), until)


def _is_as_laid(page: Page, book: Book | None) -> bool:
    """Whether a page is of a list as the plan made it, from its beginning."""
    return (
        book is not None
        and book.is_settled
        and not book.version
        and not book.absent
        and page.cursor is None
        and page.mode is None
    )


def _lines(
    page: Page, book: Book | None, laid: LaidList | None, services: Services
) -> tuple[Mapping[str, Any], list[_Line]]:
    """Return a plan's header and the actions of a page that are open now, and one more."""
    after = None
    if page.cursor is not None:
        standing = services.store.plan(page.day) if page.day else services.store.current_plan()
        if standing:
            after = read_cursor(page.cursor, standing["digest"], page.clerk_id)
    part = Slice(
        "clerk_id",
        page.clerk_id,
        page.mode,
        after,
        page.limit + 1,
        services.unprofiled,
        services.serving_types,
    )
    known: dict[str, LaidAction] = {}
    if laid is not None:
        gone = sold_out_of({page.clerk_id}, services).get(page.clerk_id, set())
        told = services.store.profiling_of({one.customer_id for one in laid.actions})
        known = {
            one.action_id: one
            for one in laid.actions
            if gone.isdisjoint(one.product_ids) and told.get(one.customer_id, True)
        }
    header, rows = services.store.open_actions(
        page.day, part, since=services.day_begins, known=known
    )
    if header is None:
        raise no_plan(page.day)
    if book is not None and book.as_of == header["as_of"] and book.absent:
        rows = []
    anew = show_actions([row for row in rows if row["action_id"] not in known], services)
    texts = {one.action_id: as_text(one) for one in anew} | known
    now = services.clock()
    return header, [_line(texts[row["action_id"]], row["status"], now) for row in rows]


def as_lines(laid: Sequence[LaidAction], statuses: Sequence[str], now: datetime) -> list[bytes]:
    """Return actions as JSON, as they stand at a moment.

    Parameters
    ----------
    laid : sequence of LaidAction
    statuses : sequence of str
        Of each.
    now : datetime
    """
    return [_line(one, it, now).text for one, it in zip(laid, statuses, strict=True)]


def _line(laid: LaidAction, status: str, now: datetime) -> _Line:
    return _Line(laid, status, laid.expires_at is not None and laid.expires_at <= now)


def _head(content: ActionList, lines: Sequence[_Line]) -> bytes:
    """Return the text of a page up to its last brace, without the moment of the request."""
    text = content.model_dump_json(exclude={"now"}).encode()
    return joined(text, [one.text for one in lines])[:-1]


def joined(text: bytes, lines: Sequence[bytes]) -> bytes:
    """Return the text of an object whose `actions` are empty with these actions in it."""
    before, _, after = text.partition(_NOBODY)
    return b"".join([before, _NOBODY[:-1], b",".join(lines), b"]", after])


def _tag(content: ActionList, lines: Sequence[_Line]) -> str:
    """Return the entity tag of a page: what may change in it beside its version."""
    shown = [(one.laid.action_id, one.status, one.expired) for one in lines]
    closed = [(one.action_id, one.kind, one.ts.isoformat()) for one in content.closed]
    what = canonical([content.version, content.age_days, content.next_cursor, shown, closed])
    return f'W/"{sha256(what.encode()).hexdigest()[:24]}"'


def no_plan(day: date | None) -> NotFoundError:
    """Return the error for a day without a plan."""
    return NotFoundError(
        f"there is no plan of {day}" if day else "no plan has been published yet",
        expected="a day whose nightly job has published",
        next_step="run `nba run`, or ask for another date",
    )
