"""Lists laid ready: after a plan is published, before anybody asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from nba.errors import NbaError
from nba.logs import log
from nba.serving.background import Background
from nba.serving.pages import LONGEST, as_text
from nba.serving.services import Services
from nba.serving.views import show_actions
from nba.stores.laid import LaidList
from nba.stores.lists import Slice
from nba.stores.operational import OperationalStore

#: So many lists are written in one transaction.
_PART: Final = 50
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
