"""What the HTTP service of a project stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

import nba
from nba.pipeline.fresh import fresh_tables, heard_today, prepare, refresh
from nba.pipeline.preview import preview
from nba.pipeline.rescore import Rescorer
from nba.serving.cards import ProjectCards
from nba.serving.clock import plan_clock
from nba.serving.laying import lay_actions, lay_cards, lay_lists
from nba.serving.live import LiveRescoring
from nba.serving.pages import no_plan
from nba.serving.rate_limits import Limiter
from nba.serving.services import Access, Services
from nba.serving.sidebar import SidebarTokens
from nba.serving.sign_in import SignIn
from nba.stores.book_rows import BookRows
from nba.stores.customers import CustomerRows, remembered
from nba.stores.laid import ALL
from nba.stores.operational import utc_now
from nba.wiring import Wiring

#: The longest, in seconds, that a request waits for the operational store.
WAIT_SECONDS: Final = 2.0


def services_of(wiring: Wiring, access: Access) -> Services:
    """Return what the HTTP service of a project stands on."""
    store = wiring.plan_store

    def plan_day() -> date | None:
        mark = store.mark()
        return mark[0] if mark else None

    zone = ZoneInfo(wiring.settings.time_zone)
    clock = plan_clock(store, zone) if access is Access.OPEN else utc_now
    rows = CustomerRows(
        wiring.lake,
        wiring.feature_store,
        wiring.project.runs,
        remembered(store.customer_record),
        store.customer_person,
    )
    cards = ProjectCards(
        rows,
        plan_day,
        time_zone=wiring.settings.time_zone,
        clock=clock,
        chat_link=wiring.settings.clerk_page.chat_link,
    )
    page = wiring.project.root / "serving" / "page"
    limits = wiring.settings.rate_limits
    return Services(
        store,
        cards,
        access=access,
        clock=clock,
        time_zone=wiring.settings.time_zone,
        catalogue=wiring.decision_files.catalogue,
        live=LiveRescoring(
            store.current_plan,
            lambda day: rescorer_of(wiring, day),
            cards,
            lambda one: fresh_tables(wiring, one, now=clock(), zone=zone),
            wiring.feature_store.online_moment,
            wiring.feature_store.night_moment,
        ),
        fresh=ProjectFeatures(wiring, zone),
        lock=wiring.project.data / "features" / "fresh.lock",
        preview=lambda changes: preview_current(wiring, changes),
        places=(f"{wiring.project.root}/", str(wiring.project.root)),
        page=page if page.is_dir() else None,
        clerk_page=wiring.settings.clerk_page,
        currency=wiring.settings.currency,
        books=BookRows(rows, wiring.project.runs),
        margin_rate=wiring.settings.margin_rate,
        sign_in=SignIn(wiring.settings.oidc) if wiring.settings.oidc.issuer else None,
        limiter=Limiter(limits, limits.storage) if limits.are_set else None,
        sidebar=SidebarTokens(
            wiring.project.secret(),
            clock,
            timedelta(minutes=wiring.settings.clerk_page.sidebar_minutes),
        ),
        definitions=definitions_of(wiring),
        answers_at_once=store.database.is_sqlite and not limits.are_set,
        texts=wiring.decision_files.texts,
        tag_names={
            tag: {"zh": rule.name.zh, "en": rule.name.en}
            for tag, rule in wiring.feature_store.repository.tags.rules.items()
        },
    )


def definitions_of(wiring: Wiring) -> str:
    """Return what differs with the settings and the version that answers are made with."""
    return f"{nba.__version__}-{wiring.project.config_digest()}"


def lay_newest(wiring: Wiring) -> int:
    """Lay the newest plan's lists ready where any wait; return how many were."""
    mark = wiring.plan_store.mark()
    if mark is None or not wiring.plan_store.lists_to_lay(*mark, definitions_of(wiring)):
        return 0
    return lay_lists(services_of(wiring, Access.KEYS))


def lay_known(wiring: Wiring) -> int:
    """Lay cards of those on the newest plan's lists ready where they are not; return how many."""
    if wiring.plan_store.laid_card(ALL, [], definitions_of(wiring)) is not None:
        return 0
    return lay_cards(services_of(wiring, Access.KEYS))


def lay_next(wiring: Wiring) -> int:
    """Lay next actions of those on the newest plan's lists ready; return of how many customers."""
    mark = wiring.plan_store.mark()
    if mark is None or wiring.plan_store.laid_actions(ALL, definitions_of(wiring)) is not None:
        return 0
    listed = pl.DataFrame({"customer_id": wiring.plan_store.listed_customers(mark[0])})
    rescorer = rescorer_of(wiring, mark[0], among=listed)
    return lay_actions(services_of(wiring, Access.KEYS), rescorer)


class ProjectFeatures:
    """The `FreshFeatures` of one project.

    Parameters
    ----------
    wiring : Wiring
    zone : ZoneInfo
        The project's.
    """

    def __init__(self, wiring: Wiring, zone: ZoneInfo) -> None:
        self._wiring = wiring
        self._zone = zone

    def heard_today(self) -> Sequence[str]:
        """Return the customers of whom the night did not know all."""
        return heard_today(self._wiring, self._zone)

    def base(self) -> object:
        """Return what differs with each new base; None where there is none."""
        return self._wiring.feature_store.base()

    def prepare(self, now: datetime) -> None:
        """Make ready what the first refresh of a day would wait for."""
        prepare(self._wiring, now=now, zone=self._zone)

    def refresh(self, customer_ids: Sequence[str], now: datetime) -> None:
        """Bring the features of some customers online as they are at `now` (aware)."""
        refresh(self._wiring, customer_ids, now=now, zone=self._zone)

    def moment(self, customer_id: str) -> int:
        """Return what grows whenever a customer's features are brought online."""
        return self._wiring.feature_store.online_moment(customer_id)


def rescorer_of(wiring: Wiring, day: date, among: pl.DataFrame | None = None) -> Rescorer:
    """Return the rescorer of the plan of a day; `NotFoundError` where it is not kept here.

    `among` as for `Rescorer.of`.
    """
    return Rescorer.of(wiring.run(datetime.combine(day, time())), among)


def preview_current(wiring: Wiring, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changed policy files would change in the current plan; leaves no trace.

    Raises
    ------
    NotFoundError
        Before the first plan, or where the plan is kept on another machine.
    InputRefusedError
        With every problem of the changed files.
    """
    header = wiring.plan_store.current_plan()
    if header is None:
        raise no_plan(None)
    _, difference = preview(wiring.run(datetime.combine(header["as_of"], time())), changes=changes)
    return difference.summary()
