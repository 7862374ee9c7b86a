"""Lists, cards and next actions laid ready: after a plan is published, before anybody asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Final

from nba.errors import NbaError, NotFoundError
from nba.logs import log
from nba.pipeline.rescore import Rescorer
from nba.serving.background import Background
from nba.serving.pages import LONGEST, as_text
from nba.serving.routes.customers import make_card
from nba.serving.services import Services
from nba.serving.views import show_actions
from nba.stores.laid import ALL, LaidAction, LaidCard, LaidList
from nba.stores.lists import Slice
from nba.stores.operational import OperationalStore

#: So many lists are written in one transaction.
_PART: Final = 50
#: So many cards are written in one transaction: some tenths of a second of a core make them.
_CARDS: Final = 500
#: Next actions of so many customers are worked out at once, some seconds of a core: each time the
#: tables of the whole shop are searched for them.
_TOGETHER: Final = 2_000
#: How often, in seconds, it is looked for a new plan.
LOOK_SECONDS: Final = 2.0


def lay_lists(services: Services) -> int:
    """Lay the newest plan's lists ready that are as it made them and are not laid yet.

    A list of which anything was heard already is made when it is asked for, as ever.

    Returns
    -------
    int
        How many were laid.
    """
    store, mark = services.store, services.store.mark()
    if mark is None:
        return 0
    day, digest = mark
    clerk_ids = store.lists_to_lay(day, digest, services.definitions)
    laid = 0
    for start in range(0, len(clerk_ids), _PART):
        made = {one: _list_of(one, day, services) for one in clerk_ids[start : start + _PART]}
        found = {one: list_ for one, list_ in made.items() if list_ is not None}
        laid += store.lay(day, digest, services.definitions, found)
    return laid


def _list_of(clerk_id: str, day: date, services: Services) -> LaidList | None:
    """Return a clerk's list, or None where the clerk has said anything of it."""
    part = Slice(
        "clerk_id",
        clerk_id,
        limit=LONGEST,
        unprofiled=services.unprofiled,
        services=services.serving_types,
    )
    header, rows = services.store.open_actions(day, part, since=services.day_begins)
    is_new = header is not None and all(row["status"] == "new" for row in rows)
    if not is_new or services.store.closed_actions(clerk_id, day):
        return None
    assert header is not None
    return LaidList(header["published_at"], [as_text(one) for one in show_actions(rows, services)])


def lay_cards(services: Services) -> int:
    """Lay cards of the customers on the newest plan's lists ready; return how many.

    They are made as when they are asked for; each holds while nothing else is heard.
    """
    store, mark = services.store, services.store.mark()
    if mark is None:
        return 0
    day, digest = mark
    ids, laid = store.listed_customers(day), 0
    for start in range(0, len(ids), _CARDS):
        made = {one: _card_of(one, digest, services) for one in ids[start : start + _CARDS]}
        found = {one: card for one, card in made.items() if card is not None}
        store.lay_cards(day, digest, services.definitions, found)
        laid += len(found)
    store.lay_cards(
        day, digest, services.definitions, {ALL: LaidCard([], services.clock(), None, b"")}
    )
    return laid


def _card_of(customer_id: str, digest: str, services: Services) -> LaidCard | None:
    """Return a customer's card, or None where nobody stands there, or by another plan."""
    mark = services.store.customer_mark(customer_id)
    moment = services.fresh.moment(customer_id) if services.fresh is not None else 0
    changes_at = services.cards.changes_at(customer_id)
    try:
        card = make_card(customer_id, mark, moment, services)
    except NotFoundError:
        return None
    ends = [one for one in (card.until, changes_at) if one is not None]
    return replace(card, until=min(ends, default=None)) if mark.digest == digest else None


def lay_actions(services: Services, rescorer: Rescorer) -> int:
    """Lay next actions of the customers on the newest plan's lists ready; return of how many.

    Parameters
    ----------
    services : Services
    rescorer : Rescorer
        Of that plan.
    """
    store, mark = services.store, services.store.mark()
    if mark is None:
        return 0
    day, digest = mark
    header = store.plan(day)
    assert header is not None
    ids = store.listed_customers(day)
    for start in range(0, len(ids), _TOGETHER):
        part = rescorer.as_the_night(ids[start : start + _TOGETHER])
        rows = [row for frame in part.values() for row in frame.iter_rows(named=True)]
        found: dict[str, list[LaidAction]] = {one: [] for one in part}
        for shown in show_actions([{**row, "rank": None} for row in rows], services):
            found[shown.customer_id].append(as_text(shown))
        packed = {one: LaidList(header["published_at"], mine) for one, mine in found.items()}
        store.lay_actions(day, digest, services.definitions, packed)
    store.lay_actions(
        day, digest, services.definitions, {ALL: LaidList(header["published_at"], [])}
    )
    return len(ids)


class Layer(Background):
    """A thread that lays each new plan's lists ready.

    Parameters
    ----------
    store : OperationalStore
    lay : callable
        Lays what is to be laid.
    """

    def __init__(self, store: OperationalStore, lay: Callable[[], object]) -> None:
        super().__init__("layer")
        self._store = store
        self._lay = lay

    def _run(self) -> None:
        seen: object = None
        while not self._ending.is_set():
            try:
                mark = self._store.mark()
                if mark != seen:
                    self._lay()
                    seen = mark
            except NbaError as error:  # the next round tries again
                log().error("lists could not be laid ready", error=type(error).__name__)
            except Exception as error:
                log().exception("lists could not be laid ready", error=type(error).__name__)
            self._ending.wait(LOOK_SECONDS)
